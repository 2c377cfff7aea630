"""A queue in this process: gone with it, and filled again from the store of jobs."""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime

from dinoserve.domain.jobs import Message
from dinoserve.ports import Handler
from dinoserve.telemetry import Metrics

_log = logging.getLogger(__name__)


class MemoryQueue:
    """Plays `JobQueue` for the workers of one process.

    Args:
        metrics: where is told that it answers.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._waiting: dict[Message, datetime] = {}
        self._begun: set[Message] = set()
        self._news = asyncio.Condition()
        metrics.queue_up.set(1)

    async def send(self, messages: Sequence[tuple[Message, datetime]]) -> None:
        """Bring each message to one worker, not before its time."""
        for message, run_at in messages:
            if message not in self._begun:
                self._waiting.setdefault(message, run_at)
        async with self._news:
            self._news.notify_all()

    @asynccontextmanager
    async def serve(
        self, kinds: Collection[str], handler: Handler, slots: int
    ) -> AsyncGenerator[None]:
        """Work on messages of these kinds during the block, so many at a time."""
        wanted = frozenset(kinds)
        tasks = [asyncio.create_task(self._work(wanted, handler)) for _ in range(slots)]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def lengths(self) -> Mapping[str, int]:
        """Return how many messages of each kind wait or are worked on; 0: left out."""
        return Counter(message.kind for message in [*self._waiting, *self._begun])

    async def ping(self) -> str:
        """Return what it is."""
        return "memory"

    async def _work(self, kinds: Collection[str], handler: Handler) -> None:
        while True:
            message = await self._next(kinds)
            try:
                await handler(message)
            except Exception:  # noqa: BLE001 - a message's fault is no one else's
                _log.exception("%s %s failed", message.kind, message.key)
            finally:
                self._begun.discard(message)

    async def _next(self, kinds: Collection[str]) -> Message:
        """Return the message that is due for the longest time, once there is one."""
        async with self._news:
            while True:
                message, wait_s = self._first(kinds)
                if message and wait_s is not None and wait_s <= 0:
                    del self._waiting[message]
                    self._begun.add(message)
                    return message
                with suppress(TimeoutError):
                    async with asyncio.timeout(wait_s):
                        await self._news.wait()

    def _first(self, kinds: Collection[str]) -> tuple[Message | None, float | None]:
        """Return what comes next, and in how many seconds."""
        mine = [message for message in self._waiting if message.kind in kinds]
        if not mine:
            return None, None
        first = min(mine, key=self._waiting.__getitem__)
        return first, (self._waiting[first] - datetime.now(UTC)).total_seconds()
