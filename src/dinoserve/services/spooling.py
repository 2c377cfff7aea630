"""Spooling: large uploads wait on the disk, so that memory holds few bytes of each."""

import asyncio
import errno
import hashlib
import os
import tempfile
import threading
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Generator
from contextlib import (
    AbstractContextManager,
    asynccontextmanager,
    contextmanager,
    nullcontext,
)
from io import FileIO
from typing import TypeAlias

from dinoserve.errors import StorageFullError, UnavailableError
from dinoserve.ports import Contents, ImageBytes

SMALL_BYTES = 1024 * 1024
"""What is no longer than this stays in memory."""

_BEGINNING_BYTES = 64 * 1024
_CHUNK_BYTES = 128 * 1024
_HASHED_BYTES = 1024 * 1024
_FULL = {errno.ENOSPC, errno.EDQUOT}


class Spooled:
    """Bytes in a file of our own that has no name. Plays `ports.BytesOnDisk`.

    The file is gone as soon as nobody holds it, however this process ends.

    Args:
        file: open for reading, the bytes from its start; it is closed here. None
            begins an empty one in the folder for temporary files at `append`.
    """

    def __init__(self, file: FileIO | None = None) -> None:
        self._file = file
        self._size = os.fstat(file.fileno()).st_size if file else 0
        self._holders = 0
        self._is_gone = False
        self._sha256: str | None = None
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return self._size

    @contextmanager
    def held(self) -> Generator[None]:
        """Keep the file for the block; the last who leaves it closes the file.

        Raises:
            ValueError: the file is gone.
        """
        with self._lock:
            if self._is_gone:
                raise ValueError("the spooled file is gone")
            self._holders += 1
        try:
            yield
        finally:
            self._let_go()

    def append(self, chunk: bytes) -> None:
        """Write more bytes; blocks.

        Raises:
            StorageFullError: no room; the file holds a part of the chunk.
        """
        with self.held(), temporary_disk():
            self._file = self._file or _new_file()
            rest = memoryview(chunk)
            while rest:
                written = self._file.write(rest)
                self._size += written
                rest = rest[written:]

    def read(self, start: int = 0, stop: int | None = None) -> bytes:
        """Return the bytes [start, stop), by default all; blocks.

        Raises:
            UnavailableError: the disk does not give them.
        """
        count = (self._size if stop is None else min(stop, self._size)) - start
        with self.held(), temporary_disk():
            if self._file is None:
                return b""
            data = os.pread(self._file.fileno(), count, start)
            if len(data) < count:
                raise OSError(errno.EIO, "the spooled file is cut short")
            return data

    def sha256(self) -> str:
        """Return the digest of all bytes in hex; blocks the first time."""
        if self._sha256 is None:
            digest = hashlib.sha256()
            with self.held():
                for start in range(0, self._size, _HASHED_BYTES):
                    digest.update(self.read(start, start + _HASHED_BYTES))
            self._sha256 = digest.hexdigest()
        return self._sha256

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield all bytes, 128 KiB at a time."""
        for start in range(0, self._size, _CHUNK_BYTES):
            yield await asyncio.to_thread(self.read, start, start + _CHUNK_BYTES)

    def _let_go(self) -> None:
        with self._lock:
            self._holders -= 1
            self._is_gone = self._holders == 0
            if self._is_gone and self._file:
                self._file.close()


Data: TypeAlias = bytes | Spooled
"""Bytes that were given to us: in memory, or on the disk."""


@asynccontextmanager
async def spooled(
    chunks: AsyncIterable[bytes], declared_bytes: int | None = None
) -> AsyncGenerator[Data]:
    """Take a stream in and give its bytes for the block: an `Upload`'s `data`.

    Who works on after the block, as `AssetService.upload` does for a caller that left,
    keeps the file meanwhile with `holding`.

    Args:
        chunks: the stream.
        declared_bytes: how many come, as far as it was told.

    Raises:
        StorageFullError: the disk for temporary files is full.
    """
    on_disk = Spooled()
    with on_disk.held():
        yield await _taken(chunks, on_disk, memory_bytes(declared_bytes))


def memory_bytes(declared_bytes: int | None) -> int:
    """Return how much of a stream may wait in memory before it goes to the disk.

    All of a small one; of others little, because many may arrive at once.
    """
    is_small = declared_bytes is not None and declared_bytes <= SMALL_BYTES
    return SMALL_BYTES if is_small else _BEGINNING_BYTES


def holding(data: Data) -> AbstractContextManager[None]:
    """Return a block in which the data can be read, whatever others do."""
    return data.held() if isinstance(data, Spooled) else nullcontext()


def contents_of(data: Data) -> Contents:
    """Return the data as an object store takes it."""
    return data.chunks() if isinstance(data, Spooled) else data


def sha256_of(data: ImageBytes) -> str:
    """Return the digest in hex; blocks."""
    if isinstance(data, bytes):
        return hashlib.sha256(data).hexdigest()
    return data.sha256()


@contextmanager
def temporary_disk() -> Generator[None]:
    """Turn what the disk for temporary files raises into errors for the caller.

    Raises:
        StorageFullError: it is full.
        UnavailableError: any other failure.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise StorageFullError(
                "The disk for temporary files is full; nothing was stored.",
                port="temporary",
            ) from error
        raise UnavailableError(
            "The disk for temporary files does not answer; try again.",
            port="temporary",
        ) from error


async def _taken(
    chunks: AsyncIterable[bytes], on_disk: Spooled, limit_bytes: int
) -> Data:
    first = bytearray()
    async for chunk in chunks:
        if not on_disk and len(first) + len(chunk) <= limit_bytes:
            first += chunk
            continue
        if first:
            await asyncio.to_thread(on_disk.append, bytes(first))
            first.clear()
        await asyncio.to_thread(on_disk.append, chunk)
    return on_disk or bytes(first)


def _new_file() -> FileIO:
    return tempfile.TemporaryFile(buffering=0)
