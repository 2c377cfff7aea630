"""One lock per key, held only while somebody uses it."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager


class KeyedLock:
    """Keeps work on one key in turn, and lets other keys pass."""

    def __init__(self) -> None:
        self._locks: dict[str, asyncio.Lock] = {}
        self._users: dict[str, int] = {}

    @asynccontextmanager
    async def __call__(self, key: str) -> AsyncGenerator[None]:
        """Hold the key for the block."""
        lock = self._locks.setdefault(key, asyncio.Lock())
        self._users[key] = self._users.get(key, 0) + 1
        try:
            async with lock:
                yield
        finally:
            self._users[key] -= 1
            if not self._users[key]:
                del self._users[key], self._locks[key]
