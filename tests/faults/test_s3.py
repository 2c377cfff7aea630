"""A real S3 server that refuses, is full, is killed, or is asked by many at once."""

import asyncio
import hashlib
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import httpx2
import pytest

from dinoserve.adapters.objects import Bucket, S3Objects
from dinoserve.adapters.objects.bucket import S3Limits
from dinoserve.errors import StartUpError, StorageFullError, UnavailableError
from object_servers import ceph, ceph_bucket, fresh_bucket, keys, moto, opened

DATA = b"picture" * 1000
DIGEST = hashlib.sha256(DATA).hexdigest()
KEY = bytes(range(32))
MIB = 1024 * 1024


async def stream(chunks: int) -> AsyncIterator[bytes]:
    for _ in range(chunks):
        yield os.urandom(MIB)


async def read(objects: S3Objects) -> bytes:
    return b"".join([chunk async for chunk in objects.read(DIGEST, 0, len(DATA))])


def parts_in(bucket: Bucket) -> list[str]:
    return [entry for entry in ceph().entries(bucket.name) if "multipart" in entry]


def many_uploads(count: int) -> subprocess.CompletedProcess[str]:
    script = Path(__file__).parents[1] / "many_uploads.py"
    arguments = [moto().endpoint, moto().name, str(count)]
    command = [sys.executable, str(script), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.needs("s3")
@pytest.mark.parametrize(
    "wrong", [{"access_key": "nobody"}, {"secret_key": "not-the-secret"}]
)
async def test_wrong_credentials_stop_the_start_and_name_their_settings(
    wrong: dict[str, str],
) -> None:
    bucket = replace(fresh_bucket("s3"), **wrong)
    with pytest.raises(StartUpError, match="DINOSERVE_S3_ACCESS_KEY"):
        await S3Objects.open(bucket)


@pytest.mark.needs("s3")
async def test_a_bucket_that_does_not_exist_stops_the_start_and_names_its_setting() -> (
    None
):
    bucket = replace(fresh_bucket("s3"), name="there-is-no-such-bucket")
    with pytest.raises(StartUpError, match="DINOSERVE_OBJECTS"):
        await S3Objects.open(bucket)


@pytest.mark.needs("ceph")
async def test_a_bucket_of_someone_else_stops_the_start() -> None:
    bucket = replace(ceph_bucket("own"), name=ceph_bucket("other").name)
    with pytest.raises(StartUpError, match="DINOSERVE_S3_ACCESS_KEY"):
        await S3Objects.open(bucket)


@pytest.mark.needs("s3")
@pytest.mark.parametrize(
    ("begun", "then"), [(KEY, KEY[::-1]), (KEY, None), (None, KEY)]
)
async def test_another_customer_key_than_at_the_beginning_stops_the_start(
    begun: bytes | None, then: bytes | None
) -> None:
    bucket = replace(fresh_bucket("s3"), customer_key=begun)
    async with opened(bucket):
        with pytest.raises(StartUpError, match="DINOSERVE_S3_SSE_C_KEY"):
            await S3Objects.open(replace(bucket, customer_key=then))


@pytest.mark.needs("s3")
@pytest.mark.parametrize("key", [KEY, None])
async def test_what_was_stored_is_there_after_a_restart(key: bytes | None) -> None:
    bucket = replace(fresh_bucket("s3"), customer_key=key)
    async with opened(bucket) as objects:
        await objects.put(DIGEST, DATA)
        assert await read(await S3Objects.open(bucket)) == DATA


@pytest.mark.needs("s3")
async def test_sealed_bytes_cannot_be_read_without_the_key() -> None:
    bucket = replace(fresh_bucket("s3"), customer_key=KEY)
    async with opened(bucket) as objects:
        await objects.put(DIGEST, DATA)
        with pytest.raises(UnavailableError):
            await read(S3Objects(replace(bucket, customer_key=None), S3Limits()))


@pytest.mark.needs("s3")
async def test_whoever_has_a_signed_url_reads_the_object_and_nothing_else() -> None:
    async with opened(fresh_bucket("s3")) as objects:
        await objects.put(DIGEST, DATA)
        url = await objects.sign("GET", DIGEST, 60)
        assert url is not None
        async with httpx2.AsyncClient() as http:
            assert (await http.get(url)).content == DATA
            assert (await http.put(url, content=b"evil")).status_code == 403
            assert (await http.get(url.split("?")[0])).status_code == 403
            other = url.replace(DIGEST, "a" * 64)
            assert (await http.get(other)).status_code == 403


@pytest.mark.needs("s3")
async def test_whoever_has_a_signed_url_writes_the_object_and_nothing_else() -> None:
    async with opened(fresh_bucket("s3")) as objects:
        url = await objects.sign("PUT", DIGEST, 60)
        assert url is not None
        async with httpx2.AsyncClient() as http:
            other = url.replace(DIGEST, "a" * 64)
            assert (await http.put(other, content=DATA)).status_code == 403
            assert (await http.put(url, content=DATA)).status_code == 200
        assert await read(objects) == DATA
        assert [entry.sha256 async for entry in objects.scan()] == [DIGEST]


@pytest.mark.needs("s3")
async def test_a_store_does_not_see_another_below_its_prefix() -> None:
    outer = fresh_bucket("s3")
    inner = replace(outer, prefix=f"{outer.prefix}/inner")
    async with opened(outer) as objects, opened(inner) as others:
        await others.put(DIGEST, DATA)
        assert await objects.size(DIGEST) is None
        assert [entry async for entry in objects.scan()] == []


@pytest.mark.needs("ceph")
async def test_a_full_quota_is_told_and_nothing_is_left() -> None:
    bucket = ceph_bucket("small", quota_bytes=MIB)
    objects = await S3Objects.open(bucket)
    await objects.put(DIGEST, DATA)
    with pytest.raises(StorageFullError):
        await objects.put("a" * 64, bytes(2 * MIB))
    with pytest.raises(StorageFullError):
        await objects.put("b" * 64, stream(12))
    assert [entry.sha256 async for entry in objects.scan()] == [DIGEST]
    assert parts_in(bucket) == []
    assert await read(objects) == DATA


@pytest.mark.needs("ceph")
async def test_a_stream_that_fails_leaves_no_parts() -> None:
    async def broken() -> AsyncIterator[bytes]:
        async for chunk in stream(12):
            yield chunk
        seen.extend(parts_in(bucket))
        raise ZeroDivisionError

    seen: list[str] = []
    bucket = ceph_bucket("broken")
    objects = await S3Objects.open(bucket)
    with pytest.raises(ZeroDivisionError):
        await objects.put(DIGEST, broken())
    assert seen, "no part was ever there: this test shows nothing"
    assert parts_in(bucket) == []


@pytest.mark.needs("ceph")
async def test_a_killed_server_loses_nothing_and_is_taken_up_again() -> None:
    bucket = replace(ceph_bucket("killed"), prefix="below")
    objects = await S3Objects.open(bucket)
    acknowledged: list[str] = []

    async def keep(number: int) -> None:
        data = b"%d" % number * 50_000
        digest = hashlib.sha256(data).hexdigest()
        await objects.put(digest, data)
        acknowledged.append(digest)
        if len(acknowledged) == 20:
            await asyncio.to_thread(ceph().kill_gateway)

    try:
        async with asyncio.timeout(60):
            work = (keep(number) for number in range(60))
            done = await asyncio.gather(*work, return_exceptions=True)
    finally:
        await asyncio.to_thread(ceph().start_gateway)
    failed = [error for error in done if error is not None]
    assert failed, "every write was over before the kill: this test shows nothing"
    assert {type(error) for error in failed} == {UnavailableError}
    assert await objects.ping()
    found = {entry.sha256: entry.size_bytes async for entry in objects.scan()}
    assert set(acknowledged) <= set(found)
    assert set(found.values()) <= {50_000, 100_000}


@pytest.mark.needs("moto")
@pytest.mark.timeout(600)
def test_two_hundred_large_streams_take_less_than_400_mb() -> None:
    done = many_uploads(200)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 400_000_000


@pytest.mark.needs("moto")
def test_a_process_that_ends_after_its_last_answer_ends_well() -> None:
    codes = [many_uploads(1).returncode for _ in range(4)]
    assert codes == [0] * 4


@pytest.mark.needs("moto")
async def test_nothing_is_left_below_a_prefix_that_was_cleared() -> None:
    bucket = fresh_bucket("moto")
    async with opened(bucket) as objects:
        await objects.put(DIGEST, DATA)
    assert await keys(bucket) == []
