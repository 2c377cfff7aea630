"""Watching jobs: one look at the store for everybody who watches the same job."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

from dinoserve.domain.jobs import LIVE, Job, JobState
from dinoserve.errors import OverloadedError, UnavailableError
from dinoserve.services.jobs import JobService

Show: TypeAlias = Callable[[Job], bytes]
"""Makes what watchers are shown of a job; asked once for each state that is seen."""


class Seen(NamedTuple):
    """A job as it was seen.

    Attributes:
        version: of the job.
        state: None: the job was forgotten.
        shown: what was made of it; empty if it was forgotten.
    """

    version: int
    state: JobState | None
    shown: bytes

    @property
    def is_last(self) -> bool:
        """Whether nobody works on the job any more."""
        return self.state not in LIVE


class Watched:
    """A job that is watched: its newest state only, however slow who reads it is.

    Attributes:
        watchers: how many watch it.
        looking: the task that looks at the store.
    """

    def __init__(self, job: Job, show: Show) -> None:
        self._show = show
        self._newest = _seen(job, show)
        self._changed = asyncio.Event()
        self._is_closed = False
        self.watchers = 0
        self.looking: asyncio.Task[None]

    def look(self, job: Job | None) -> bool:
        """Take the state that the store has; tell whether it is newer."""
        newest = self._newest
        if job is None:
            is_new, seen = newest.state is not None, Seen(newest.version, None, b"")
        elif is_new := job.version > newest.version:
            seen = _seen(job, self._show)
        else:
            return False
        self._newest = seen
        self._wake()
        return is_new

    def close(self) -> None:
        """End every watch as it is."""
        self._is_closed = True
        self._wake()

    async def states(
        self, after: int | None, beat_s: float
    ) -> AsyncGenerator[Seen | None]:
        """Yield each state that differs from the one before, the last one in any case.

        Those between two looks, or while the caller was busy, are left out.

        Args:
            after: version that the caller knows already.
            beat_s: seconds of silence after which None is yielded.
        """
        while not self._is_closed:
            seen, changed = self._newest, self._changed
            if seen.version != after or seen.is_last:
                after = seen.version
                yield seen
            if seen.is_last:
                return
            if not await _is_set(changed, beat_s):
                yield None

    def _wake(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()


@dataclass(frozen=True, slots=True)
class JobWatching:
    """Tells many callers of the changes of jobs, without a look at the store by each.

    Attributes:
        most: watchers at a time.
        pause_s: between two looks at a job that changes.
        max_pause_s: between two looks at one that does not.
    """

    jobs: JobService
    most: int = 500
    pause_s: float = 0.2
    max_pause_s: float = 1.0
    _watched: dict[str, Watched] = field(default_factory=dict[str, Watched], repr=False)

    @property
    def watchers(self) -> int:
        """How many there are."""
        return sum(watched.watchers for watched in self._watched.values())

    @asynccontextmanager
    async def watch(self, job_id: str, show: Show) -> AsyncGenerator[Watched]:
        """Give the job, looked at again and again during the block.

        Raises:
            JobNotFoundError: there is none.
            OverloadedError: too many watch already.
        """
        job = await self.jobs.get(job_id)
        self._check_room()
        watched = self._watched.get(job_id) or self._begin(job, show)
        watched.look(job)
        watched.watchers += 1
        try:
            yield watched
        finally:
            watched.watchers -= 1
            if not watched.watchers:
                del self._watched[job_id]
                watched.looking.cancel()

    def close(self) -> None:
        """End every watch, so that a server which stops need not wait for watchers."""
        for watched in self._watched.values():
            watched.close()

    def _check_room(self) -> None:
        if self.watchers >= self.most:
            raise OverloadedError(
                f"{self.most} watch jobs already; ask for the job itself now and then.",
                retry_after_s=5,
            )

    def _begin(self, job: Job, show: Show) -> Watched:
        watched = self._watched[job.id] = Watched(job, show)
        watched.looking = asyncio.create_task(self._keep_looking(job.id, watched))
        return watched

    async def _keep_looking(self, job_id: str, watched: Watched) -> None:
        pause_s = self.pause_s
        while True:
            await asyncio.sleep(pause_s)
            try:
                is_new = watched.look(await self.jobs.store.job(job_id))
            except UnavailableError:  # who watches is told when it is back
                is_new = False
            pause_s = self.pause_s if is_new else min(2 * pause_s, self.max_pause_s)


def _seen(job: Job, show: Show) -> Seen:
    return Seen(job.version, job.state, show(job))


async def _is_set(event: asyncio.Event, timeout_s: float) -> bool:
    """Wait for the event, so long; tell whether it came."""
    try:
        async with asyncio.timeout(timeout_s):
            return await event.wait()
    except TimeoutError:
        return False
