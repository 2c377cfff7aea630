"""How jobs come to their end, for the steps that bring them there."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import NamedTuple

from dinoserve.domain.jobs import FINISH, Chunk, Job, JobState


class Edited(NamedTuple):
    """What to store: the job, and the chunks that changed or are new."""

    job: Job
    chunks: Sequence[Chunk] = ()


def ripened(job: Job, chunks: Sequence[Chunk], now: datetime) -> Edited:
    """Begin the end of a job all of whose chunks have ended."""
    if not job.progress.has_ended:
        return Edited(job, chunks)
    if buried := job.progress.buried:
        told = f"{buried} chunks are in the dead letters"
        return Edited(replace(job, state="dead", finished_at=now, error=told), chunks)
    if not job.has_finish:
        return Edited(over(job, now), chunks)
    if job.progress.is_ripe:  # it waits since the job was retried
        return Edited(job, chunks)
    job = replace(job, progress=replace(job.progress, is_ripe=True))
    return Edited(job, [*chunks, Chunk(job.id, FINISH, now)])


def over(job: Job, now: datetime) -> Job:
    """Return the job once nothing is left: it failed if every item did."""
    if job.progress.items and job.progress.failed == job.progress.items:
        told = "every item failed; `progress.reasons` and the failures say why"
        return failed_with(job, told, now)
    return ended(job, "succeeded", now)


def failed_with(job: Job, error: str | None, now: datetime) -> Job:
    """Return the job as it has failed, and why."""
    return ended(job, "failed", now, error)


def ended(job: Job, state: JobState, now: datetime, error: str | None = None) -> Job:
    """Return the job in the state that it ends in."""
    left = job.has_finish
    return replace(job, state=state, finished_at=now, error=error, has_leftovers=left)


def changed(job: Job, **changes: object) -> Job:
    """Return the job with these changes, as its next version."""
    return replace(job, version=job.version + 1, **changes)
