"""A queue that processes share: Redis 7 or newer, or Valkey.

The store of jobs has the truth: what is here may be lost, come twice or come late.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import (
    AsyncGenerator,
    Awaitable,
    Collection,
    Mapping,
    Sequence,
)
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, Final, Self, cast

from redis.asyncio import Redis

from dinoserve.adapters.cancellation import cancellable
from dinoserve.adapters.redis_queue.lanes import KINDS, NEWS, is_kind, lane, parsed
from dinoserve.adapters.redis_queue.scripts import SEND
from dinoserve.adapters.redis_queue.server import (
    FAILURES,
    check,
    connections,
    is_refused,
    name,
)
from dinoserve.adapters.redis_queue.worker import QueueWorker
from dinoserve.domain.jobs import Message, Patience
from dinoserve.errors import StartUpError, UnavailableError
from dinoserve.ports import Handler
from dinoserve.telemetry import Metrics

SEND_TIMEOUT_S: Final = 5.0
"""What sending may take, before the caller goes on without it."""

_SENDERS = 8
# Of a worker: turns, news.
_WORKER_CONNECTIONS = 2
_PATIENCE = Patience()
_log = logging.getLogger(__name__)


class RedisQueue:
    """Plays `JobQueue` over Redis.

    Args:
        url: of it.
        metrics: where is told whether Redis answers.
        patience: of which the lease says after how many seconds the message of a
            worker without a sign of life comes to another, or half a second later.
    """

    def __init__(self, url: str, metrics: Metrics, patience: Patience) -> None:
        self._url = url
        self._metrics = metrics
        self._lease_s = patience.lease_s
        self._client = Redis(connection_pool=connections(url, _SENDERS))
        self._send = self._client.register_script(SEND)
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
        try:
            await queue.greet()
            yield queue
        finally:
            await queue._client.connection_pool.aclose()

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
        now = datetime.now(UTC)
        by_kind: dict[str, list[int | str]] = defaultdict(list)
        for message, run_at in messages:
            if (
                not is_kind(message.kind)
                or parsed(message.kind, message.key) != message
            ):
                raise ValueError(f"{message} is no message that a queue carries")
            wait_s = max((run_at - now).total_seconds(), 0.0)
            by_kind[message.kind] += [int(wait_s * 1e6), message.key]
        async with self._asking():
            for kind, waits in by_kind.items():
                await self._send(keys=[lane(kind), KINDS], args=[kind, NEWS, *waits])

    @asynccontextmanager
    async def serve(
        self, kinds: Collection[str], handler: Handler, slots: int
    ) -> AsyncGenerator[None]:
        """Work on messages of these kinds during the block, so many at a time.

        It goes on by itself when Redis was away or was emptied.
        """
        pool = connections(self._url, _WORKER_CONNECTIONS)
        wanted = sorted(set(kinds))
        worker = QueueWorker(
            Redis(connection_pool=pool),
            wanted,
            handler,
            slots if wanted else 0,
            self._lease_s,
            self._tell,
        )
        listening = asyncio.create_task(worker.listen())
        working = asyncio.create_task(worker.work())
        try:
            yield
        finally:
            listening.cancel()
            await worker.close(working)
            await asyncio.gather(listening, return_exceptions=True)
            await pool.aclose()

    async def lengths(self) -> Mapping[str, int]:
        """Return how many messages of each kind wait or are worked on; 0: left out."""
        async with self._asking():
            known = await cast("Awaitable[set[bytes]]", self._client.smembers(KINDS))
            names = [kind.decode(errors="replace") for kind in sorted(known)]
            kinds = [name for name in names if is_kind(name)]
            async with self._client.pipeline(transaction=False) as step:
                for kind in kinds:
                    step.zcard(lane(kind))
                answers = await step.execute(raise_on_error=False)
        both = zip(kinds, answers, strict=True)
        return {kind: count for kind, count in both if isinstance(count, int) and count}

    async def ping(self) -> str:
        """Return name and version of the server; raise UnavailableError."""
        return name(await self._info())

    async def _info(self) -> dict[str, Any]:
        async with self._asking():
            return await self._client.info()  # pyright: ignore[reportUnknownMemberType] - untyped kwargs

    @asynccontextmanager
    async def _asking(self) -> AsyncGenerator[None]:
        try:
            with cancellable():
                async with asyncio.timeout(SEND_TIMEOUT_S):
                    yield
        except FAILURES as error:
            self._tell(error)
            raise UnavailableError(
                "The queue does not answer; another try makes sense.", port="queue"
            ) from error
        self._tell(None)

    def _tell(self, error: BaseException | None) -> None:
        """Show in log and figures whether Redis answers, once for each change."""
        if error and self._is_up:
            _log.warning(
                "the queue does not answer (%s): %s", type(error).__name__, error
            )
        elif not error and not self._is_up:
            _log.info("the queue answers again")
        self._is_up = error is None
        self._metrics.queue_up.set(self._is_up)
