"""Files that are whole or absent, and synced before anyone is told of them."""

import asyncio
import errno
import os
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import ParamSpec, TypeVar

from dinoserve.adapters.objects.formats import Encoder
from dinoserve.errors import StorageFullError, UnavailableError

# No write of a file lasts so long.
_LEFT_OVER_S = 3600
_FULL = {errno.ENOSPC, errno.EDQUOT}
_P = ParamSpec("_P")
_T = TypeVar("_T")


@contextmanager
def translate() -> Generator[None]:
    """Turn what the disk raises inside the block into errors of the port.

    Raises:
        StorageFullError: the disk or quota is full.
        UnavailableError: any other failure, a missing object included.
    """
    try:
        yield
    except FileNotFoundError as error:
        raise UnavailableError(
            "The bytes of this asset are missing from the object store.", port="objects"
        ) from error
    except OSError as error:
        if error.errno in _FULL:
            raise StorageFullError(
                "The disk under the objects is full; nothing was stored. Try again"
                " when space has been made.",
                port="objects",
            ) from error
        raise UnavailableError(
            "The object store did not answer; try again.", port="objects"
        ) from error


async def on_disk(work: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
    """Return what the work returns, done in a thread; errors as `translate`."""
    with translate():
        return await asyncio.to_thread(work, *args, **kwargs)


class Write:
    """One file on its way: written beside its place, then synced and put there.

    Args:
        path: its place.
        folders: what of the folders above it is synced.
        encoder: what the bytes go through.
    """

    def __init__(self, path: Path, folders: "SyncedFolders", encoder: Encoder) -> None:
        self._path = path
        self._folders = folders
        self._encoder = encoder
        self._beside = path.with_name(f"{path.name}#1")
        self._is_new = not path.exists()
        folders.make(path.parent)
        self._file = self._beside.open("wb")

    def add(self, data: bytes) -> None:
        """Write more bytes."""
        self._file.write(self._encoder.update(data))

    def finish(self) -> None:
        """Put the file in its place; return when it and its folders are synced."""
        self._file.write(self._encoder.finish())
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self._beside.replace(self._path)
        self._folders.sync(self._path.parent)

    def undo(self) -> None:
        """Leave nothing of the write; what was there before it stays."""
        with suppress(OSError):  # what could not be flushed is not wanted
            self._file.close()
        self._beside.unlink(missing_ok=True)
        if self._is_new:
            erase(self._path)


class SyncedFolders:
    """Folders whose own entries are synced: doing it again would cost a disk its time.

    Methods may be called from many threads.

    Args:
        top: a folder above all others; it exists, and its own entry is not ours.
    """

    def __init__(self, top: Path) -> None:
        self._top = top
        self._synced: set[str] = set()

    def make(self, folder: Path) -> None:
        """Make the folder, and those between it and the top, if absent."""
        if not folder.exists():
            self.make(folder.parent)
            # First: who sees the new folder must not take it for the one it was.
            self._synced.discard(str(folder))
            folder.mkdir(exist_ok=True)

    def sync(self, folder: Path) -> None:
        """Sync what the folder holds, and every entry on the way to it."""
        _sync(folder)
        at, new = folder, list[str]()
        while at != self._top and str(at) not in self._synced:
            new.append(str(at))
            at = at.parent
            _sync(at)
        self._synced.update(new)


def erase(path: Path) -> None:
    """Remove the file and what killed writes left beside it; absent: no error."""
    for left in [path, *path.parent.glob(f"{path.name}#*")]:
        left.unlink(missing_ok=True)
    with suppress(FileNotFoundError):
        _sync(path.parent)


def erase_unfinished(folder: Path) -> None:
    """Remove what killed writes left, wherever nobody writes now."""
    for left in folder.glob("??/??/*#*"):
        left.unlink(missing_ok=True)


def size_of(path: Path) -> int | None:
    """Return the file's bytes. Absent: None."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return None


def folders(folder: Path) -> list[Path]:
    """Return the folders of the first level, `00` to `ff`, that exist."""
    return [path for path in sorted(folder.glob("??")) if path.is_dir()]


def files(folder: Path) -> Iterator[Path]:
    """Yield the files of a folder of the first level."""
    yield from folder.glob("??/*")


def is_left_over(path: Path, status: os.stat_result) -> bool:
    """Tell whether a killed write left this file, an hour ago or earlier."""
    return "#" in path.name and status.st_mtime < time.time() - _LEFT_OVER_S


def check_writable(folder: Path) -> None:
    """Pass if new files can be made in the folder; else OSError."""
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OSError(errno.EACCES, "not writable", str(folder))


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
