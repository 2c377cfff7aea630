"""What every object store does; see `ports.ObjectStore`."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from dinoserve.errors import UnavailableError
from dinoserve.ports import ObjectStore

# More than one chunk, and no multiple of any power of two.
LARGE = bytes(range(251)) * 4001
# More than two parts of 5 MiB, and more than two ranges of 4 MiB.
HUGE = LARGE * 11
CHUNK = 64 * 1024


async def stored(objects: ObjectStore, data: bytes) -> str:
    sha256 = hashlib.sha256(data).hexdigest()
    await objects.put(sha256, data)
    return sha256


async def stream(data: bytes, step: int) -> AsyncIterator[bytes]:
    for start in range(0, len(data), step):
        yield data[start : start + step]


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


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 4 * CHUNK])
async def test_bytes_about_a_chunk_long_keep_their_size(
    objects: ObjectStore, size: int
) -> None:
    sha256 = await stored(objects, LARGE[:size])
    assert await objects.size(sha256) == size
    assert b"".join(await chunks(objects, sha256, 0, size)) == LARGE[:size]


@pytest.mark.parametrize(
    ("data", "step"),
    [(b"", 1), (b"picture", 3), (LARGE, 1000), (LARGE, CHUNK), (HUGE, 1_000_003)],
)
async def test_a_stream_comes_back_as_it_was_given(
    objects: ObjectStore, data: bytes, step: int
) -> None:
    sha256 = hashlib.sha256(data).hexdigest()
    await objects.put(sha256, stream(data, step))
    assert await objects.size(sha256) == len(data)
    assert b"".join(await chunks(objects, sha256, 0, len(data))) == data


async def test_a_stream_of_one_chunk_comes_back(objects: ObjectStore) -> None:
    sha256 = hashlib.sha256(HUGE).hexdigest()
    await objects.put(sha256, stream(HUGE, len(HUGE)))
    assert b"".join(await chunks(objects, sha256, 0, len(HUGE))) == HUGE


@pytest.mark.parametrize("given", [0, 1, len(HUGE)])
async def test_a_stream_that_fails_stores_nothing_and_says_why(
    objects: ObjectStore, given: int
) -> None:
    async def broken() -> AsyncIterator[bytes]:
        async for chunk in stream(HUGE[:given], 1_000_003):
            yield chunk
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await objects.put("a" * 64, broken())
    assert await objects.size("a" * 64) is None


async def test_a_stream_can_be_stored_where_one_has_failed(
    objects: ObjectStore,
) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield HUGE
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await objects.put("a" * 64, broken())
    await objects.put("a" * 64, stream(LARGE, CHUNK))
    assert b"".join(await chunks(objects, "a" * 64, 0, len(LARGE))) == LARGE


async def test_an_object_can_be_streamed_into_another(objects: ObjectStore) -> None:
    sha256 = await stored(objects, HUGE)
    await objects.put("b" * 64, objects.read(sha256, 0, len(HUGE)))
    assert b"".join(await chunks(objects, "b" * 64, 0, len(HUGE))) == HUGE


async def test_a_range_across_everything_gives_just_its_bytes(
    objects: ObjectStore,
) -> None:
    sha256 = await stored(objects, HUGE)
    found = b"".join(await chunks(objects, sha256, 1, len(HUGE) - 1))
    assert found == HUGE[1:-1]


async def test_a_huge_range_beyond_the_end_is_unavailable_before_the_first_chunk(
    objects: ObjectStore,
) -> None:
    sha256 = await stored(objects, HUGE)
    with pytest.raises(UnavailableError):
        await anext(aiter(objects.read(sha256, 0, len(HUGE) + 1)))


async def test_a_store_tells_of_every_object_once(objects: ObjectStore) -> None:
    bodies = [b"x" * size for size in range(20)]
    digests = [await stored(objects, data) for data in bodies]
    found = [(entry.sha256, entry.size_bytes) async for entry in objects.scan()]
    assert sorted(found) == sorted(zip(digests, range(20), strict=True))


async def test_an_empty_store_tells_of_no_object(objects: ObjectStore) -> None:
    await objects.delete(await stored(objects, b"picture"))
    assert [entry async for entry in objects.scan()] == []


@pytest.mark.parametrize("digits", [0, 1, 2, 3, 4, 5, 32, 64])
async def test_a_store_tells_of_the_objects_whose_names_begin_so(
    objects: ObjectStore, digits: int
) -> None:
    name = "ab3f" + "0" * 60
    near = [name[:at] + "e" + name[at + 1 :] for at in (0, 1, 2, 3, 4, 31, 32, 63)]
    for each in (name, *near):
        await objects.put(each, b"picture")
    prefix = name[:digits]
    found = [entry.sha256 async for entry in objects.scan(prefix)]
    meant = [each for each in (name, *near) if each.startswith(prefix)]
    assert sorted(found) == sorted(meant)


@pytest.mark.parametrize("prefix", ["0", "00", "000", "0" * 32, "0" * 64])
async def test_a_store_tells_of_nothing_where_no_name_begins_so(
    objects: ObjectStore, prefix: str
) -> None:
    await stored(objects, b"picture")
    assert [entry async for entry in objects.scan(prefix)] == []


async def test_a_store_tells_when_an_object_was_stored(objects: ObjectStore) -> None:
    await stored(objects, b"picture")
    [entry] = [entry async for entry in objects.scan()]
    # Some servers tell the second only, and their clock is not ours.
    assert abs(datetime.now(UTC) - entry.stored_at) < timedelta(minutes=5)


async def test_a_url_is_signed_for_digests_only(objects: ObjectStore) -> None:
    url = await objects.sign("GET", await stored(objects, b"picture"), 60)
    assert url is None or url.startswith("http")
