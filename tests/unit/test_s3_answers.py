"""How `S3Objects` takes the answers that no real server can be brought to give."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from dinoserve.adapters.objects import S3Objects
from dinoserve.adapters.objects.bucket import S3Limits
from dinoserve.errors import StorageFullError, UnavailableError
from scripted_s3 import HANG, Reply, Request, refusal, scripted

DIGEST = hashlib.sha256(b"picture").hexdigest()
MIB = 1024 * 1024
QUICK = S3Limits(answer_s=0.3, request_s=0.3, put_s=0.3)


async def stream(chunks: int) -> AsyncIterator[bytes]:
    for _ in range(chunks):
        yield bytes(MIB)


async def _read(objects: S3Objects) -> object:
    return [chunk async for chunk in objects.read(DIGEST, 0, 7)]


async def _scan(objects: S3Objects) -> object:
    return [entry async for entry in objects.scan()]


_DO: dict[str, Callable[[S3Objects], Awaitable[object]]] = {
    "put": lambda objects: objects.put(DIGEST, b"picture"),
    "stream": lambda objects: objects.put(DIGEST, stream(6)),
    "size": lambda objects: objects.size(DIGEST),
    "read": _read,
    "delete": lambda objects: objects.delete(DIGEST),
    "scan": _scan,
    "ping": lambda objects: objects.ping(),
}
EVERYTHING = list(_DO)


@pytest.mark.parametrize("what", EVERYTHING)
async def test_a_server_that_hangs_is_answered_for(what: str) -> None:
    async with scripted(lambda _: HANG) as server, asyncio.timeout(20):
        with pytest.raises(UnavailableError) as caught:
            await _DO[what](S3Objects(server.bucket, QUICK))
    assert caught.value.port == "objects"


@pytest.mark.parametrize("what", EVERYTHING)
async def test_a_server_that_is_away_is_answered_for(what: str) -> None:
    async with scripted(lambda _: HANG) as server:
        gone = server.bucket
    async with asyncio.timeout(30):
        with pytest.raises(UnavailableError):
            await _DO[what](S3Objects(gone, S3Limits()))


@pytest.mark.parametrize("what", EVERYTHING)
async def test_a_server_that_always_fails_is_asked_four_times(what: str) -> None:
    async with scripted(lambda _: refusal(503, "SlowDown")) as server:
        with pytest.raises(UnavailableError):
            await _DO[what](S3Objects(server.bucket, S3Limits()))
    assert len(server.requests) == 4


async def test_a_server_that_fails_once_is_asked_again() -> None:
    replies = iter([refusal(500, "InternalError"), Reply()])
    async with scripted(lambda _: next(replies)) as server:
        await S3Objects(server.bucket, S3Limits()).put(DIGEST, b"picture")
    assert next(replies, None) is None


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (403, "QuotaExceeded"),
        (507, "InsufficientStorage"),
        (507, "XMinioStorageFull"),
        (507, ""),
    ],
)
@pytest.mark.parametrize("what", ["put", "stream"])
async def test_a_full_store_is_told_as_such(what: str, status: int, code: str) -> None:
    async with scripted(lambda _: refusal(status, code)) as server:
        with pytest.raises(StorageFullError):
            await _DO[what](S3Objects(server.bucket, S3Limits()))


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize("what", EVERYTHING)
async def test_a_refusal_names_the_settings_of_the_credentials(
    what: str, status: int
) -> None:
    async with scripted(lambda _: refusal(status, "AccessDenied")) as server:
        with pytest.raises(UnavailableError, match="DINOSERVE_S3_SECRET_KEY"):
            await _DO[what](S3Objects(server.bucket, S3Limits()))


async def test_a_clock_that_is_wrong_is_told_as_such() -> None:
    async with scripted(lambda _: refusal(403, "RequestTimeTooSkewed")) as server:
        with pytest.raises(UnavailableError, match="clock"):
            await _DO["put"](S3Objects(server.bucket, S3Limits()))


async def test_a_bucket_that_is_gone_names_its_setting() -> None:
    async with scripted(lambda _: refusal(404, "NoSuchBucket")) as server:
        with pytest.raises(UnavailableError, match="DINOSERVE_OBJECTS"):
            await _DO["put"](S3Objects(server.bucket, S3Limits()))


async def test_an_answer_that_ends_early_is_no_success() -> None:
    def cut(request: Request) -> Reply:
        if request.method == "HEAD":
            return Reply(headers={"content-length": "7"})
        headers = {"content-range": "bytes 0-6/7", "content-length": "7"}
        return Reply(206, "pict", headers)

    async with scripted(cut) as server:
        with pytest.raises(UnavailableError):
            await _DO["read"](S3Objects(server.bucket, QUICK))
