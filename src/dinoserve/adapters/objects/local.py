"""Bytes under their SHA-256, in a folder on a disk."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterable, AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO
from weakref import WeakValueDictionary

from dinoserve.adapters.objects import files
from dinoserve.adapters.objects.files import Write, on_disk
from dinoserve.adapters.objects.formats import Format, Plain, Sealed
from dinoserve.adapters.objects.names import (
    CHUNK_BYTES,
    check_range,
    digest_of,
    key_of,
)
from dinoserve.errors import StartUpError, StorageFullError, UnavailableError
from dinoserve.ports import Contents, SignedMethod, StoredObject

RESERVE_BYTES = 16 * 1024 * 1024
# A file that opens with the folder's key only. It lies where no digest's file does.
_CHECK_FILE = "key-check"
_CHECK_DIGEST = "0" * 64
_CHECK = b"dinoserve"


class LocalObjects:
    """`ports.ObjectStore` in a folder: `ab/cd/<sha256>`, made if absent.

    Args:
        folder: used by no one else; its parent exists.
        reserve_bytes: room on the disk that is never filled, so that the database
            beside it can still note what is erased.
        key: 32 bytes that seal every object; None: they lie there as they are.

    Raises:
        StartUpError: the folder was begun with another key, or without one.
        UnavailableError: the folder cannot be made or read.
        ValueError: a digest that is not 64 hex digits, a range that is none.
    """

    def __init__(
        self,
        folder: Path,
        reserve_bytes: int = RESERVE_BYTES,
        key: bytes | None = None,
    ) -> None:
        self._folder = folder
        self._reserve_bytes = reserve_bytes
        self._folders = files.SyncedFolders(folder.parent)
        self._format: Format = Sealed(key) if key else Plain()
        # Writing and deleting the same bytes must not meet.
        self._locks = WeakValueDictionary[str, asyncio.Lock]()
        with files.translate():
            folder.mkdir(exist_ok=True)
            if key:
                self._check_key()
            elif (folder / _CHECK_FILE).exists():
                raise StartUpError(
                    f"The objects in {folder} are sealed. Set DINOSERVE_OBJECTS_KEY to"
                    " the key they were begun with."
                )

    async def put(self, sha256: str, data: Contents) -> None:
        """Store the bytes; return when file and folders are synced.

        Bytes already there are read and compared, since a crash of the machine may
        have damaged a write that was never acknowledged; they are synced again. A
        stream replaces what is there.
        """
        # A caller that leaves must not free the lock while the write goes on.
        await asyncio.shield(self._put(self._path(sha256), data))

    async def size(self, sha256: str) -> int | None:
        """Return the number of bytes. Absent: None."""
        size = await on_disk(files.size_of, self._path(sha256))
        return None if size is None else self._format.size(size)

    async def read(self, sha256: str, start: int, stop: int) -> AsyncIterator[bytes]:
        """Yield the bytes [start, stop) in chunks of 256 KiB at most.

        Raises:
            UnavailableError: before the first chunk, if any of the bytes is missing;
                before any chunk that was changed on the disk.
        """
        path = self._path(sha256)
        check_range(start, stop)
        if start == stop:
            return
        with await on_disk(self._open, path, stop) as file:
            for begin in range(start, stop, CHUNK_BYTES):
                end = min(begin + CHUNK_BYTES, stop)
                yield await on_disk(self._format.read, file, sha256, begin, end)

    async def delete(self, sha256: str) -> None:
        """Remove the bytes and what a killed write left beside them, for good."""
        await asyncio.shield(self._delete(self._path(sha256)))

    async def scan(self, prefix: str = "") -> AsyncIterator[StoredObject]:
        """Yield the objects named so, a 256th of all at a time in memory.

        What killed writes left beside their places an hour ago is removed on the way.
        """
        for folder in await on_disk(files.folders, self._folder):
            if folder.name.startswith(prefix[:2]):
                for found in await on_disk(self._stored_below, folder, prefix):
                    yield found

    async def sign(
        self, method: SignedMethod, sha256: str, expires_s: int
    ) -> str | None:
        """Return None: nobody but this process gives the files away."""
        del method, sha256, expires_s
        return None

    async def ping(self) -> str:
        """Return `local folder` if it is there and can be written to."""
        await on_disk(files.check_writable, self._folder)
        return "local folder"

    async def _put(self, path: Path, data: Contents) -> None:
        async with self._lock(path.name):
            if isinstance(data, bytes):
                await on_disk(self._put_bytes, path, data)
            else:
                await self._put_stream(path, data)

    async def _delete(self, path: Path) -> None:
        async with self._lock(path.name):
            await on_disk(files.erase, path)

    def _put_bytes(self, path: Path, data: bytes) -> None:
        if self._holds(path, data):
            self._folders.sync(path.parent)
            return
        self._check_room(len(data))
        self._write(path, data)

    def _write(self, path: Path, data: bytes, sha256: str | None = None) -> None:
        write = self._begin(path, sha256 or path.name)
        try:
            write.add(data)
            write.finish()
        except BaseException:
            write.undo()
            raise

    def _begin(self, path: Path, sha256: str) -> Write:
        return Write(path, self._folders, self._format.encoder(sha256))

    async def _put_stream(self, path: Path, data: AsyncIterable[bytes]) -> None:
        write = await on_disk(self._begin, path, path.name)
        try:
            async for chunk in data:
                await on_disk(self._check_room, len(chunk))
                await on_disk(write.add, chunk)
            await on_disk(write.finish)
        except BaseException:
            await on_disk(write.undo)
            raise

    def _holds(self, path: Path, data: bytes) -> bool:
        """Tell whether just these bytes are there; if so, they are synced."""
        size = files.size_of(path)
        if size is None or self._format.size(size) != len(data):
            return False
        with path.open("rb") as file:
            try:
                is_held = self._format.read(file, path.name, 0, len(data)) == data
            except UnavailableError:  # damaged: to be written again
                return False
            os.fsync(file.fileno())
        return is_held

    def _open(self, path: Path, stop: int) -> BinaryIO:
        file = path.open("rb")
        if self._format.size(os.fstat(file.fileno()).st_size) >= stop:
            return file
        file.close()
        raise FileNotFoundError(f"{path} ends before {stop}")

    def _stored_below(self, folder: Path, prefix: str) -> list[StoredObject]:
        stored: list[StoredObject] = []
        for path in files.files(folder):
            if not path.name.startswith(prefix):
                continue
            with suppress(FileNotFoundError):  # erased since the folder was read
                status = path.stat()
                if files.is_left_over(path, status):
                    path.unlink()
                elif sha256 := digest_of(path.name):
                    at = datetime.fromtimestamp(status.st_mtime, UTC)
                    size = self._format.size(status.st_size)
                    stored.append(StoredObject(sha256, size, at))
        return stored

    def _check_room(self, wanted_bytes: int) -> None:
        left = shutil.disk_usage(self._folder).free - wanted_bytes
        if left < self._reserve_bytes:
            raise StorageFullError(
                f"The disk would keep less than {self._reserve_bytes} bytes free;"
                " nothing was stored. Make room, then try again.",
                port="objects",
            )

    def _check_key(self) -> None:
        """Pass if the key is the one that the folder was begun with.

        Raises:
            StartUpError: it is not, or objects lie here that are not sealed.
        """
        check = self._folder / _CHECK_FILE
        if not check.exists():
            self._begin_sealed(check)
        with check.open("rb") as file:
            try:
                self._format.read(file, _CHECK_DIGEST, 0, len(_CHECK))
            except UnavailableError as error:
                raise StartUpError(
                    f"DINOSERVE_OBJECTS_KEY is not the key that {self._folder} was"
                    " begun with. Set that one."
                ) from error

    def _begin_sealed(self, check: Path) -> None:
        for folder in files.folders(self._folder):
            if any(digest_of(path.name) for path in files.files(folder)):
                raise StartUpError(
                    f"{self._folder} holds objects that are not sealed. Take"
                    " DINOSERVE_OBJECTS_KEY away, or begin with an empty folder."
                )
        self._write(check, _CHECK, _CHECK_DIGEST)

    def _path(self, sha256: str) -> Path:
        return self._folder / key_of(sha256)

    def _lock(self, sha256: str) -> asyncio.Lock:
        return self._locks.setdefault(sha256, asyncio.Lock())
