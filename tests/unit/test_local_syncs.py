"""What `LocalObjects` syncs before it acknowledges: all that is new, and no more."""

import hashlib
import os
from pathlib import Path

import pytest

from dinoserve.adapters.objects import LocalObjects

DATA = b"picture" * 1000
SHA256 = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def objects(tmp_path: Path) -> LocalObjects:
    return LocalObjects(tmp_path / "objects")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "objects" / SHA256[:2] / SHA256[2:4] / SHA256


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """What is synced from now on, in order."""
    paths: list[Path] = []
    fsync = os.fsync

    def recorded(descriptor: int) -> None:
        paths.append(Path(f"/proc/self/fd/{descriptor}").readlink())
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", recorded)
    return paths


def beside(file: Path) -> Path:
    return file.with_name(f"{file.name}#1")


async def test_a_write_syncs_the_file_and_every_folder_above_it(
    objects: LocalObjects, file: Path, tmp_path: Path, synced: list[Path]
) -> None:
    await objects.put(SHA256, DATA)
    root = tmp_path / "objects"
    assert synced == [beside(file), file.parent, file.parent.parent, root, tmp_path]


async def test_a_further_write_syncs_only_what_it_changes(
    objects: LocalObjects, file: Path, synced: list[Path]
) -> None:
    await objects.put(SHA256, DATA)
    synced.clear()
    near, far = SHA256[:4] + "0" * 60, SHA256[:2] + "0" * 62
    await objects.put(near, DATA)
    await objects.put(far, DATA)
    other = file.parent.parent / "00"
    assert synced == [
        *(beside(file.with_name(near)), file.parent),
        *(beside(other / far), other, file.parent.parent),
    ]


async def test_a_folder_that_was_removed_meanwhile_is_synced_as_a_new_one(
    objects: LocalObjects, file: Path, tmp_path: Path, synced: list[Path]
) -> None:
    await objects.put(SHA256, DATA)
    await objects.delete(SHA256)
    file.parent.rmdir()
    file.parent.parent.rmdir()
    synced.clear()
    await objects.put(SHA256, DATA)
    root = tmp_path / "objects"
    assert synced[1:4] == [file.parent, file.parent.parent, root]


async def test_objects_may_lie_in_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    objects = LocalObjects(Path("objects"))
    await objects.put(SHA256, DATA)
    assert await objects.size(SHA256) == len(DATA)
