"""Every failure of MongoDB's driver becomes an error of the port."""

import pytest
from bson.errors import InvalidDocument
from pymongo.errors import (
    AutoReconnect,
    DocumentTooLarge,
    InvalidOperation,
    NetworkTimeout,
    OperationFailure,
    ServerSelectionTimeoutError,
    WriteError,
)

from dinoserve.adapters.mongo.failures import translate
from dinoserve.errors import (
    AssetNotFoundError,
    DinoserveError,
    InvalidInputError,
    StorageFullError,
    UnavailableError,
)


@pytest.mark.parametrize(
    ("raised", "told"),
    [
        (OperationFailure("no space left", 14031), StorageFullError),
        (OperationFailure("you are over your space quota", 8000), StorageFullError),
        (OperationFailure("bad auth", 8000), UnavailableError),
        (OperationFailure("write conflict", 112), UnavailableError),
        (OperationFailure("no code"), UnavailableError),
        (WriteError("too large", 10334), InvalidInputError),
        (WriteError("resulting document is larger", 17419), InvalidInputError),
        (DocumentTooLarge("17 MiB"), InvalidInputError),
        (InvalidDocument("no"), UnavailableError),
        (InvalidOperation("closed"), UnavailableError),
        (AutoReconnect("reset"), UnavailableError),
        (NetworkTimeout("slow"), UnavailableError),
        (ServerSelectionTimeoutError("none"), UnavailableError),
        (TimeoutError(), UnavailableError),
        (UnicodeEncodeError("utf-8", "\ud800", 0, 1, "lone"), InvalidInputError),
    ],
)
async def test_a_failure_is_told_in_words_of_the_port(
    raised: Exception, told: type[DinoserveError]
) -> None:
    with pytest.raises(DinoserveError) as error, translate():
        raise raised
    assert type(error.value) is told
    assert error.value.__cause__ is raised


async def test_what_fails_is_named_as_the_documents() -> None:
    with pytest.raises(UnavailableError) as error, translate():
        raise AutoReconnect("reset")
    assert error.value.port == "documents"


async def test_an_error_of_the_port_passes_as_it_is() -> None:
    with pytest.raises(AssetNotFoundError), translate():
        raise AssetNotFoundError("none")
