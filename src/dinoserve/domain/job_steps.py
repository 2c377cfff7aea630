"""What happens to jobs and chunks: pure functions from one state to the next.

Each takes the job and the chunk as they are stored and gives what to store instead,
in one transaction; None: nothing, because it has happened already or is too late. So
every step may be asked for twice, by two workers, or by one that was asleep.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from dinoserve.domain.assets import Metadata
from dinoserve.domain.job_ends import Edited, changed, ended, failed_with, over, ripened
from dinoserve.domain.jobs import (
    FINISH,
    LIVE,
    PLAN,
    Chunk,
    Failure,
    Job,
    Outcome,
    Patience,
    Progress,
)


def begin(
    job: Job, chunk: Chunk, worker: str, now: datetime, patience: Patience
) -> Edited | None:
    """Give the chunk to a worker, unless another is at it or it is not its time.

    A chunk that lost its worker too often is buried instead: see its state.
    """
    if not _is_due(job, chunk, now, patience):
        return None
    if chunk.state == "running":
        chunk = replace(chunk, crashes=chunk.crashes + 1)
        if chunk.crashes >= patience.crashes:
            told = f"{chunk.crashes} workers died of it, the last was {chunk.worker}"
            return bury(job, chunk, told, now)
    chunk = replace(
        chunk, state="running", worker=worker, seen_at=now, starts=chunk.starts + 1
    )
    if job.state == "queued":
        job = changed(job, state="running", started_at=now)
    return Edited(job, [chunk])


def _is_due(job: Job, chunk: Chunk, now: datetime, patience: Patience) -> bool:
    # A job that is retried has a `FINISH` too early.
    if job.state not in LIVE or (chunk.number == FINISH and not job.progress.has_ended):
        return False
    if chunk.state == "running":
        return is_lost(chunk, now, patience)
    return chunk.state == "waiting" and chunk.run_at <= now


def is_lost(chunk: Chunk, now: datetime, patience: Patience) -> bool:
    """Tell whether a running chunk's worker was not heard of for a lease."""
    lease = timedelta(seconds=patience.lease_s)
    return chunk.seen_at is None or chunk.seen_at + lease <= now


def touch(job: Job, chunk: Chunk, worker: str, now: datetime) -> Edited | None:
    """Note that the worker is still at it."""
    if chunk.state != "running" or chunk.worker != worker:
        return None
    return Edited(job, [replace(chunk, seen_at=now)])


def extend(
    job: Job,
    plan: Chunk,
    found: Sequence[Sequence[str]],
    cursors: tuple[str | None, str | None],
    now: datetime,
) -> Edited | None:
    """Add chunks of these items to a job.

    Args:
        job: whose.
        plan: its `PLAN` chunk.
        found: the items of each new chunk.
        cursors: where the plan stood, and where it stands now; a plan that stands
            elsewhere was extended by another worker.
        now: when.
    """
    if job.state not in LIVE or plan.state == "done" or plan.cursor != cursors[0]:
        return None
    old = job.progress
    new = [
        Chunk(job.id, old.chunks + at, now, items=tuple(items))
        for at, items in enumerate(found, 1)
    ]
    progress = replace(
        old,
        chunks=old.chunks + len(new),
        items=old.items + sum(len(chunk.items) for chunk in new),
    )
    plan = replace(plan, cursor=cursors[1])
    return Edited(changed(job, progress=progress), [*new, plan])


def end_plan(job: Job, plan: Chunk, now: datetime) -> Edited | None:
    """Note that no items will be added."""
    if job.state not in LIVE or plan.state == "done":
        return None
    progress = replace(job.progress, is_planned=True)
    return ripened(changed(job, progress=progress), [replace(plan, state="done")], now)


def end(job: Job, chunk: Chunk, outcome: Outcome, now: datetime) -> Edited | None:
    """Count what became of the items; a chunk that has ended is not counted again."""
    if job.state not in LIVE or chunk.state in {"done", "buried"}:
        return None
    chunk = replace(chunk, state="done", done=outcome.done, failures=outcome.failures)
    progress = job.progress.plus(outcome)
    progress = replace(progress, ended=progress.ended + 1)
    return ripened(changed(job, progress=progress), [replace(chunk, error=None)], now)


def complete(job: Job, finish: Chunk, result: Metadata, now: datetime) -> Edited | None:
    """End the job with its result, unless items are being tried again by now."""
    if job.state not in LIVE or finish.state != "running":
        return None
    if not job.progress.has_ended:
        return None
    job = changed(job, result=result)
    return Edited(over(job, now), [replace(finish, state="done", error=None)])


def fault(
    job: Job, chunk: Chunk, error: str, now: datetime, patience: Patience
) -> Edited | None:
    """Let the chunk whose try ended so be tried again after a pause, or bury it."""
    if job.state not in LIVE or chunk.state != "running":
        return None
    chunk = replace(chunk, tries=chunk.tries + 1, error=error)
    if chunk.tries >= patience.tries:
        return bury(job, chunk, error, now)
    pause_s = min(patience.pause_s * 2 ** (chunk.tries - 1), patience.max_pause_s)
    later = now + timedelta(seconds=pause_s)
    return Edited(job, [replace(chunk, state="waiting", run_at=later)])


def release(job: Job, chunk: Chunk, worker: str, now: datetime) -> Edited | None:
    """Give the chunk back unharmed, as its worker stops."""
    if chunk.state != "running" or chunk.worker != worker:
        return None
    return Edited(job, [replace(chunk, state="waiting", run_at=now)])


def bury(job: Job, chunk: Chunk, error: str, now: datetime) -> Edited:
    """Put the chunk among the dead letters; the others go on."""
    chunk = replace(chunk, state="buried", error=error)
    if chunk.number < 1:  # without a plan or a result there is nothing to go on with
        return Edited(changed(job, state="dead", finished_at=now, error=error), [chunk])
    old = job.progress
    progress = replace(old, ended=old.ended + 1, buried=old.buried + 1)
    return ripened(changed(job, progress=progress), [chunk], now)


def fail(job: Job, error: str, now: datetime) -> Edited | None:
    """End the job, as it cannot be done at all."""
    if job.state not in LIVE:
        return None
    return Edited(failed_with(changed(job), error, now))


def cancel(job: Job, now: datetime) -> Edited | None:
    """End the job as nobody wants it any more; its workers see that and stop."""
    if job.state not in LIVE and job.state != "dead":
        return None
    return Edited(ended(changed(job), "cancelled", now, job.error))


def requeue(job: Job, chunk: Chunk, now: datetime) -> Edited | None:
    """Take a chunk out of the dead letters and try it anew.

    A job whose plan is there too stays dead until that is taken out.
    """
    if chunk.state != "buried" or job.state not in {"dead", *LIVE}:
        return None
    new = replace(chunk, state="waiting", run_at=now, tries=0, crashes=0)
    if chunk.number < 1:
        return Edited(_live_again(job), [new])
    old = job.progress
    progress = replace(old, ended=old.ended - 1, buried=old.buried - 1)
    return Edited(_revived(replace(job, progress=progress)), [new])


def discard(job: Job, chunk: Chunk, now: datetime) -> Edited | None:
    """Take a chunk out of the dead letters and give its items up.

    A job whose plan or result was given up has failed; one that is over stays as it
    ended.
    """
    if chunk.state != "buried":
        return None
    detail = chunk.error or ""
    failures = tuple(Failure(item, "buried", detail) for item in chunk.items)
    done = [replace(chunk, state="done", failures=failures)]
    if chunk.number < 1:
        progress = replace(job.progress, is_planned=True)
        job = changed(job, progress=progress)
        is_dead = job.state == "dead"
        return Edited(failed_with(job, chunk.error, now) if is_dead else job, done)
    progress = job.progress.plus(Outcome(0, failures))
    progress = replace(progress, buried=progress.buried - 1)
    job = _revived(replace(job, progress=progress))
    return ripened(job, done, now) if job.state in LIVE else Edited(job, done)


def retry(job: Job, chunks: Sequence[Chunk], now: datetime) -> Edited | None:
    """Let the items be tried again that were given up in these chunks.

    `FINISH` is among them if it is there: it keeps its count of starts, so that who
    began it before cannot end it now.
    """
    finish = [
        replace(chunk, state="waiting", run_at=now, tries=0, crashes=0)
        for chunk in chunks
        if chunk.number == FINISH
    ]
    failed = [chunk for chunk in chunks if chunk.number > 0 and chunk.failures]
    if not job.can_be_retried or not failed:
        return None
    old = job.progress
    reasons = Counter(old.reasons)
    reasons.subtract(each.code for chunk in failed for each in chunk.failures)
    new = [
        Chunk(job.id, old.chunks + at, now, tuple(each.item for each in chunk.failures))
        for at, chunk in enumerate(failed, 1)
    ]
    progress = replace(
        old,
        failed=old.failed - sum(len(chunk.items) for chunk in new),
        reasons=dict(+reasons),
        chunks=old.chunks + len(new),
    )
    emptied = [replace(chunk, failures=()) for chunk in failed]
    job = _live_again(replace(job, progress=progress))
    return Edited(job, [*emptied, *new, *finish])


def _revived(job: Job) -> Job:
    """Return a job that one dead letter less holds up.

    A dead job whose items were not all found has its plan among the dead letters.
    """
    is_held_up = job.state == "dead" and job.progress.is_planned
    return _live_again(job) if is_held_up else changed(job)


def _live_again(job: Job) -> Job:
    state = "running" if job.started_at else "queued"
    job = replace(job, finished_at=None, error=None, result=None, has_leftovers=False)
    return changed(job, state=state)


def first_chunks(
    job: Job, items: Sequence[Sequence[str]] | None, now: datetime
) -> Edited:
    """Return a job as it is accepted, with its first chunks.

    Args:
        job: new.
        items: of each chunk, if they are known already; None: a plan finds them.
        now: when.
    """
    if items is None:
        return Edited(job, [Chunk(job.id, PLAN, now)])
    chunks = [
        Chunk(job.id, at, now, items=tuple(some)) for at, some in enumerate(items, 1)
    ]
    progress = Progress(items=sum(map(len, items)), chunks=len(chunks), is_planned=True)
    return ripened(replace(job, progress=progress), chunks, now)
