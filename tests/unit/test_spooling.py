"""Bytes that wait on the disk: the same as in memory, and gone in time."""

import asyncio
import hashlib
import os
import tempfile
import threading
from collections.abc import AsyncIterator
from io import FileIO
from pathlib import Path

import pytest

from dinoserve.errors import StorageFullError, UnavailableError
from dinoserve.services.spooling import (
    SMALL_BYTES,
    Data,
    Spooled,
    contents_of,
    holding,
    sha256_of,
    spooled,
)
from small_disk import small_disk
from spools import spools

LARGE = os.urandom(3 * SMALL_BYTES + 17)


async def stream(data: bytes, chunk_bytes: int = 100_000) -> AsyncIterator[bytes]:
    for start in range(0, len(data), chunk_bytes):
        yield data[start : start + chunk_bytes]


async def gathered(data: Data) -> bytes:
    contents = contents_of(data)
    assert not isinstance(contents, bytes)
    return b"".join([chunk async for chunk in contents])


@pytest.mark.parametrize("size", [0, 1, SMALL_BYTES])
async def test_what_was_announced_as_small_stays_in_memory(size: int) -> None:
    async with spooled(stream(LARGE[:size]), size) as data:
        assert data == LARGE[:size]


@pytest.mark.parametrize("declared", [None, len(LARGE), 10])
async def test_what_is_large_is_on_the_disk_whatever_was_announced(
    declared: int | None,
) -> None:
    before = spools()
    async with spooled(stream(LARGE), declared) as data:
        assert spools() == before + 1
        assert isinstance(data, Spooled)
        assert len(data) == len(LARGE)
        assert data.read() == LARGE
    assert spools() == before


async def test_what_did_not_say_how_much_comes_keeps_its_beginning_in_memory() -> None:
    async with spooled(stream(LARGE[:60_000])) as data:
        assert data == LARGE[:60_000]
    async with spooled(stream(LARGE[:100_000])) as data:
        assert isinstance(data, Spooled)


async def test_a_spooled_file_streams_its_bytes_in_small_chunks() -> None:
    async with spooled(stream(LARGE)) as data:
        assert await gathered(data) == LARGE
        sizes = [len(chunk) async for chunk in as_spooled(data).chunks()]
    assert max(sizes) <= 256 * 1024


async def test_two_read_the_same_file_without_disturbing_each_other() -> None:
    async with spooled(stream(LARGE)) as data:
        first, second = await asyncio.gather(gathered(data), gathered(data))
    assert first == second == LARGE


@pytest.mark.parametrize("size", [10, len(LARGE)])
async def test_the_digest_is_that_of_all_bytes(size: int) -> None:
    async with spooled(stream(LARGE[:size])) as data:
        assert sha256_of(data) == hashlib.sha256(LARGE[:size]).hexdigest()


async def test_who_holds_the_bytes_can_read_them_after_the_block() -> None:
    before = spools()
    async with spooled(stream(LARGE)) as data:
        hold = holding(data)
        hold.__enter__()
    assert as_spooled(data).read() == LARGE
    hold.__exit__(None, None, None)
    assert spools() == before


async def test_who_comes_too_late_reads_nothing_rather_than_other_bytes() -> None:
    async with spooled(stream(LARGE)) as data:
        pass
    with pytest.raises(ValueError, match="gone"):
        as_spooled(data).read()


async def test_a_stream_that_fails_leaves_no_file() -> None:
    async def failing() -> AsyncIterator[bytes]:
        yield LARGE
        raise KeyError

    before = spools()
    with pytest.raises(KeyError):
        async with spooled(failing()):
            pytest.fail("it was taken for whole")
    assert spools() == before


async def test_a_caller_that_leaves_while_bytes_come_leaves_no_file() -> None:
    written = asyncio.Event()

    async def waiting() -> AsyncIterator[bytes]:
        yield LARGE
        written.set()
        await asyncio.Event().wait()

    async def take() -> None:
        async with spooled(waiting()):
            pytest.fail("it was taken for whole")

    before = spools()
    task = asyncio.create_task(take())
    await written.wait()
    assert spools() == before + 1
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert spools() == before


async def test_the_last_of_many_readers_closes_the_file() -> None:
    before = spools()
    begun = threading.Barrier(5)

    def read(data: Spooled) -> bytes:
        with data.held():
            begun.wait(60)
            return data.read()

    async with spooled(stream(LARGE)) as data:
        reading = [
            asyncio.create_task(asyncio.to_thread(read, as_spooled(data)))
            for _ in range(4)
        ]
        await asyncio.to_thread(begun.wait, 60)
    assert await asyncio.gather(*reading) == [LARGE] * 4
    assert spools() == before


def test_a_file_that_was_cut_short_is_not_taken_for_whole(tmp_path: Path) -> None:
    path = tmp_path / "spool"
    path.write_bytes(LARGE)
    data = Spooled(FileIO(path))
    with data.held():
        os.truncate(path, 1000)
        with pytest.raises(UnavailableError) as caught:
            data.read()
    assert caught.value.port == "temporary"


@pytest.mark.needs("tmpfs")
async def test_a_full_disk_is_told_and_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with small_disk(tmp_path) as folder:
        monkeypatch.setattr(tempfile, "tempdir", str(folder))
        before = spools()
        with pytest.raises(StorageFullError) as caught:
            async with spooled(stream(LARGE)):
                pytest.fail("it was taken for whole")
        assert spools() == before
    assert caught.value.port == "temporary"


def as_spooled(data: Data) -> Spooled:
    assert isinstance(data, Spooled)
    return data
