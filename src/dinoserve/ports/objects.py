"""Where bytes are kept."""

from collections.abc import AsyncIterable, AsyncIterator
from datetime import datetime
from typing import Literal, NamedTuple, Protocol, TypeAlias

Contents: TypeAlias = bytes | AsyncIterable[bytes]
"""What an object is made of: its bytes, or a stream of them.

A stream is best read from a disk or another store: one that waits for a caller keeps
others waiting.
"""

SignedMethod: TypeAlias = Literal["GET", "PUT"]


class StoredObject(NamedTuple):
    """What a store tells of an object without reading it.

    Attributes:
        stored_at: when it was last written, with its time zone.
    """

    sha256: str
    size_bytes: int
    stored_at: datetime


class ObjectBytes(Protocol):
    """Bytes under their SHA-256, or under any other name of 64 hex digits."""

    async def put(self, sha256: str, data: Contents) -> None:
        """Store the bytes; durable on return. Twice is the same as once.

        A stream that fails raises what it failed with; nothing is stored then.

        Raises:
            StorageFullError: nothing was stored.
        """
        ...

    async def size(self, sha256: str) -> int | None:
        """Return the number of bytes. Absent: None."""
        ...

    def read(self, sha256: str, start: int, stop: int) -> AsyncIterator[bytes]:
        """Yield the bytes [start, stop) in chunks of bounded size.

        Absent: UnavailableError, because a record said that they exist.
        """
        ...

    async def delete(self, sha256: str) -> None:
        """Remove the bytes and whatever a broken write left. Absent: no error."""
        ...


class ObjectStore(ObjectBytes, Protocol):
    """Where the bytes are, as a whole."""

    def scan(self, prefix: str = "") -> AsyncIterator[StoredObject]:
        """Yield every object whose name begins so. Order: none promised.

        What is stored or erased while it runs may be there or not.

        Args:
            prefix: hex digits, 64 at most.
        """
        ...

    async def sign(
        self, method: SignedMethod, sha256: str, expires_s: int
    ) -> str | None:
        """Return a URL that lets whoever holds it read or write the object.

        The URL binds neither length nor contents of what is written: let callers
        write only to names that nothing is served from, and check what came.

        Args:
            method: what the URL is good for.
            sha256: the object; it need not exist.
            expires_s: seconds from now until it is good for nothing.

        Returns:
            None: this store has no URLs of its own.
        """
        ...

    async def ping(self) -> str:
        """Return name and version of the store; raise UnavailableError."""
        ...


Area: TypeAlias = Literal["originals", "derived", "incoming", "results"]
"""What an object store is for: images as they came, what was made of them, what callers
write directly until it was looked at, and what jobs made."""
