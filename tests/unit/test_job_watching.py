"""Watching jobs: how often the store is asked, and what when it does not answer."""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack

from dinoserve.adapters.memory.jobs import MemoryJobs
from dinoserve.domain.jobs import Job
from dinoserve.errors import UnavailableError
from dinoserve.services.job_watching import JobWatching, Seen, Watched
from dinoserve.services.jobs import Asked
from event_crowd import change
from working import NotingKind, make_working


class CountingJobs(MemoryJobs):
    """Jobs in memory that count how often one is looked at."""

    def __init__(self) -> None:
        super().__init__()
        self.looks = 0
        self.before: Callable[[], object] = lambda: None

    async def job(self, job_id: str) -> Job | None:
        """Return the job. Absent: None."""
        self.looks += 1
        self.before()
        return await super().job(job_id)


async def watched_job(pause_s: float = 0) -> tuple[CountingJobs, JobWatching, str]:
    store = CountingJobs()
    jobs = make_working(NotingKind(found=[]), store).jobs
    job, _ = await jobs.submit(Asked("note", {}))
    return store, JobWatching(jobs, pause_s=pause_s, max_pause_s=pause_s), job.id


def shown(job: Job) -> bytes:
    return job.state.encode()


async def next_of(watched: Watched, after: int) -> Seen | None:
    async for seen in watched.states(after, 10):
        return seen
    return None


async def turns(count: int) -> None:
    """Let every task that can go on do so, so often."""
    for _ in range(count):
        await asyncio.sleep(0)


async def test_many_watchers_of_a_job_cost_as_many_looks_as_one() -> None:
    store, watching, job_id = await watched_job()
    async with AsyncExitStack() as stack:
        for _ in range(20):
            await stack.enter_async_context(watching.watch(job_id, shown))
        store.looks = 0
        await turns(100)
        assert 0 < store.looks <= 100


async def test_nobody_looks_at_a_job_that_nobody_watches() -> None:
    store, watching, job_id = await watched_job()
    async with watching.watch(job_id, shown):
        await turns(10)
    await turns(2)
    store.looks = 0
    await turns(100)
    assert store.looks == 0


async def test_watchers_are_told_once_the_store_answers_again() -> None:
    store, watching, job_id = await watched_job()
    async with watching.watch(job_id, shown) as watched:
        failures = iter(range(5))

        def away() -> None:
            if next(failures, None) is not None:
                raise UnavailableError("away", port="documents")

        await change(store, job_id, state="running")
        store.before = away
        seen = await next_of(watched, after=1)
    assert seen == Seen(2, "running", b"running")
    assert next(failures, None) is None


async def test_a_newcomer_is_told_the_state_of_now_not_of_the_last_look() -> None:
    store, watching, job_id = await watched_job(pause_s=3600)
    async with watching.watch(job_id, shown):
        await change(store, job_id, state="succeeded")
        async with watching.watch(job_id, shown) as watched:
            assert await next_of(watched, after=1) == Seen(2, "succeeded", b"succeeded")


async def test_what_a_newcomer_sees_the_others_are_told() -> None:
    store, watching, job_id = await watched_job(pause_s=3600)
    async with watching.watch(job_id, shown) as first:
        waiting = asyncio.create_task(next_of(first, after=1))
        await turns(2)
        await change(store, job_id)
        async with watching.watch(job_id, shown):
            assert await waiting == Seen(2, "queued", b"queued")
