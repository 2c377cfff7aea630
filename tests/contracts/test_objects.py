"""What every object store does; see `ports.ObjectStore`."""

import asyncio
import hashlib
from pathlib import Path

import pytest

from dinoserve.adapters.memory import MemoryObjects
from dinoserve.adapters.objects import LocalObjects
from dinoserve.errors import UnavailableError
from dinoserve.ports import ObjectStore

# More than one chunk, and no multiple of any power of two.
LARGE = bytes(range(251)) * 4001


@pytest.fixture(params=["local", "memory"])
def objects(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    if request.param == "memory":
        return MemoryObjects()
    return LocalObjects(tmp_path / "objects")


async def stored(objects: ObjectStore, data: bytes) -> str:
    sha256 = hashlib.sha256(data).hexdigest()
    await objects.put(sha256, data)
    return sha256


async def chunks(
    objects: ObjectStore, sha256: str, start: int, stop: int
) -> list[bytes]:
    return [chunk async for chunk in objects.read(sha256, start, stop)]


@pytest.mark.parametrize("data", [b"", b"\0", b"picture", LARGE])
async def test_bytes_come_back_as_they_were_given(
    objects: ObjectStore, data: bytes
) -> None:
    sha256 = await stored(objects, data)
    assert b"".join(await chunks(objects, sha256, 0, len(data))) == data


@pytest.mark.parametrize(
    ("start", "stop"),
    [(0, 1), (5, 9), (262_143, 262_145), (1000, 900_000), (len(LARGE) - 1, len(LARGE))],
)
async def test_a_range_gives_just_its_bytes(
    objects: ObjectStore, start: int, stop: int
) -> None:
    sha256 = await stored(objects, LARGE)
    assert b"".join(await chunks(objects, sha256, start, stop)) == LARGE[start:stop]


async def test_an_empty_range_gives_nothing(objects: ObjectStore) -> None:
    sha256 = await stored(objects, b"picture")
    assert await chunks(objects, sha256, 3, 3) == []


async def test_large_bytes_come_in_bounded_chunks(objects: ObjectStore) -> None:
    sha256 = await stored(objects, LARGE)
    found = await chunks(objects, sha256, 0, len(LARGE))
    assert max(len(chunk) for chunk in found) <= 256 * 1024


async def test_a_range_beyond_the_end_is_unavailable_before_the_first_chunk(
    objects: ObjectStore,
) -> None:
    sha256 = await stored(objects, LARGE)
    with pytest.raises(UnavailableError):
        await anext(aiter(objects.read(sha256, 0, len(LARGE) + 1)))


async def test_reading_absent_bytes_is_unavailable(objects: ObjectStore) -> None:
    with pytest.raises(UnavailableError) as caught:
        await chunks(objects, "a" * 64, 0, 1)
    assert caught.value.port == "objects"


async def test_size_tells_the_number_of_bytes(objects: ObjectStore) -> None:
    assert await objects.size(await stored(objects, b"picture")) == 7


async def test_absent_bytes_have_no_size(objects: ObjectStore) -> None:
    assert await objects.size("a" * 64) is None


async def test_storing_twice_is_the_same_as_once(objects: ObjectStore) -> None:
    sha256 = await stored(objects, b"picture")
    await objects.put(sha256, b"picture")
    assert b"".join(await chunks(objects, sha256, 0, 7)) == b"picture"


async def test_deleted_bytes_are_absent(objects: ObjectStore) -> None:
    sha256 = await stored(objects, b"picture")
    await objects.delete(sha256)
    assert await objects.size(sha256) is None


async def test_deleting_absent_bytes_does_nothing(objects: ObjectStore) -> None:
    other = await stored(objects, b"picture")
    await objects.delete("a" * 64)
    assert await objects.size(other) == 7


async def test_deleted_bytes_can_come_again(objects: ObjectStore) -> None:
    await objects.delete(await stored(objects, b"picture"))
    assert await objects.size(await stored(objects, b"picture")) == 7


async def test_fifty_concurrent_writes_of_the_same_bytes_leave_them_whole(
    objects: ObjectStore,
) -> None:
    sha256 = hashlib.sha256(LARGE).hexdigest()
    await asyncio.gather(*(objects.put(sha256, LARGE) for _ in range(50)))
    assert b"".join(await chunks(objects, sha256, 0, len(LARGE))) == LARGE


async def test_concurrent_writes_and_deletes_leave_all_or_nothing(
    objects: ObjectStore,
) -> None:
    sha256 = hashlib.sha256(LARGE).hexdigest()
    for _ in range(10):
        await asyncio.gather(
            objects.put(sha256, LARGE),
            objects.delete(sha256),
            objects.put(sha256, LARGE),
        )
        assert await objects.size(sha256) in {None, len(LARGE)}


async def test_fifty_concurrent_writes_all_arrive(objects: ObjectStore) -> None:
    digests = await asyncio.gather(*(stored(objects, b"%d" % n) for n in range(50)))
    sizes = [await objects.size(sha256) for sha256 in digests]
    assert sizes == [1] * 10 + [2] * 40


@pytest.mark.parametrize("digest", ["", "a" * 63, "A" * 64, "../" + "a" * 61])
async def test_what_is_no_digest_is_a_bug(objects: ObjectStore, digest: str) -> None:
    with pytest.raises(ValueError, match="64 hex digits"):
        await objects.put(digest, b"")


async def test_the_store_tells_its_name(objects: ObjectStore) -> None:
    assert await objects.ping()
