"""Bytes in a dictionary."""

import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime

from dinoserve.errors import UnavailableError
from dinoserve.ports import Contents, SignedMethod, StoredObject

_CHUNK_BYTES = 256 * 1024


class MemoryObjects:
    """`ports.ObjectStore` in a dictionary; see there for what methods do."""

    def __init__(self) -> None:
        self._objects: dict[str, tuple[bytes, datetime]] = {}

    async def put(self, sha256: str, data: Contents) -> None:
        """Store the bytes; twice is the same as once."""
        if not re.fullmatch(r"[0-9a-f]{64}", sha256):
            raise ValueError("a digest is 64 hex digits")
        if not isinstance(data, bytes):
            data = b"".join([chunk async for chunk in data])
        self._objects[sha256] = data, datetime.now(UTC)

    async def size(self, sha256: str) -> int | None:
        """Return the number of bytes. Absent: None."""
        found = self._objects.get(sha256)
        return None if found is None else len(found[0])

    async def read(self, sha256: str, start: int, stop: int) -> AsyncIterator[bytes]:
        """Yield the bytes [start, stop) in chunks of 256 KiB at most."""
        found = self._objects.get(sha256)
        if found is None or stop > len(found[0]):
            raise UnavailableError("The image's bytes are missing.", port="objects")
        for begin in range(start, stop, _CHUNK_BYTES):
            yield found[0][begin : min(begin + _CHUNK_BYTES, stop)]

    async def delete(self, sha256: str) -> None:
        """Remove the bytes. Absent: no error."""
        self._objects.pop(sha256, None)

    async def scan(self, prefix: str = "") -> AsyncIterator[StoredObject]:
        """Yield the objects named so of the moment it is first asked."""
        for sha256, (data, stored_at) in list(self._objects.items()):
            if sha256.startswith(prefix):
                yield StoredObject(sha256, len(data), stored_at)

    async def sign(
        self, method: SignedMethod, sha256: str, expires_s: int
    ) -> str | None:
        """Return None: nobody but this process gives the bytes away."""
        del method, sha256, expires_s
        return None

    async def ping(self) -> str:
        """Return the name of the store."""
        return "memory"
