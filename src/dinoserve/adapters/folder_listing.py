"""Pictures in folders of this machine: `ports.ImageListing`."""

import asyncio
import heapq
import os
import stat
from collections.abc import AsyncGenerator, Generator, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

from dinoserve.domain.assets import IMAGE_ENDINGS
from dinoserve.errors import ImageTooLargeError, InvalidInputError, NotFoundError

_BATCH = 1000
# Names of one folder that are held; a larger folder is read once for each so many.
_HELD = 50_000
# Each folder in a folder costs some frames of the stack.
_MAX_DEPTH = 128


class FolderListing:
    """Reads pictures below some folders, and nothing outside them.

    Symbolic links are followed where they lead to a file inside; folders behind them
    are not entered. Names are paths as the caller spells them.

    Args:
        roots: the folders; none: nothing may be read.
        max_bytes: of one picture.
    """

    def __init__(self, roots: Sequence[Path], max_bytes: int) -> None:
        self._roots = [os.path.abspath(root) for root in roots]  # noqa: PTH100 - what it is compared with may have bytes that are no text
        self._max_bytes = max_bytes

    def check(self, place: str) -> None:
        """Pass if the path lies below a root; links are looked at when it is read."""
        if not self._roots:
            raise InvalidInputError(
                "This server takes nothing from folders. Let the operator name some"
                " in DINOSERVE_INGEST_FOLDERS.",
                field="folder",
            )
        is_path = os.path.isabs(place) and "\0" not in place  # noqa: PTH117 - as above
        if not is_path or not self._root_of(_plain(place)):
            raise self._outside(place)

    async def names(
        self, place: str, after: str | None
    ) -> AsyncGenerator[Sequence[str]]:
        """Yield the paths of pictures, folder by folder, each in order of its names."""
        top = _plain(place)
        await asyncio.to_thread(self._check_folder, top)
        behind = after.removeprefix(top).strip("/").split("/") if after else []
        paths = _walk(top, behind)
        while batch := await asyncio.to_thread(lambda: list(islice(paths, _BATCH))):
            yield batch

    async def read(self, name: str) -> bytes:
        """Return the bytes of a regular file."""
        self.check(name)
        return await asyncio.to_thread(self._read, _plain(name))

    def _read(self, path: str) -> bytes:
        with _told(path), self._opened(path) as file:
            status = os.fstat(file)
            if not stat.S_ISREG(status.st_mode):
                raise InvalidInputError(
                    "This is no regular file.", field="path", value=_shown(path)
                )
            if status.st_size > self._max_bytes:
                raise ImageTooLargeError(
                    f"An image may have {self._max_bytes} bytes; this file has"
                    f" {status.st_size}.",
                    field="path",
                    limit=self._max_bytes,
                    value=status.st_size,
                )
            with os.fdopen(os.dup(file), "rb") as opened:
                return opened.read(self._max_bytes)

    @contextmanager
    def _opened(self, path: str) -> Generator[int]:
        """Open what the path leads to, step by step, so that no step leads outside.

        Somebody may put a link in the place of a folder after it was looked at.
        """
        real = os.path.realpath(path)
        root = self._real_root_of(real, path)
        parts = os.path.relpath(real, root).split("/")
        opened = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
        try:
            for part in parts:
                # Without waiting: a pipe may have nobody at its other end.
                flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
                step = os.open(part, flags, dir_fd=opened)
                os.close(opened)
                opened = step
            yield opened
        finally:
            os.close(opened)

    def _check_folder(self, path: str) -> None:
        with _told(path):
            real = os.path.realpath(path)
            self._real_root_of(real, path)
            if not os.path.isdir(real):  # noqa: PTH112 - as above
                raise NotFoundError(f"There is no folder {_shown(path)}.")

    def _real_root_of(self, real: str, path: str) -> str:
        for root in {os.path.realpath(root) for root in self._roots}:
            if _is_below(real, root):
                return root
        raise self._outside(path)

    def _root_of(self, path: str) -> str | None:
        return next((root for root in self._roots if _is_below(path, root)), None)

    def _outside(self, path: str) -> InvalidInputError:
        return InvalidInputError(
            "The path is not below a folder of DINOSERVE_INGEST_FOLDERS: name one of"
            " them, or what lies in it, by its absolute path.",
            field="folder",
            value=_shown(path),
        )


def _walk(folder: str, behind: Sequence[str], depth: int = 0) -> Iterator[str]:
    """Yield what lies below, the parts of a path that was yielded before behind us."""
    first = behind[0] if behind else ""
    # The folder that we stopped in is entered again; the file is not given again.
    is_met = len(behind) > 1
    while True:
        try:
            found = _entries(folder, first, is_met=is_met)
        except OSError:
            yield folder  # which cannot be read: so it is told of
            return
        for name, is_folder in found:
            path = f"{folder}/{name}"
            if is_folder and depth < _MAX_DEPTH:
                rest = behind[1:] if behind and name == behind[0] else ()
                yield from _walk(path, rest, depth + 1)
            else:
                yield path
        if len(found) < _HELD:
            return
        first, is_met = found[-1][0], False


def _entries(folder: str, first: str, *, is_met: bool) -> list[tuple[str, bool]]:
    """Return the next names of a folder, and which are folders, in order."""
    with os.scandir(folder) as entries:
        wanted = (
            (entry.name, entry.is_dir(follow_symlinks=False))
            for entry in entries
            if entry.name > first or (is_met and entry.name == first)
        )
        return heapq.nsmallest(_HELD, (one for one in wanted if _is_meant(*one)))


def _is_meant(name: str, is_folder: bool) -> bool:  # noqa: FBT001 - as `_entries` has it
    ending = os.path.splitext(name)[1].lower()  # noqa: PTH122 - a million times
    return not name.startswith(".") and (is_folder or ending in IMAGE_ENDINGS)


def _plain(path: str) -> str:
    """Return the path without dots and doubled slashes; links are not looked at."""
    return os.path.normpath(path)


def _is_below(path: str, root: str) -> bool:
    return path == root or path.startswith(root.rstrip("/") + "/")


@contextmanager
def _told(path: str) -> Generator[None]:
    """Turn what the disk says of one file into an error of the port."""
    try:
        yield
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NotFoundError(f"There is no file {_shown(path)}.") from error
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no path"
        raise InvalidInputError(
            f"This cannot be read: {reason}.", field="path", value=_shown(path)
        ) from error


def _shown(path: str) -> str:
    return path.encode(errors="replace").decode()[-200:]
