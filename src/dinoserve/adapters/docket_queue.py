"""A queue that processes share: docket over Redis 7 or newer, or Valkey.

The store of jobs has the truth: what is here may be lost, come twice or come late.
"""

import asyncio
import logging
import os
import socket
from collections import defaultdict
from collections.abc import (
    AsyncGenerator,
    Awaitable,
    Collection,
    Mapping,
    Sequence,
)
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime
from typing import Any, Final, Self, cast
from uuid import uuid4

from docket.execution import Disposition
from redis.asyncio import BlockingConnectionPool, Redis
from redis.exceptions import RedisError

from dinoserve.adapters.docket_lanes import (
    FUNCTION,
    KINDS,
    Lane,
    LaneReader,
    LaneWorker,
    is_kind,
    parsed,
)
from dinoserve.adapters.docket_server import check, connections, is_refused, name
from dinoserve.adapters.docket_slots import Slots
from dinoserve.domain.jobs import Message, Patience
from dinoserve.errors import StartUpError, UnavailableError
from dinoserve.ports import Handler
from dinoserve.telemetry import Metrics

SEND_TIMEOUT_S: Final = 5.0
"""What sending may take, before the caller goes on without it."""

_MEND_S = 5.0
_PAUSE_S = 1.0
_END_S = 2.0
_SENDERS = 8
# Of a lane: read, due times, sign of life, lease, mend.
_LANE_CONNECTIONS = 5
_PATIENCE = Patience()
_FAILURES = (RedisError, OSError, TimeoutError)
_log = logging.getLogger(__name__)


class DocketQueue:
    """Plays `JobQueue` over Redis.

    Args:
        url: of it, with no options of ours.
        metrics: where is told whether Redis answers.
        patience: of which the lease says after how many seconds the message of a
            worker without a sign of life comes to another, or a second later.
    """

    def __init__(self, url: str, metrics: Metrics, patience: Patience) -> None:
        self._url = url
        self._metrics = metrics
        self._lease_s = patience.lease_s
        self._pool = connections(url, _SENDERS)
        self._client = Redis(connection_pool=self._pool)
        self._lanes: dict[str, Lane] = {}
        self._stack = AsyncExitStack()
        self._is_up = True

    @classmethod
    @asynccontextmanager
    async def open(
        cls, url: str, metrics: Metrics, patience: Patience = _PATIENCE
    ) -> AsyncGenerator[Self]:
        """Yield the queue and close it at the end; a Redis that is away may be.

        Raises:
            StartUpError: it answers and refuses user or password, is too old, or may
                evict what it keeps; or the URL is none.
        """
        queue = cls(url, metrics, patience)
        async with queue._stack:
            queue._stack.push_async_callback(queue._pool.aclose)
            await queue.greet()
            yield queue

    async def greet(self) -> None:
        """Tell in the log what Redis is, at start.

        Raises:
            StartUpError: it cannot carry the queue, and that does not heal by itself.
        """
        try:
            server = await self._info()
        except UnavailableError as error:
            if is_refused(error):
                raise StartUpError(
                    "DINOSERVE_QUEUE: the server refuses user or password."
                ) from error
            return
        check(server)
        _log.info("the queue is %s", name(server))

    async def send(self, messages: Sequence[tuple[Message, datetime]]) -> None:
        """Bring each message to one worker, not before its time.

        Raises:
            UnavailableError: Redis is away; some may be on their way.
            ValueError: a message is none that could be read again.
        """
        by_kind: dict[str, list[tuple[str, datetime]]] = defaultdict(list)
        for message, run_at in messages:
            if (
                not is_kind(message.kind)
                or parsed(message.kind, message.key) != message
            ):
                raise ValueError(f"{message} is no message that a queue carries")
            by_kind[message.kind].append((message.key, run_at))
        if by_kind:
            async with self._asking():
                await self._client.sadd(KINDS, *by_kind)
                for kind, calls in by_kind.items():
                    await self._add(kind, calls)

    @asynccontextmanager
    async def serve(
        self, kinds: Collection[str], handler: Handler, slots: int
    ) -> AsyncGenerator[None]:
        """Work on messages of these kinds during the block, so many at a time.

        It goes on by itself when Redis was away or was emptied.
        """
        shared = Slots(slots, handler)
        pool = connections(self._url, _LANE_CONNECTIONS * len(kinds) + 2 * slots)
        worker = f"{socket.gethostname()}#{os.getpid()}#{uuid4().hex[:8]}"
        lanes = [
            asyncio.create_task(self._work(kind, pool, shared, worker))
            for kind in sorted(set(kinds))
        ]
        try:
            yield
        finally:
            await shared.close()
            if lanes:  # each ends by itself once its read has ended
                await asyncio.wait(lanes, timeout=_END_S)
            await _end(lanes)
            await pool.aclose()

    async def lengths(self) -> Mapping[str, int]:
        """Return how many messages of each kind wait or are worked on; 0: left out."""
        async with self._asking():
            known = await cast("Awaitable[set[bytes]]", self._client.smembers(KINDS))
            kinds = sorted(kind.decode(errors="replace") for kind in known)
            lanes = [await self._lane(kind) for kind in kinds if is_kind(kind)]
            async with self._client.pipeline() as step:
                for lane in lanes:
                    step.xlen(lane.stream_key)
                    step.zcard(lane.queue_key)
                counts = await cast("Awaitable[list[int]]", step.execute())
        both = zip(counts[::2], counts[1::2], strict=True)
        sums = {lane.kind: sum(some) for lane, some in zip(lanes, both, strict=True)}
        return {kind: count for kind, count in sums.items() if count}

    async def ping(self) -> str:
        """Return name and version of the server; raise UnavailableError."""
        return name(await self._info())

    async def _info(self) -> dict[str, Any]:
        async with self._asking():
            return await self._client.info()  # pyright: ignore[reportUnknownMemberType] - untyped kwargs

    async def _add(self, kind: str, calls: Sequence[tuple[str, datetime]]) -> None:
        lane = await self._lane(kind)
        asked = [lane.call(FUNCTION, run_at, key)() for key, run_at in calls]
        for sent in await lane.add_many(asked):
            if sent.disposition is Disposition.FAILED:
                raise RedisError(str(sent.schedule_exception))

    async def _lane(self, kind: str) -> Lane:
        if kind not in self._lanes:
            lane = Lane(kind, self._url, self._client)
            self._lanes[kind] = await self._stack.enter_async_context(lane)
        return self._lanes[kind]

    async def _work(
        self, kind: str, pool: BlockingConnectionPool, slots: Slots, worker_name: str
    ) -> None:
        """Keep a worker of this kind, whatever happens to it, until slots close."""
        client = LaneReader(pool, slots, self._lease_s)
        while not slots.is_closing:
            try:
                async with (
                    Lane(kind, self._url, client, slots) as lane,
                    LaneWorker(lane, slots, worker_name) as worker,
                    self._mended(lane),
                ):
                    await worker.run_forever()
            except Exception:  # noqa: BLE001 - none may end it
                _log.exception("the worker of %s failed and begins anew", kind)
            if not slots.is_closing:
                await asyncio.sleep(_PAUSE_S)

    @asynccontextmanager
    async def _mended(self, lane: Lane) -> AsyncGenerator[None]:
        async def mend() -> None:
            while True:
                try:
                    await lane.mend()
                except _FAILURES as error:
                    self._fail(error)
                else:
                    self._succeed()
                await asyncio.sleep(_MEND_S)

        task = asyncio.create_task(mend())
        try:
            yield
        finally:
            await _end([task])

    @asynccontextmanager
    async def _asking(self) -> AsyncGenerator[None]:
        try:
            async with asyncio.timeout(SEND_TIMEOUT_S):
                yield
        except _FAILURES as error:
            self._fail(error)
            raise UnavailableError(
                "The queue does not answer; another try makes sense.", port="queue"
            ) from error
        self._succeed()

    def _fail(self, error: BaseException) -> None:
        if self._is_up:
            _log.warning(
                "the queue does not answer (%s): %s", type(error).__name__, error
            )
        self._is_up = False
        self._metrics.queue_up.set(0)

    def _succeed(self) -> None:
        if not self._is_up:
            _log.info("the queue answers again")
        self._is_up = True
        self._metrics.queue_up.set(1)


async def _end(tasks: Collection[asyncio.Task[None]]) -> None:
    """Cancel until they have ended; docket takes a cancellation for a wish."""
    while pending := [task for task in tasks if not task.done()]:
        for task in pending:
            task.cancel()
        await asyncio.wait(pending, timeout=_END_S)
