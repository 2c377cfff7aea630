"""A stream of bytes on its way into a bucket: its first part, then the rest."""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator

PART_BYTES = 5 * 1024 * 1024
"""Every part but the last has just so many: S3 takes no less, R2 wants all equal."""


class Parts:
    """What a stream gives: a first part to look at, then all of it.

    Args:
        data: the stream; it should come from a disk or a store, not from a caller.
        seconds: the most it may take from now to its end.
    """

    def __init__(self, data: AsyncIterable[bytes], seconds: float) -> None:
        self._chunks = aiter(data)
        self._deadline = asyncio.get_running_loop().time() + seconds
        self._first = b""

    async def first(self) -> bytes:
        """Return the first chunks together, at least a part unless the stream ends."""
        held = bytearray()
        async for chunk in self._chunks:
            held += chunk
            if len(held) >= PART_BYTES:
                break
        self._first = bytes(held)
        return self._first

    async def all(self) -> AsyncIterator[bytes]:
        """Yield the whole stream once, what `first` returned included."""
        first, self._first = self._first, b""
        yield first
        del first
        async for chunk in self._chunks:
            self._check_time()
            yield chunk

    def _check_time(self) -> None:
        if asyncio.get_running_loop().time() > self._deadline:
            raise TimeoutError("the stream is slower than a put may be")
