"""Dispatching: the queue holds some chunks of every live job, whatever it forgets."""

import asyncio
import logging
import math
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from dinoserve.domain.job_steps import is_lost
from dinoserve.domain.jobs import LIVE, Chunk, Job, Patience, message
from dinoserve.errors import UnavailableError
from dinoserve.ports import ChunkQuery, JobQuery, JobQueue, JobStore

_log = logging.getLogger(__name__)

WINDOW: Final = 16
"""Chunks of one job in the queue at most, so that a small job is soon its turn."""

_PAUSE_S = 2.0
_JOBS = 500
_PAGES = 16


@dataclass(slots=True)
class _Lengths:
    """Lengths of the queue that are not asked for more than once a second."""

    known: Mapping[str, int] = field(default_factory=dict[str, int])
    asked_at: float = -math.inf

    async def of(self, kind: str, queue: JobQueue) -> int:
        if time.monotonic() - self.asked_at > 1:
            self.asked_at = time.monotonic()
            self.known = await queue.lengths()
        return self.known.get(kind, 0)


@dataclass(frozen=True, slots=True)
class Dispatcher:
    """Brings chunks from the store to the queue; twice is the same as once."""

    store: JobStore
    queue: JobQueue
    now: Callable[[], datetime]
    patience: Patience
    _lengths: _Lengths = field(default_factory=_Lengths, repr=False)

    async def waiting(self, kind: str) -> int:
        """Return about how many messages of the kind are in the queue; 0: unknown."""
        try:
            return await self._lengths.of(kind, self.queue)
        except UnavailableError:
            return 0

    async def send(self, job: Job) -> None:
        """Send messages for the job's next chunks, and for those that were lost.

        A queue that cannot be reached is asked again later, by `send_all`.
        """
        if job.state not in LIVE:
            return
        now = self.now()
        # Not earlier than now: who asks later shall not come before.
        wanted = [
            (message(job, chunk), max(chunk.run_at, now))
            for chunk in await self._next(job, now)
        ]
        try:
            await self.queue.send(wanted)
        except UnavailableError as error:
            _log.warning("the queue is sent job %s later: %s", job.id, error.detail)

    async def _next(self, job: Job, now: datetime) -> list[Chunk]:
        """Return what shall be in the queue of a job.

        Chunks that wait out a pause are, but take nobody's place.
        """
        query = ChunkQuery(("waiting", "running"), job.id, limit=WINDOW)
        wanted: list[Chunk] = []
        places = WINDOW
        for _ in range(_PAGES):
            page = await self.store.chunks(query)
            for chunk in page:
                places -= chunk.state == "running" or chunk.run_at <= now
                if chunk.state == "waiting" or is_lost(chunk, now, self.patience):
                    wanted.append(chunk)
            if places <= 0 or len(page) < WINDOW:
                break
            query = replace(query, after=(job.id, page[-1].number))
        return wanted

    async def send_all(self) -> int:
        """Send messages for the oldest live jobs; return how many jobs there are."""
        query = JobQuery(states=LIVE, is_oldest_first=True, limit=_JOBS)
        jobs = await self.store.jobs(query)
        for job in jobs:
            await self.send(job)
        return len(jobs)


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
