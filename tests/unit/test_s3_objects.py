"""What `S3Objects` asks of a server, and how it takes the answers."""

import asyncio
import hashlib
import logging
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from dinoserve.adapters.objects import S3Objects
from dinoserve.adapters.objects.bucket import S3Limits
from dinoserve.errors import StartUpError, UnavailableError
from scripted_s3 import BUCKET, HANG, SECRET, Reply, Request, refusal, scripted

DIGEST = hashlib.sha256(b"picture").hexdigest()
KEY = f"/pictures/{DIGEST[:2]}/{DIGEST[2:4]}/{DIGEST}"
MIB = 1024 * 1024
QUICK = S3Limits(answer_s=0.3, request_s=0.3, put_s=0.3)


async def stream(chunks: int) -> AsyncIterator[bytes]:
    for _ in range(chunks):
        yield bytes(MIB)


def uploads(request: Request) -> Reply:
    """Take multipart uploads, and everything else."""
    if request.target.endswith("?uploads="):
        where = "<Bucket>b</Bucket><Key>k</Key><UploadId>u</UploadId>"
        return Reply(
            body=f"<InitiateMultipartUploadResult>{where}</InitiateMultipartUploadResult>"
        )
    if request.method == "POST":
        return Reply(
            body="<CompleteMultipartUploadResult><ETag>e</ETag>"
            "</CompleteMultipartUploadResult>"
        )
    return Reply()


async def test_a_bucket_is_named_in_the_path_and_the_region_is_auto() -> None:
    async with scripted(lambda _: Reply()) as server:
        await S3Objects(server.bucket, S3Limits()).put(DIGEST, b"picture")
    [request] = server.requests
    assert (request.method, request.target) == ("PUT", KEY)
    assert "/auto/s3/aws4_request" in request.headers["authorization"].replace(
        "%2f", "/"
    )


async def test_a_prefix_goes_before_every_key() -> None:
    async with scripted(lambda _: Reply()) as server:
        bucket = replace(server.bucket, prefix="a/b")
        await S3Objects(bucket, S3Limits()).put(DIGEST, b"picture")
    assert server.requests[0].target == KEY.replace("/pictures", "/pictures/a/b")


async def test_bytes_are_only_written_where_none_are() -> None:
    async with scripted(lambda _: Reply()) as server:
        await S3Objects(server.bucket, S3Limits()).put(DIGEST, b"picture")
    assert server.requests[0].headers["if-none-match"] == "*"


@pytest.mark.parametrize(
    ("size", "methods"), [(7, ["PUT", "HEAD"]), (6, ["PUT", "HEAD", "PUT"])]
)
async def test_bytes_already_there_are_written_again_only_if_their_length_is_wrong(
    size: int, methods: list[str]
) -> None:
    def reply(request: Request) -> Reply:
        if "if-none-match" in request.headers:
            return refusal(412, "PreconditionFailed")
        return Reply(headers={"content-length": str(size)} if size else {})

    async with scripted(reply) as server:
        await S3Objects(server.bucket, S3Limits()).put(DIGEST, b"picture")
    assert [request.method for request in server.requests] == methods


async def test_a_short_stream_takes_one_request() -> None:
    async with scripted(uploads) as server:
        await S3Objects(server.bucket, S3Limits()).put(DIGEST, stream(4))
    assert [request.method for request in server.requests] == ["PUT"]


async def test_the_parts_of_a_stream_are_equal_but_the_last() -> None:
    async with scripted(uploads) as server:
        await S3Objects(server.bucket, S3Limits()).put(DIGEST, stream(13))
    parts = {
        request.target: len(request.body)
        for request in server.requests
        if request.method == "PUT"
    }
    assert [parts[key] for key in sorted(parts)] == [5 * MIB, 5 * MIB, 3 * MIB]


async def test_a_stream_that_fails_takes_its_parts_away() -> None:
    async def broken() -> AsyncIterator[bytes]:
        async for chunk in stream(12):
            yield chunk
        raise ZeroDivisionError

    async with scripted(uploads) as server:
        with pytest.raises(ZeroDivisionError):
            await S3Objects(server.bucket, S3Limits()).put(DIGEST, broken())
    [removal] = [r for r in server.requests if r.method == "DELETE"]
    assert "uploadId=u" in removal.target


async def test_a_stream_slower_than_a_put_may_be_takes_its_parts_away() -> None:
    stopped = asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        async for chunk in stream(6):
            yield chunk
        late = asyncio.Event()
        asyncio.get_running_loop().call_later(QUICK.put_s, late.set)
        await late.wait()
        yield b"late"
        stopped.set()

    async with scripted(uploads) as server:
        with pytest.raises(UnavailableError, match="in time"):
            await S3Objects(server.bucket, QUICK).put(DIGEST, slow())
    assert "DELETE" in {request.method for request in server.requests}
    assert not stopped.is_set()


async def test_streams_beyond_the_limit_wait_their_turn() -> None:
    running, most = 0, 0

    async def counted() -> AsyncIterator[bytes]:
        nonlocal running, most
        running += 1
        most = max(most, running)
        async for chunk in stream(6):
            yield chunk
        running -= 1

    async with scripted(uploads) as server:
        objects = S3Objects(server.bucket, S3Limits(uploads=2))
        await asyncio.gather(*(objects.put(f"{n:064x}", counted()) for n in range(9)))
    assert most == 2


async def test_a_stream_whose_turn_does_not_come_is_answered() -> None:
    entered, leave = asyncio.Event(), asyncio.Event()

    async def held() -> AsyncIterator[bytes]:
        entered.set()
        await leave.wait()
        yield b"picture"

    async with scripted(uploads) as server:
        objects = S3Objects(server.bucket, replace(QUICK, uploads=1))
        first = asyncio.create_task(objects.put("a" * 64, held()))
        await entered.wait()
        with pytest.raises(UnavailableError, match="in time"):
            await objects.put("b" * 64, stream(1))
        leave.set()
        await first


async def test_a_store_away_stops_the_start_and_is_named() -> None:
    async with scripted(lambda _: HANG) as server:
        gone = server.bucket
    with pytest.raises(StartUpError, match=gone.endpoint):
        await S3Objects.open(gone)


@pytest.mark.parametrize("expires_s", [0, -1, 7 * 24 * 3600 + 1])
async def test_a_url_for_no_time_or_for_ever_is_a_bug(expires_s: int) -> None:
    with pytest.raises(ValueError, match="7 days"):
        await S3Objects(BUCKET, S3Limits()).sign("GET", DIGEST, expires_s)


async def test_no_url_is_signed_where_its_holder_would_need_our_key() -> None:
    sealed = replace(BUCKET, customer_key=bytes(32))
    assert await S3Objects(sealed, S3Limits()).sign("GET", DIGEST, 60) is None


async def test_secrets_are_told_to_nobody(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with scripted(lambda _: refusal(403, "AccessDenied")) as server:
        bucket = replace(server.bucket, customer_key=b"k" * 32)
        objects = S3Objects(bucket, S3Limits())
        with pytest.raises(UnavailableError) as caught:
            await objects.put(DIGEST, b"picture")
    said = f"{caught.getrepr(chain=True)} {caplog.text} {objects!r} {vars(objects)}"
    assert SECRET not in said
    assert "a2tra2tra2tra2tra2tra2" not in said
    assert repr(b"k" * 32) not in said


async def test_aws_variables_of_the_machine_change_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN", "REGION"):
        monkeypatch.setenv(f"AWS_{name}", "foreign")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_SKIP_SIGNATURE", "true")
    async with scripted(lambda _: Reply()) as server:
        await S3Objects(server.bucket, S3Limits()).put(DIGEST, b"picture")
    [request] = server.requests
    assert "credential=access/" in request.headers["authorization"]
    assert "x-amz-security-token" not in request.headers
