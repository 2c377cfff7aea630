"""Forgetting: jobs that have been over for long are erased with their results."""

from datetime import datetime
from typing import Final

from dinoserve.domain.jobs import JobState
from dinoserve.ports import JobQuery, JobStore
from dinoserve.services.job_results import JobResults

_PAGE = 500
_OVER: Final[tuple[JobState, ...]] = ("succeeded", "failed", "cancelled")


async def forget_old(store: JobStore, results: JobResults, before: datetime) -> int:
    """Erase some jobs that were over by then; return how many.

    0: there are none left. Dead jobs stay: somebody has to decide on them.
    """
    over = JobQuery(states=_OVER, is_oldest_first=True, limit=_PAGE)
    old = [
        job
        for job in await store.jobs(over)
        if job.finished_at and job.finished_at < before
    ]
    for job in old:
        await results.erase(job.id)
        await store.forget(job.id)
    return len(old)
