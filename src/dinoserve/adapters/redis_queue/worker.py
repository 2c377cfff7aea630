"""One worker on the lanes of a queue: it takes messages, keeps them, and ends them."""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Final, NamedTuple, TypeAlias, cast

from redis.asyncio import Redis

from dinoserve.adapters.cancellation import cancellable
from dinoserve.adapters.redis_queue.lanes import NEWS, lane, parsed
from dinoserve.adapters.redis_queue.scripts import TURN
from dinoserve.adapters.redis_queue.server import FAILURES
from dinoserve.domain.jobs import Message
from dinoserve.ports import Handler

POLL_S: Final = 0.5
"""Between two looks at the lanes when nothing is told: what was told may be lost."""

_PAUSE_S = 1.0
_END_S = 2.0
_log = logging.getLogger(__name__)

Report: TypeAlias = Callable[[BaseException | None], None]
"""Is told what failed, or None: Redis has answered."""


class _Held(NamedTuple):
    """A message as its lane has it: the number of the lane from 1, and its key."""

    lane: int
    member: bytes


_Answer: TypeAlias = tuple[list[bytes], list[tuple[int, bytes]], bytes, bytes]


class QueueWorker:
    """Works on the messages of some kinds, so many at a time.

    One turn is one script in Redis: it ends what has ended, keeps what is worked on,
    and takes as many messages as there are free slots, those that wait longest first.

    Args:
        client: asks Redis; it stays the caller's.
        kinds: that it serves.
        handler: works on a message.
        slots: how many at a time.
        lease_s: seconds after which a message comes to another unless it is kept.
        report: see `Report`.
    """

    def __init__(
        self,
        client: Redis,
        kinds: Sequence[str],
        handler: Handler,
        slots: int,
        lease_s: float,
        report: Report,
    ) -> None:
        self._client = client
        self._script = client.register_script(TURN)
        self._kinds = kinds
        self._handler = handler
        self._slots = slots
        self._lease_s = lease_s
        self._report = report
        self._since: dict[_Held, bytes] = {}
        self._tasks: dict[_Held, asyncio.Task[None]] = {}
        self._unwanted: set[_Held] = set()
        self._keep_at = 0.0
        self._news = asyncio.Event()
        self._is_closing = False
        self._is_over = False

    async def work(self) -> None:
        """Take and end messages until it is closed, whatever happens to Redis."""
        is_last = False
        while not is_last:
            self._news.clear()
            is_last = self._is_over
            try:
                wait_s = await self._turn()
            except FAILURES as error:
                self._report(error)
                self._keep_at = 0.0
                wait_s = _PAUSE_S
            with suppress(TimeoutError):
                async with asyncio.timeout(0 if is_last else wait_s):
                    await self._news.wait()

    async def listen(self) -> None:
        """Let `work` know at once when something was sent."""
        while True:
            with suppress(*FAILURES):
                async with self._client.pubsub() as news:  # pyright: ignore[reportUnknownMemberType] - untyped options
                    with cancellable():
                        await news.subscribe(NEWS)
                    while True:
                        with cancellable():
                            await news.get_message(timeout=None)
                        if len(self._tasks) < self._slots:  # else who ends tells
                            self._news.set()
            await asyncio.sleep(_PAUSE_S)

    async def close(self, working: asyncio.Task[None]) -> None:
        """Take nothing further, cancel the handlers, and tell Redis what has ended.

        Args:
            working: the task of `work`.
        """
        self._is_closing = True
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        # Meanwhile they are kept, as long as they may take to end.
        await asyncio.gather(*tasks, return_exceptions=True)
        self._unwanted.update(self._tasks)  # cancelled before they began
        self._tasks.clear()
        self._is_over = True
        self._news.set()
        # A turn that is cut off would leave what it took away for a lease.
        await asyncio.wait([working], timeout=_END_S)
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)

    async def _turn(self) -> float:
        """Ask Redis once; return after how many seconds it shall be asked again."""
        gone = [held for held in self._since if held not in self._tasks]
        done = [held for held in gone if held not in self._unwanted]
        back = [held for held in gone if held in self._unwanted]
        kept = list(self._tasks) if time.monotonic() >= self._keep_at else []
        free = 0 if self._is_closing else self._slots - len(self._tasks)
        new, taken, since, wait = await self._ask(free, done, back, kept)
        self._report(None)
        for held in gone:
            del self._since[held]
            self._unwanted.discard(held)
        self._keep(kept, new)
        for number, member in taken:
            self._begin(_Held(number, member), since)
        due_s = int(wait) / 1e6 if wait else POLL_S
        return min(POLL_S, due_s if len(self._tasks) < self._slots else POLL_S)

    async def _ask(self, free: int, *lists: Sequence[_Held]) -> _Answer:
        arguments: list[int | bytes] = [free, int(self._lease_s * 1e6)]
        for each in lists:
            arguments.append(len(each))
            for held in each:
                arguments += [held.lane, held.member, self._since[held]]
        keys = [lane(kind) for kind in self._kinds]
        with cancellable():
            return cast("_Answer", await self._script(keys=keys, args=arguments))

    def _keep(self, kept: Iterable[_Held], new: Iterable[bytes]) -> None:
        for held, since in zip(kept, new, strict=True):
            if held in self._since and since:
                self._since[held] = since
        if time.monotonic() >= self._keep_at:
            self._keep_at = time.monotonic() + self._lease_s / 3

    def _begin(self, held: _Held, since: bytes) -> None:
        """Work on a message; one that was away for a lease may be here already."""
        is_here = held in self._tasks
        self._since[held] = since
        kind = self._kinds[held.lane - 1]
        message = parsed(kind, held.member.decode(errors="replace"))
        if self._is_closing:
            self._unwanted.add(held)
        elif message is None:
            _log.warning("%r of %s is no message of ours: erased", held.member, kind)
            self._news.set()
        elif not is_here:
            self._tasks[held] = asyncio.create_task(self._bring(held, message))

    async def _bring(self, held: _Held, message: Message) -> None:
        try:
            await self._handler(message)
        except Exception:  # noqa: BLE001 - a message's fault is no one else's
            _log.exception("%s %s failed", message.kind, message.key)
        finally:
            del self._tasks[held]
            self._news.set()
