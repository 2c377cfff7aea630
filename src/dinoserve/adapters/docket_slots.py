"""How many messages a worker works on at a time, over all its lanes."""

import asyncio
import logging
from collections.abc import Awaitable
from typing import TypeVar, cast

from dinoserve.domain.jobs import Message
from dinoserve.ports import Handler

_T = TypeVar("_T")
_log = logging.getLogger(__name__)


class Slots:
    """Runs the handler; who asked first for a slot gets the next that is free.

    Args:
        count: how many there are.
        handler: works on a message.

    Attributes:
        is_closing: no slot is given any more.
    """

    def __init__(self, count: int, handler: Handler) -> None:
        self.count = count
        self._handler = handler
        self._free = asyncio.Semaphore(count)
        self._running: set[asyncio.Task[object]] = set()
        self._is_idle = asyncio.Event()
        self._is_idle.set()
        self.is_closing = False

    async def take(self, seconds: float) -> bool:
        """Wait so long for a slot; tell whether it was got."""
        try:
            async with asyncio.timeout(seconds):
                return await self._free.acquire()
        except TimeoutError:
            return False

    def check_open(self) -> None:
        """Pass until it closes; then raise CancelledError, which ends a lane.

        A lane that is cancelled while it reads would lose what it was given.
        """
        if self.is_closing:
            raise asyncio.CancelledError

    async def take_now(self) -> bool:
        """Take a slot if there is one that nobody waits for; tell whether."""
        if self.is_closing or self._free.locked():
            return False
        return await self._free.acquire()

    def free(self) -> None:
        """Give back a slot."""
        self._free.release()

    async def or_free(self, work: Awaitable[_T]) -> _T:
        """Return what the work gives; give the slot back if it fails."""
        try:
            return await work
        except BaseException:
            self.free()
            raise

    async def work(self, message: Message) -> None:
        """Run the handler; what it raises is logged, and the message is done."""
        task = cast("asyncio.Task[object]", asyncio.current_task())
        self._running.add(task)
        self._is_idle.clear()
        try:
            await self._handler(message)
        except asyncio.CancelledError:
            if not self.is_closing:
                raise
            task.uncancel()  # it ends as one that is done, so that it does not return
        except Exception:  # noqa: BLE001 - a message's fault is no one else's
            _log.exception("%s %s failed", message.kind, message.key)
        finally:
            self._running.discard(task)
            if not self._running:
                self._is_idle.set()

    async def close(self) -> None:
        """Take nothing further, cancel the handlers that run, wait until they end."""
        self.is_closing = True
        for task in self._running:
            task.cancel()
        await self._is_idle.wait()
