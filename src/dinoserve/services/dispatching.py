"""Dispatching: the queue holds some chunks of every live job, whatever it forgets."""

import asyncio
import logging
import math
import time
from collections import Counter, defaultdict
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final, TypeAlias

from dinoserve.domain.job_steps import is_lost
from dinoserve.domain.jobs import FINISH, LIVE, PLAN, Job, Message, Patience, message
from dinoserve.errors import UnavailableError
from dinoserve.ports import ChunkQuery, JobQuery, JobQueue, JobStore

_log = logging.getLogger(__name__)
_Timed: TypeAlias = tuple[Message, datetime]

WINDOW: Final = 16
"""Chunks of one job in the queue at most, so that a small job is soon its turn."""

TURN: Final = 64
"""Jobs of one collection in the queue at most; of more, the oldest come first."""

# Of so many jobs that end here, the next are sent: of eight processes that share the
# work, one at least comes to it before the queue has run dry.
_ENDS = TURN // 8
_PAUSE_S = 2.0
_PAGES = 16


@dataclass(slots=True)
class _Counts:
    """What waits in the store, not asked for more than once a second.

    Attributes:
        chunks: by kind.
        jobs: that are live, by collection.
    """

    chunks: Counter[str] = field(default_factory=Counter[str])
    jobs: Counter[str | None] = field(default_factory=Counter[str | None])
    asked_at: float = -math.inf

    async def refresh(self, store: JobStore) -> None:
        if time.monotonic() - self.asked_at < 1:
            return
        self.asked_at = time.monotonic()
        found = await store.waiting(WINDOW)
        self.chunks.clear()
        self.jobs.clear()
        for each in found:
            self.chunks[each.kind] += each.chunks
            self.jobs[each.collection] += each.jobs

    def take(self, job: Job) -> None:
        """Count a job no more that has ended since."""
        self.jobs[job.collection] = max(0, self.jobs[job.collection] - 1)

    def add(self, job: Job) -> None:
        """Count a job that was accepted since."""
        left = job.progress.chunks - job.progress.ended
        self.chunks[job.kind] += min(WINDOW, max(1, left))
        self.jobs[job.collection] += 1


@dataclass(slots=True)
class _Turn:
    """Whose turn it is in a collection that has many jobs.

    Attributes:
        ids: of the jobs that were sent, since all were last.
        ends: how many have ended since.
    """

    ids: set[str] = field(default_factory=set[str])
    ends: int = 0


@dataclass(frozen=True, slots=True)
class Dispatcher:
    """Brings chunks from the store to the queue; twice is the same as once.

    Jobs of one collection share `WINDOW`, so that however many they are, one of
    another collection is soon its turn.
    """

    store: JobStore
    queue: JobQueue
    now: Callable[[], datetime]
    patience: Patience
    _counts: _Counts = field(default_factory=_Counts, repr=False)
    _turns: defaultdict[str | None, _Turn] = field(
        default_factory=lambda: defaultdict(_Turn), repr=False
    )

    async def waiting(self, kind: str) -> int:
        """Return about how many chunks of the kind wait; of one job, `WINDOW` at most.

        Asked of the store, so that it is known while the queue is away.
        """
        await self._counts.refresh(self.store)
        return self._counts.chunks[kind]

    async def welcome(self, job: Job) -> None:
        """Send messages for a job that was just accepted."""
        self._counts.add(job)
        await self.send(job)

    async def send(self, job: Job) -> None:
        """Send messages for the job's next chunks, and for those that were lost.

        Where jobs of its collection take turns, one that is over makes room for the
        next, and one that nobody has begun waits. A queue that cannot be reached is
        asked again later, by `send_all`.
        """
        await self._counts.refresh(self.store)
        jobs = self._counts.jobs[job.collection]
        if job.state not in LIVE:
            self._counts.take(job)
            # The last that waited are sent once no more than these are left.
            if jobs > TURN - _ENDS:
                await self._make_room(job.collection)
        elif jobs <= TURN:
            self._turns[job.collection].ids.add(job.id)
            await self._send([job], _share(jobs))
        elif job.state == "running":
            await self._send([job], 1)

    async def _make_room(self, collection: str | None) -> None:
        """Send the next jobs of the collection, once enough have ended."""
        turn = self._turns[collection]
        turn.ends += 1
        if turn.ends >= _ENDS:
            turn.ends = 0
            await self._take_turns(collection)

    async def _take_turns(self, collection: str | None) -> None:
        """Send messages for the oldest live jobs of the collection, but those sent."""
        oldest = JobQuery(
            states=LIVE,
            collection=collection or "",
            is_oldest_first=True,
            limit=TURN,
        )
        jobs = await self.store.jobs(oldest)
        turn = self._turns[collection]
        new = [job for job in jobs if job.id not in turn.ids]
        turn.ids = {job.id for job in jobs}
        await self._send(new, _share(len(jobs)))

    async def _send(self, jobs: Sequence[Job], window: int) -> None:
        """Send messages for live jobs, so many of each."""
        now = self.now()
        wanted: list[_Timed] = []
        for job in jobs:
            if job.state == "queued":
                wanted += [(each, now) for each in _first(job, window)]
            else:
                wanted += await self._next(job, window, now)
        try:
            await self.queue.send(wanted)
        except UnavailableError as error:
            _log.warning(
                "the queue is sent %d chunks later: %s", len(wanted), error.detail
            )

    async def _next(self, job: Job, window: int, now: datetime) -> list[_Timed]:
        """Return what shall be in the queue of a job that was begun.

        Chunks that wait out a pause are, but take nobody's place.
        """
        # A result is made once all else has ended.
        after = None if job.progress.has_ended else (job.id, FINISH)
        query = ChunkQuery(("waiting", "running"), job.id, after, limit=window)
        wanted: list[_Timed] = []
        places = window
        for _ in range(_PAGES):
            page = await self.store.chunks(query)
            for chunk in page:
                places -= chunk.state == "running" or chunk.run_at <= now
                if chunk.state == "waiting" or is_lost(chunk, now, self.patience):
                    # Not earlier than now: who asks later shall not come before.
                    wanted.append((message(job, chunk), max(chunk.run_at, now)))
            if places <= 0 or len(page) < window:
                break
            query = replace(query, after=(job.id, page[-1].number))
        return wanted

    async def send_all(self) -> int:
        """Send messages for live jobs of every collection; return how many there are.

        Where they are more than take turns, those of the oldest are sent.
        """
        self._turns.clear()
        jobs = Counter[str | None]()
        for each in await self.store.waiting(WINDOW):
            jobs[each.collection] += each.jobs
        for collection in jobs:
            await self._take_turns(collection)
        return jobs.total()


def _first(job: Job, window: int) -> list[Message]:
    """Return what asks for the chunks of a job that nobody has begun.

    They are as `job_steps.first_chunks` made them, and need not be read.
    """
    if job.progress.has_ended:
        numbers = [FINISH]
    elif job.progress.is_planned:
        numbers = range(1, min(window, job.progress.chunks) + 1)
    else:
        numbers = [PLAN]
    return [Message(job.kind, job.id, number, 0) for number in numbers]


def _share(jobs: int) -> int:
    return max(1, WINDOW // max(1, jobs))


@asynccontextmanager
async def dispatched(
    dispatcher: Dispatcher, pause_s: float = _PAUSE_S
) -> AsyncGenerator[None]:
    """Send what the queue lacks, now and after every pause until the block ends."""
    task = asyncio.create_task(_keep_sending(dispatcher, pause_s))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _keep_sending(dispatcher: Dispatcher, pause_s: float) -> None:
    while True:
        try:
            await dispatcher.send_all()
        except UnavailableError as error:
            _log.warning("jobs are not looked after for now: %s", error.detail)
        except Exception:  # noqa: BLE001 - else a bug would stop every job for good
            _log.exception("jobs are not looked after for now")
        await asyncio.sleep(pause_s)
