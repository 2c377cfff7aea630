"""A cache that server processes share: Redis 6 or newer, or what speaks like it.

Everything made of one owner lies in one hash, `dinoserve:<schema>:<owner>`, so that
erasing the owner is one command. Its field without a name is the ticket: a write counts
only while the ticket it was given still lies there.
"""

import asyncio
import hashlib
import logging
import time
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Collection,
    Sequence,
)
from contextlib import asynccontextmanager
from typing import Any, Final, Self, TypeVar, cast
from uuid import uuid4

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, RedisError

from dinoserve.adapters.cancellation import cancellable
from dinoserve.adapters.redis_scripts import READ, RELEASE, WRITE
from dinoserve.errors import StartUpError, UnavailableError
from dinoserve.ports import Entry, Seen, Slot
from dinoserve.telemetry import Metrics

SCHEMA: Final = 1
"""Raised with every change of what a value means; old values are then never met."""

TIMEOUT_S: Final = 0.5
"""What a caller waits for Redis at most, before the service goes on without it."""

PAUSE_S: Final = 2.0
"""Until Redis is tried again after it failed; one caller tries for all."""

_SWEEP_TIMEOUT_S = 60
_TICKET_MS = 120_000
_MAX_PENDING = 100_000
_CONNECTIONS = 16
_DIGEST_BYTES = 16
_PREFIX = f"dinoserve:{SCHEMA}:"
_FAILURES = (RedisError, OSError, TimeoutError)
_AWAY = Seen(None, None)
_T = TypeVar("_T")
_log = logging.getLogger(__name__)


class RedisCache:
    """Plays `Cache` over Redis; while it is away, every read misses.

    Args:
        client: connected at its first command.
        metrics: where damaged values are counted, and whether Redis answers.
        now: seconds of a clock that never goes back.
    """

    def __init__(
        self,
        client: Redis,
        metrics: Metrics,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._metrics = metrics
        self._now = now
        self._retry_at = 0.0
        self._is_up = True
        self._pending: dict[str, object] = {}
        self._must_sweep = False

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str, metrics: Metrics) -> AsyncGenerator[Self]:
        """Yield the cache and close it at the end; a Redis that is away may be.

        Args:
            url: `redis://`, `rediss://` or `unix://`.
            metrics: see the class.

        Raises:
            StartUpError: it answers and refuses user or password, or the URL is none.
        """
        client = _client(url)
        cache = cls(client, metrics)
        try:
            await cache.greet()
            yield cache
        finally:
            await client.aclose()

    async def greet(self) -> None:
        """Tell in the log how Redis is, at start.

        Raises:
            StartUpError: it refuses user or password: that does not heal by itself.
        """
        try:
            _log.info("the shared cache is %s", await self.ping())
        except UnavailableError as error:
            if _is_refused(error):
                raise StartUpError(
                    "DINOSERVE_REDIS: the server refuses user or password."
                ) from error
            self._fail(error.__cause__ or error)

    async def read(self, slots: Sequence[Slot]) -> list[Seen]:
        """Return what is known of every slot, in order; one round trip."""
        owners = list(dict.fromkeys(slot.owner for slot in slots))
        fields = {
            owner: [_field(slot) for slot in slots if slot.owner == owner]
            for owner in owners
        }
        arguments: list[str | int] = [uuid4().hex, _TICKET_MS]
        for owner in owners:
            arguments += [len(fields[owner]), *fields[owner]]
        answer = await self._ask(lambda: self._run(READ, owners, arguments), None)
        if answer is None:
            return [_AWAY] * len(slots)
        rows = dict(zip(owners, answer, strict=True))
        return [self._seen(slot, fields[slot.owner], rows) for slot in slots]

    async def write(self, entries: Collection[Entry]) -> None:
        """Keep values whose owner still has the ticket; one round trip."""
        arguments: list[str | int | bytes] = []
        for entry in entries:
            ttl_ms = max(int(entry.ttl_s * 1000), 1)
            digest = _digest(entry.slot, entry.value)
            arguments += [entry.ticket, _field(entry.slot), ttl_ms]
            arguments.append(digest + entry.value)
        owners = [entry.slot.owner for entry in entries]
        if owners:
            await self._ask(lambda: self._run(WRITE, owners, arguments), None)

    async def erase(self, owners: Collection[str]) -> None:
        """Forget every value of these owners, now or before Redis is used again."""
        mark = object()
        self._pending.update(dict.fromkeys(owners, mark))
        if len(self._pending) > _MAX_PENDING:
            self._pending.clear()
            self._must_sweep = True
        await self._ask(_nothing, None)

    async def claim(self, slot: Slot, seconds: float) -> str | None:
        """Return a token if nobody else is making this value; None if somebody is."""
        token = uuid4().hex
        milliseconds = max(int(seconds * 1000), 1)

        async def take() -> bool:
            key = _lock(slot)
            return bool(await self._client.set(key, token, nx=True, px=milliseconds))

        return token if await self._ask(take, True) else None

    async def release(self, slot: Slot, token: str) -> None:
        """End a claim. One that ended before: nothing happens."""
        await self._ask(
            lambda: cast(
                "Awaitable[object]", self._client.eval(RELEASE, 1, _lock(slot), token)
            ),
            None,
        )

    async def ping(self) -> str:
        """Return name and version of the server; raise UnavailableError."""
        try:
            with cancellable():
                async with asyncio.timeout(TIMEOUT_S):
                    server = await self._client.info()  # pyright: ignore[reportUnknownMemberType]  # untyped kwargs
        except _FAILURES as error:
            raise UnavailableError("Redis does not answer.", port="cache") from error
        return f"Redis {server.get('redis_version', '?')}"

    async def _run(
        self, script: str, owners: Sequence[str], arguments: Sequence[str | int | bytes]
    ) -> list[Any] | None:
        keys = [_PREFIX + owner for owner in owners]
        evaluate = cast("Callable[..., Awaitable[list[Any]]]", self._client.eval)
        return await evaluate(script, len(keys), *keys, *arguments)

    async def _ask(self, work: Callable[[], Awaitable[_T]], away: _T) -> _T:
        """Return what Redis gives; `away` if nothing, and then for a while."""
        if self._now() < self._retry_at:
            return away
        if not self._is_up:
            self._retry_at = self._now() + PAUSE_S  # the others go on without it
        try:
            with cancellable():
                answer = await self._answer(work)
        except _FAILURES as error:
            self._fail(error)
            return away
        self._succeed()
        return answer

    async def _answer(self, work: Callable[[], Awaitable[_T]]) -> _T:
        if self._must_sweep:
            await self._sweep()
        async with asyncio.timeout(TIMEOUT_S):
            await self._erase_pending()
            return await work()

    async def _erase_pending(self) -> None:
        if not (pending := dict(self._pending)):
            return
        await self._client.unlink(*(_PREFIX + owner for owner in pending))
        for owner, mark in pending.items():
            if self._pending.get(owner) is mark:
                del self._pending[owner]

    async def _sweep(self) -> None:
        """Erase everything: too much was to be erased while Redis was away."""
        async with asyncio.timeout(_SWEEP_TIMEOUT_S):
            found = cast(
                "AsyncIterator[bytes]",
                self._client.scan_iter(f"{_PREFIX}*", 1000),  # pyright: ignore[reportUnknownMemberType]  # untyped kwargs
            )
            async for key in found:
                await self._client.unlink(key)
        self._must_sweep = False

    def _fail(self, error: BaseException) -> None:
        if self._is_up:
            _log.warning(
                "Redis does not answer (%s); going on without it", type(error).__name__
            )
        self._is_up = False
        self._retry_at = self._now() + PAUSE_S
        self._metrics.cache_shared_up.set(0)

    def _succeed(self) -> None:
        if not self._is_up:
            _log.info("Redis answers again")
        self._is_up = True
        self._retry_at = 0.0
        self._metrics.cache_shared_up.set(1)

    def _seen(self, slot: Slot, fields: list[str], rows: dict[str, list[Any]]) -> Seen:
        ticket, *values = rows[slot.owner]
        known = ticket.decode(errors="replace")
        value = values[fields.index(_field(slot))]
        if not value:
            return Seen(None, known)
        digest, whole = value[:_DIGEST_BYTES], value[_DIGEST_BYTES:]
        if digest == _digest(slot, whole):
            return Seen(whole, known)
        self._metrics.cache_refused.inc()
        return Seen(None, known)


def _client(url: str) -> Redis:
    try:
        pool = BlockingConnectionPool.from_url(  # pyright: ignore[reportUnknownMemberType]  # untyped kwargs
            url,
            max_connections=_CONNECTIONS,
            timeout=TIMEOUT_S,
            socket_timeout=TIMEOUT_S,
            socket_connect_timeout=TIMEOUT_S,
            retry=Retry(NoBackoff(), 0),  # a caller waits once, the pause does the rest
            protocol=2,
            client_name="dinoserve",
        )
    except ValueError as error:
        raise StartUpError(f"DINOSERVE_REDIS: {error}") from error
    return Redis.from_pool(pool)


def _is_refused(error: BaseException | None) -> bool:
    """Tell whether user or password are wrong; the pool wraps what tells so."""
    while error and not isinstance(error, AuthenticationError):
        error = error.__cause__ or error.__context__
    return error is not None


async def _nothing() -> None:
    """What is pending is erased before anything else, so there is nothing to do."""


def _field(slot: Slot) -> str:
    return f"{slot.kind}/{slot.name}"


def _lock(slot: Slot) -> str:
    return f"{_PREFIX}lock:{slot.owner}:{_field(slot)}"


def _digest(slot: Slot, value: bytes) -> bytes:
    """Return the checksum of a value in its slot: moved elsewhere it is wrong."""
    place = f"{SCHEMA}\0{slot.owner}\0{_field(slot)}\0".encode()
    return hashlib.blake2b(place + value, digest_size=_DIGEST_BYTES).digest()
