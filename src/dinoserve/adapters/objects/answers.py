"""What a server behind the S3 protocol answers, and in which time."""

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeVar

from obstore.exceptions import BaseError

from dinoserve.errors import StorageFullError, UnavailableError

_T = TypeVar("_T")
# obstore has few classes: its text holds the answer's status and the server's code.
_STATUS = re.compile(r"status code: (\d{3})")
_CODE = re.compile(r"<Code>(\w+)</Code>")
_FULL = {"QuotaExceeded", "InsufficientStorage", "InsufficientCapacity", "507"}
_TOLD = {
    "NoSuchBucket": "There is no such bucket: look at DINOSERVE_OBJECTS and"
    " DINOSERVE_S3_ENDPOINT.",
    "RequestTimeTooSkewed": "The clock of this machine is wrong: set it.",
}
_REFUSED = (
    "It refuses us: look at DINOSERVE_S3_ACCESS_KEY, DINOSERVE_S3_SECRET_KEY and what"
    " they may do in the bucket, at DINOSERVE_S3_REGION, and at DINOSERVE_S3_SSE_C_KEY"
    " if that is set."
)


@asynccontextmanager
async def answered(
    seconds: float | None, on_bad_request: str | None = None
) -> AsyncGenerator[None]:
    """Give the block so much time; turn its failures into errors of the port.

    Args:
        seconds: None for as long as it takes.
        on_bad_request: what to tell of status 400, if that is known.

    Raises:
        StorageFullError: a quota or the server's disk is full.
        UnavailableError: any other failure, a missing object included.
    """
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as error:
        raise UnavailableError(
            "The object store did not answer in time; try again.", port="objects"
        ) from error
    except (BaseError, OSError) as error:
        found = {*_STATUS.findall(str(error)), *_CODE.findall(str(error))}
        if on_bad_request and "400" in found:
            raise UnavailableError(on_bad_request, port="objects") from error
        raise _failure(error, found) from error


async def answers(stream: AsyncIterator[_T], seconds: float) -> AsyncIterator[_T]:
    """Yield what the stream gives, each in so many seconds; errors as `answered`."""
    while True:
        async with answered(seconds):
            try:
                given = await anext(stream)
            except StopAsyncIteration:
                return
        yield given


def missing() -> UnavailableError:
    """Return the error for bytes that a record promises and the store has not."""
    return UnavailableError(
        "The bytes of this asset are missing from the object store.", port="objects"
    )


def _failure(error: Exception, found: set[str]) -> UnavailableError:
    if found & _FULL:
        return StorageFullError(
            "The object store is full; nothing was stored. Try again when space has"
            " been made.",
            port="objects",
        )
    for code in found & _TOLD.keys():
        return UnavailableError(_TOLD[code], port="objects")
    if isinstance(error, FileNotFoundError):
        return missing()
    if found & {"401", "403"}:
        return UnavailableError(_REFUSED, port="objects")
    return UnavailableError(
        "The object store did not answer; try again.", port="objects"
    )
