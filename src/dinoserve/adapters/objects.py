"""Bytes under their SHA-256, in a folder on a disk.

obstore writes beside the key and renames, so that an object is whole or absent; it
syncs nothing, so that is done here before a write is acknowledged.
"""

import asyncio
import errno
import os
import re
import shutil
from collections.abc import AsyncIterator, Generator
from contextlib import contextmanager, suppress
from pathlib import Path

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore

from dinoserve.errors import StorageFullError, UnavailableError

RESERVE_BYTES = 16 * 1024 * 1024
_CHUNK_BYTES = 256 * 1024
_SHA256 = re.compile(r"[0-9a-f]{64}")
_FULL = {errno.ENOSPC, errno.EDQUOT}
# obstore has no class for a full disk: its text holds Rust's account of the cause.
_OS_ERROR = re.compile(r"\(os error (\d+)\)")
_STRIPES = 256


@contextmanager
def translate() -> Generator[None]:
    """Turn what obstore or the disk raises inside the block into errors of the port.

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
    except (BaseError, OSError) as error:
        if _os_errors(error) & _FULL:
            raise StorageFullError(
                "The disk under the objects is full; nothing was stored. Try again"
                " when space has been made.",
                port="objects",
            ) from error
        raise UnavailableError(
            "The object store did not answer; try again.", port="objects"
        ) from error


class LocalObjects:
    """`ports.ObjectStore` in a folder: `ab/cd/<sha256>`, made if absent.

    Args:
        folder: used by no one else; its parent exists.
        reserve_bytes: room on the disk that is never filled, so that the database
            beside it can still note what is erased.

    Raises:
        ValueError: a digest that is not 64 hex digits, a range that is none.
    """

    def __init__(self, folder: Path, reserve_bytes: int = RESERVE_BYTES) -> None:
        self._folder = folder
        self._reserve_bytes = reserve_bytes
        with translate():
            self._store = LocalStore(folder, mkdir=True)
        # Writing and deleting the same bytes must not meet. Digests share a lock by
        # their first byte, which is cheaper than keeping one for each.
        self._locks = [asyncio.Lock() for _ in range(_STRIPES)]

    async def put(self, sha256: str, data: bytes) -> None:
        """Store the bytes; return when file and folders are synced.

        Bytes already there are read and compared, since a crash of the machine may
        have damaged a write that was never acknowledged; they are synced again.
        """
        # A caller that leaves must not free the lock while obstore still writes.
        await asyncio.shield(self._put(_key(sha256), data))

    async def size(self, sha256: str) -> int | None:
        """Return the number of bytes. Absent: None."""
        with translate():
            try:
                meta = await obstore.head_async(self._store, _key(sha256))
            except FileNotFoundError:
                return None
        return meta["size"]

    async def read(self, sha256: str, start: int, stop: int) -> AsyncIterator[bytes]:
        """Yield the bytes [start, stop) in chunks of 256 KiB at most.

        Raises:
            UnavailableError: before the first chunk, if any of the bytes is missing.
        """
        key = _key(sha256)
        if not 0 <= start <= stop:
            raise ValueError(f"[{start}, {stop}) is no range")
        if start == stop:
            return
        with translate():
            found = await obstore.get_async(
                self._store, key, options={"range": (start, stop)}
            )
            if tuple(found.range) != (start, stop):
                raise FileNotFoundError(f"{key} ends at {found.range[1]}")
            async for chunk in found.stream(_CHUNK_BYTES):
                yield bytes(chunk)

    async def delete(self, sha256: str) -> None:
        """Remove the bytes and what a killed write left beside them, for good."""
        await asyncio.shield(self._delete(_key(sha256)))

    async def ping(self) -> str:
        """Return `local folder` if it is there and can be written to."""
        with translate():
            await asyncio.to_thread(_check_writable, self._folder)
        return "local folder"

    async def _put(self, key: str, data: bytes) -> None:
        async with self._lock(key):
            with translate():
                if not await self._holds(key, data):
                    await asyncio.to_thread(self._check_room, len(data))
                    await obstore.put_async(self._store, key, data, use_multipart=False)
                try:
                    await asyncio.to_thread(self._sync, key)
                except OSError:
                    await asyncio.to_thread(self._erase, key)
                    raise

    async def _delete(self, key: str) -> None:
        async with self._lock(key):
            with translate():
                await asyncio.to_thread(self._erase, key)

    async def _holds(self, key: str, data: bytes) -> bool:
        try:
            found = await obstore.get_async(self._store, key)
        except FileNotFoundError:
            return False
        return found.meta["size"] == len(data) and await found.bytes_async() == data

    def _check_room(self, wanted_bytes: int) -> None:
        left = shutil.disk_usage(self._folder).free - wanted_bytes
        if left < self._reserve_bytes:
            raise StorageFullError(
                f"The disk would keep less than {self._reserve_bytes} bytes free;"
                " nothing was stored. Make room, then try again.",
                port="objects",
            )

    def _sync(self, key: str) -> None:
        """Sync the file and every folder up to the one that holds ours."""
        path = self._folder / key
        for entry in (path, *list(path.parents)[:4]):
            _fsync(entry)

    def _erase(self, key: str) -> None:
        path = self._folder / key
        # obstore stages a write in `key#1`, `key#2`, … and never lists those.
        for left in [path, *path.parent.glob(f"{path.name}#*")]:
            left.unlink(missing_ok=True)
        with suppress(FileNotFoundError):
            _fsync(path.parent)

    def _lock(self, key: str) -> asyncio.Lock:
        return self._locks[int(key[:2], 16)]


def _key(sha256: str) -> str:
    if not _SHA256.fullmatch(sha256):
        raise ValueError("a digest is 64 hex digits")
    return f"{sha256[:2]}/{sha256[2:4]}/{sha256}"


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _check_writable(folder: Path) -> None:
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OSError(errno.EACCES, "not writable", str(folder))


def _os_errors(error: BaseException) -> set[int]:
    found = {int(code) for code in _OS_ERROR.findall(str(error))}
    return (
        found | {error.errno} if isinstance(error, OSError) and error.errno else found
    )
