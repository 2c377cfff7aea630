"""What `LocalObjects` does with files: sync, verify, tidy up, fail."""
# ruff: noqa: ASYNC240 - nothing else runs on the loop of a test

import asyncio
import errno
import hashlib
import os
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from dinoserve.adapters.objects import LocalObjects
from dinoserve.adapters.objects.files import translate
from dinoserve.errors import StorageFullError, UnavailableError
from small_disk import small_disk

DATA = b"picture" * 1000
SHA256 = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def objects(tmp_path: Path) -> LocalObjects:
    return LocalObjects(tmp_path / "objects")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "objects" / SHA256[:2] / SHA256[2:4] / SHA256


def files_below(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


async def test_bytes_are_there_after_reopening(
    objects: LocalObjects, tmp_path: Path
) -> None:
    await objects.put(SHA256, DATA)
    assert await LocalObjects(tmp_path / "objects").size(SHA256) == len(DATA)


async def test_a_file_lies_two_folders_deep_under_its_digest(
    objects: LocalObjects, file: Path, tmp_path: Path
) -> None:
    await objects.put(SHA256, DATA)
    assert files_below(tmp_path) == [file]
    assert file.read_bytes() == DATA


@pytest.mark.parametrize("damage", [b"", DATA[:-1], b"x" * len(DATA)])
async def test_storing_again_mends_a_damaged_file(
    objects: LocalObjects, file: Path, damage: bytes
) -> None:
    await objects.put(SHA256, DATA)
    file.write_bytes(damage)
    await objects.put(SHA256, DATA)
    assert file.read_bytes() == DATA


async def test_storing_again_does_not_write_again(
    objects: LocalObjects, file: Path
) -> None:
    await objects.put(SHA256, DATA)
    before = file.stat().st_ino
    await objects.put(SHA256, DATA)
    assert file.stat().st_ino == before


async def test_a_truncated_file_is_unavailable_before_the_first_chunk(
    objects: LocalObjects, file: Path
) -> None:
    await objects.put(SHA256, DATA)
    os.truncate(file, 10)
    with pytest.raises(UnavailableError):
        await anext(aiter(objects.read(SHA256, 0, len(DATA))))


async def test_delete_removes_what_killed_writes_left(
    objects: LocalObjects, file: Path, tmp_path: Path
) -> None:
    await objects.put(SHA256, DATA)
    for number in (1, 2):
        file.with_name(f"{SHA256}#{number}").write_bytes(DATA[:10])
    await objects.delete(SHA256)
    assert files_below(tmp_path) == []


async def test_delete_without_the_bytes_removes_what_killed_writes_left(
    objects: LocalObjects, file: Path, tmp_path: Path
) -> None:
    file.parent.mkdir(parents=True)
    file.with_name(f"{SHA256}#1").write_bytes(DATA[:10])
    await objects.delete(SHA256)
    assert files_below(tmp_path) == []


async def test_what_a_killed_write_left_does_not_hinder_the_next(
    objects: LocalObjects, file: Path
) -> None:
    file.parent.mkdir(parents=True)
    file.with_name(f"{SHA256}#1").write_bytes(b"torn")
    await objects.put(SHA256, DATA)
    assert file.read_bytes() == DATA


async def test_a_delete_waits_for_a_write_whose_caller_has_left(
    objects: LocalObjects,
    file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    entered, opened = threading.Event(), threading.Event()

    def held(_: int) -> None:
        entered.set()
        assert opened.wait(10)

    monkeypatch.setattr(os, "fsync", held)
    writing = asyncio.create_task(objects.put(SHA256, DATA))
    await asyncio.to_thread(entered.wait, 10)
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    deleting = asyncio.create_task(objects.delete(SHA256))
    for _ in range(5):
        assert await objects.ping()
    assert file.with_name(f"{SHA256}#1").exists()
    opened.set()
    await deleting
    assert files_below(tmp_path) == []


@pytest.mark.needs("tmpfs")
async def test_a_full_disk_stores_nothing_and_says_so(tmp_path: Path) -> None:
    with small_disk(tmp_path) as disk:
        objects = LocalObjects(disk / "objects", reserve_bytes=0)
        await objects.put(SHA256, DATA)
        large = b"x" * 3_000_000
        with pytest.raises(StorageFullError):
            await objects.put(hashlib.sha256(large).hexdigest(), large)
        (left,) = files_below(disk)
        assert left.name == SHA256


@pytest.mark.needs("tmpfs")
async def test_the_reserve_is_never_filled(tmp_path: Path) -> None:
    with small_disk(tmp_path) as disk:
        objects = LocalObjects(disk / "objects", reserve_bytes=900_000)
        with pytest.raises(StorageFullError, match="900000 bytes free"):
            await objects.put(SHA256, b"x" * 200_000)
        assert files_below(disk) == []


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (errno.ENOSPC, StorageFullError),
        (errno.EDQUOT, StorageFullError),
        (errno.EIO, UnavailableError),
    ],
)
@pytest.mark.parametrize("before", [0, 1, 4])
async def test_a_sync_that_fails_leaves_nothing_stored(
    objects: LocalObjects,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    code: int,
    kind: type[UnavailableError],
    before: int,
) -> None:
    outcomes = iter([None] * before + [OSError(code, "the disk fails")])
    fsync = os.fsync

    def fails_once(descriptor: int) -> None:
        if error := next(outcomes, None):
            raise error
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", fails_once)
    with pytest.raises(UnavailableError) as caught:
        await objects.put(SHA256, DATA)
    assert type(caught.value) is kind
    assert files_below(tmp_path) == []


@pytest.mark.parametrize("code", [errno.EIO, errno.EACCES, errno.ENOENT, errno.ENOSPC])
def test_no_failure_of_the_disk_tells_a_path(code: int) -> None:
    with pytest.raises(UnavailableError) as caught, translate():
        raise OSError(code, "it fails", "/a/path/of/the/server")
    assert caught.value.port == "objects"
    assert "/a/path" not in caught.value.detail


async def test_a_failed_write_leaves_what_was_there_before(
    objects: LocalObjects, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await objects.put(SHA256, DATA)

    def failing(_: int) -> None:
        raise OSError(errno.EIO, "the disk fails")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", failing)
        with pytest.raises(UnavailableError):
            await objects.put(SHA256, DATA)
    assert file.read_bytes() == DATA


async def test_a_stream_is_in_no_place_before_it_is_whole(
    objects: LocalObjects, file: Path
) -> None:
    seen: list[bool] = []

    async def stream() -> AsyncIterator[bytes]:
        for start in range(0, len(DATA), 1000):
            yield DATA[start : start + 1000]
            seen.append(file.exists())

    await objects.put(SHA256, stream())
    assert set(seen) == {False}
    assert file.read_bytes() == DATA


@pytest.mark.needs("tmpfs")
@pytest.mark.parametrize(
    ("reserve_bytes", "told"), [(0, "nothing was stored"), (500_000, "500000 bytes")]
)
async def test_a_stream_that_fills_the_disk_stores_nothing_and_says_so(
    tmp_path: Path, reserve_bytes: int, told: str
) -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield bytes(100_000)

    with small_disk(tmp_path) as disk:
        objects = LocalObjects(disk / "objects", reserve_bytes)
        with pytest.raises(StorageFullError, match=told):
            await objects.put(SHA256, endless())
        assert files_below(disk) == []


async def test_a_scan_passes_over_what_is_no_object(
    objects: LocalObjects, file: Path, tmp_path: Path
) -> None:
    await objects.put(SHA256, DATA)
    file.with_name(f"{SHA256}#1").write_bytes(b"torn")
    (tmp_path / "objects" / "lost+found").mkdir()
    (tmp_path / "objects" / "ab" / "cd").mkdir(parents=True)
    (tmp_path / "objects" / "ab" / "cd" / "note.txt").touch()
    assert [entry.sha256 async for entry in objects.scan()] == [SHA256]


async def test_a_folder_that_is_gone_does_not_answer(
    objects: LocalObjects, tmp_path: Path
) -> None:
    (tmp_path / "objects").rmdir()
    with pytest.raises(UnavailableError):
        await objects.ping()


async def test_a_file_in_the_place_of_the_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "objects").touch()
    with pytest.raises(UnavailableError):
        LocalObjects(tmp_path / "objects")


async def test_a_range_that_is_none_is_a_bug(objects: LocalObjects) -> None:
    await objects.put(SHA256, DATA)
    with pytest.raises(ValueError, match="no range"):
        await anext(aiter(objects.read(SHA256, 5, 4)))
