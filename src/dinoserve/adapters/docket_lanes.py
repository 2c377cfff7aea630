"""How docket is used here: one stream for each kind, and slots that all share.

A message is its key, `<job id>.<number>.<start>`; its kind is the stream's. Docket's
arguments would be pickles. We send none, and put the pickle of nothing in the place of
those that come before docket sees them, so that no pickle of another is ever loaded.
What is no message of ours is taken off the stream, told in the log, and hurts nobody.
"""

import logging
import re
from collections.abc import AsyncGenerator, Awaitable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeAlias, cast

import cloudpickle
from docket import CurrentExecution, Docket, Execution, Worker
from docket.dependencies import AdmissionBlocked
from redis.asyncio import BlockingConnectionPool, Redis
from redis.exceptions import ResponseError

from dinoserve.adapters.docket_slots import Slots
from dinoserve.domain.jobs import Message

FUNCTION: Final = "bring"
"""Name of the one function that messages call."""

PREFIX: Final = "dinoserve:queue:"
"""Of the keys of all lanes."""

KINDS: Final = "dinoserve:queue-kinds"
"""Key of the set of kinds that messages were sent of."""

SWEEP_S: Final = 0.6
"""Between two looks for messages of workers that died, and two signs of life."""

_BLOCK = timedelta(milliseconds=500)
_RECONNECT = timedelta(seconds=1)
_DUE = timedelta(milliseconds=500)
_NEVER = timedelta(hours=1)
_KEY = re.compile(r"([0-9a-f]{32})\.(-1|\d{1,9})\.(\d{1,9})", re.ASCII)
_KIND = re.compile(r"[a-z][a-z0-9_-]{0,39}", re.ASCII)
_GENERATION = re.compile(rb"\d{1,15}")
_NOTHING: Final = {
    b"args": cloudpickle.dumps(()),  # pyright: ignore[reportUnknownMemberType] - a parameter is untyped
    b"kwargs": cloudpickle.dumps({}),  # pyright: ignore[reportUnknownMemberType] - a parameter is untyped
}
_OVERDUE_S = 2.0
_SOME = 1000
_log = logging.getLogger(__name__)

_Fields: TypeAlias = dict[bytes, bytes]
_Entries: TypeAlias = Sequence[tuple[bytes, _Fields]]


def is_kind(name: str) -> bool:
    """Tell whether it may be the kind of a message."""
    return _KIND.fullmatch(name) is not None


def parsed(kind: str, key: str) -> Message | None:
    """Return the message that has this key; None: it is no key of ours."""
    if found := _KEY.fullmatch(key):
        return Message(kind, found[1], int(found[2]), int(found[3]))
    return None


class Lane(Docket):
    """The stream of one kind.

    Args:
        kind: see `is_kind`.
        url: of the Redis.
        client: asks it, instead of one of docket's own.
        slots: where messages are worked on; None: they are only sent.
    """

    def __init__(
        self, kind: str, url: str, client: Redis, slots: Slots | None = None
    ) -> None:
        super().__init__(
            f"{PREFIX}{kind}", url, execution_ttl=timedelta(), heartbeat_interval=_NEVER
        )
        self.kind = kind
        self._ours = client
        self._slots = slots
        self.tasks = {FUNCTION: self._bring}
        # Else docket follows a stream of strikes, which holds pickles.
        self.url = ""

    @asynccontextmanager
    async def redis(self) -> AsyncGenerator[Any]:
        """Yield the client that was given."""
        yield self._ours

    async def _bring(
        self,
        execution: Execution = CurrentExecution(),  # noqa: B008 - docket fills it in
    ) -> None:
        message = parsed(self.kind, execution.key)
        if not message or not self._slots:
            return
        if self._slots.is_closing:
            raise AdmissionBlocked(execution)  # docket puts it back
        await self._slots.work(message)

    async def mend(self) -> None:
        """Take away what is no message of ours and would keep others from coming."""
        ours = {self.stream_key: b"stream", self.queue_key: b"zset", KINDS: b"set"}
        for key, wanted in ours.items():
            if await self._ours.type(key) not in {wanted, b"none"}:
                await self._ours.unlink(key)
                _log.warning("%s was no %s of ours: erased", key, wanted.decode())
        late = datetime.now(UTC).timestamp() - _OVERDUE_S
        overdue = cast(
            "list[bytes]",
            await cast("Any", self._ours).zrangebyscore(
                self.queue_key, 0, late, 0, _SOME
            ),
        )
        for name in overdue:
            await self._mend_parked(name)

    async def _mend_parked(self, name: bytes) -> None:
        parked = self.key("").encode() + name
        try:
            fields = cast("_Fields", await cast("Any", self._ours.hgetall(parked)))
        except ResponseError:
            fields = {}
        if fields.get(b"key") == name and _clean(fields):
            return
        await self._ours.zrem(self.queue_key, name)
        await self._ours.unlink(parked)
        _log.warning("%r of %s is no message of ours: erased", name, self.queue_key)


class LaneReader(Redis):
    """Reads a lane when there is a free slot, and lets only messages of ours through.

    A slot is taken for each message that it gives; `LaneWorker` frees it.

    Args:
        pool: of connections; it stays the caller's.
        slots: shared by the lanes of a worker.
        lease_s: seconds after which a worker without a sign of life is taken for dead.
    """

    def __init__(
        self, pool: BlockingConnectionPool, slots: Slots, lease_s: float
    ) -> None:
        super().__init__(connection_pool=pool)  # pyright: ignore[reportUnknownMemberType] - untyped options
        self._slots = slots
        self._lease_ms = int(lease_s * 1000)

    async def xreadgroup(self, **options: Any) -> list[tuple[bytes, _Entries]]:  # pyright: ignore[reportIncompatibleMethodOverride] - as docket calls it
        """Return one message at most; none came: after `block` milliseconds."""
        [stream] = options["streams"]
        block = options.pop("block")
        options["count"] = 1
        if not await self._slots.take(block / 1000):
            return []
        self._slots.check_open()
        entries = await self._slots.or_free(self._read(options))
        if not entries:
            # Waiting holds no slot: it would keep it from the other lanes.
            self._slots.free()
            self._slots.check_open()
            entries = await self._read({**options, "block": block})
            if entries and not await self._slots.take_now():
                await self._put_back(stream, options["groupname"], entries)
                return []
        kept = await self._sifted(stream, options["groupname"], entries)
        return [(stream, kept)] if kept else []

    async def xautoclaim(self, **options: Any) -> tuple[bytes, _Entries, object]:  # pyright: ignore[reportIncompatibleMethodOverride] - as docket calls it
        """Return a message of a worker that died, if there is a free slot."""
        if not await self._slots.take_now():
            return options["start_id"].encode(), [], []
        options |= {"count": 1, "min_idle_time": self._lease_ms}
        claim = cast("Awaitable[Any]", super().xautoclaim(**options))
        cursor, entries, gone = await self._slots.or_free(claim)
        if not entries:
            self._slots.free()
        kept = await self._sifted(options["name"], options["groupname"], entries)
        return cursor, kept, gone

    async def _read(self, options: dict[str, Any]) -> _Entries:
        answer = cast(
            "Sequence[tuple[bytes, _Entries]]", await super().xreadgroup(**options)
        )
        return answer[0][1] if answer else []

    async def _put_back(self, stream: str, group: str, entries: _Entries) -> None:
        async with self.pipeline() as step:
            for number, fields in entries:
                step.xack(stream, group, number)
                step.xdel(stream, number)
                if clean := _clean(fields):
                    step.xadd(stream, cast("Any", clean))
            await cast("Awaitable[Any]", step.execute())

    async def _sifted(self, stream: str, group: str, entries: _Entries) -> _Entries:
        kept: list[tuple[bytes, _Fields]] = []
        for number, fields in entries:
            if clean := _clean(fields):
                kept.append((number, clean))
                continue
            self._slots.free()
            async with self.pipeline() as step:
                step.xack(stream, group, number)
                step.xdel(stream, number)
                await cast("Awaitable[Any]", step.execute())
            _log.warning("%r of %s is no message of ours: erased", number, stream)
        return kept


class LaneWorker(Worker):
    """Takes the messages of one lane to its slots.

    Args:
        lane: whose.
        slots: shared by the lanes of a worker.
        name: of the worker; no two may have the same.
    """

    def __init__(self, lane: Lane, slots: Slots, name: str) -> None:
        super().__init__(
            lane,
            name,
            # More than the slots, so that docket never waits for a fixed time.
            concurrency=4 * slots.count + 4,
            redelivery_timeout=timedelta(seconds=4 * SWEEP_S / 1.25),
            reconnection_delay=_RECONNECT,
            minimum_check_interval=_BLOCK,
            scheduling_resolution=_DUE,
            schedule_automatic_tasks=False,
        )
        self._slots = slots

    async def _execute(self, execution: Execution, session: Any) -> None:
        try:
            await super()._execute(execution, session)
        except ResponseError:
            # What docket noted of it is not what docket writes.
            _log.warning("what Redis has of %s was damaged", execution.key)
            async with self.docket.redis() as redis:
                await redis.delete(
                    self.docket.runs_key(execution.key),
                    self.docket.key(f"progress:{execution.key}"),
                )
        finally:
            self._slots.free()

    async def _cancellation_listener(self) -> None:
        # Jobs are cancelled in their store; nobody is to cancel messages.
        if session := self._processing_session:
            session.cancellation_ready.set()
            await session.stopping.wait()


def _clean(fields: _Fields | None) -> _Fields | None:
    """Return the fields that docket may read; None: it is no message of ours."""
    if not fields or fields.get(b"function") != FUNCTION.encode():
        return None
    key = fields.get(b"key", b"").decode(errors="replace")
    when = fields.get(b"when", b"").decode(errors="replace")
    generation = fields.get(b"generation", b"")
    if not _KEY.fullmatch(key) or not _GENERATION.fullmatch(generation):
        return None
    try:
        datetime.fromisoformat(when).timestamp()
    except (ValueError, OverflowError):
        return None
    known = {b"key": key.encode(), b"when": when.encode(), b"generation": generation}
    return {**known, **_NOTHING, b"function": FUNCTION.encode(), b"attempt": b"1"}
