"""MongoDB's failures, told in dinoserve's words: the one place that does."""

from collections.abc import Generator
from contextlib import contextmanager

from bson.errors import BSONError
from pymongo.errors import DocumentTooLarge, OperationFailure, PyMongoError

from dinoserve.adapters.cancellation import cancellable
from dinoserve.errors import InvalidInputError, StorageFullError, UnavailableError

# Numbers of the server's error_codes.yml: OutOfDiskSpace; Atlas' quota is AtlasError,
# told apart by its text.
_OUT_OF_DISK = 14031
_ATLAS = 8000
# BSONObjectTooLarge, and an update whose result would be.
_TOO_LARGE = {10334, 17419, 17420}


@contextmanager
def translate() -> Generator[None]:
    """Turn what the driver raises inside the block into errors of the port.

    Raises:
        StorageFullError: the disk or the quota is full.
        UnavailableError: any other failure of the server or the way to it.
        InvalidInputError: text that is not Unicode, or a record that is too large.
        CancelledError: see `cancellable`.
    """
    try:
        with cancellable():
            yield
    except UnicodeEncodeError as error:
        raise InvalidInputError(
            "Text must be Unicode without lone surrogates."
        ) from error
    except (PyMongoError, BSONError, TimeoutError) as error:
        if _is_too_large(error):
            raise InvalidInputError(
                "The record is larger than the 16 MiB that MongoDB keeps in one."
            ) from error
        if _is_full(error):
            raise StorageFullError(
                "The disk or quota under the database is full; nothing was stored."
                " Try again when space has been made.",
                port="documents",
            ) from error
        raise UnavailableError(
            "The database did not answer; try again.", port="documents"
        ) from error


def _is_too_large(error: Exception) -> bool:
    return isinstance(error, DocumentTooLarge) or _code(error) in _TOO_LARGE


def _is_full(error: Exception) -> bool:
    code = _code(error)
    return code == _OUT_OF_DISK or (code == _ATLAS and "quota" in str(error))


def _code(error: Exception) -> int | None:
    return error.code if isinstance(error, OperationFailure) else None
