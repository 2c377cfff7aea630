"""What jobs made of assets that are erased: whose it is, and when it goes."""

from dataclasses import replace
from datetime import datetime
from typing import Final, NamedTuple, cast

from dinoserve.domain.assets import Metadata
from dinoserve.domain.job_steps import Edited
from dinoserve.domain.jobs import LIVE, Chunk, Job

EVERYTHING: Final = ""
"""What a job covers that names neither assets nor collections."""

# Their results tell of no asset: an erasure leaves them as they are.
_UPKEEP: Final = frozenset({"compact", "erase", "reembed"})
_DEAD: Final = (
    "an asset that it covers was erased while it was in the dead letters;"
    " submit it again"
)


class Erasure(NamedTuple):
    """That an asset was erased, noted until all results were looked through.

    Attributes:
        key: of this note.
        asset_id: which asset it was.
        collection: that it was in.
    """

    key: str
    asset_id: str
    collection: str


def covered(job: Job) -> frozenset[str]:
    """Return whose assets its parts and its result tell of, or may yet.

    Ids of assets, or names of collections, or `EVERYTHING`; empty: nothing is kept.
    """
    if not job.has_finish or job.kind in _UPKEEP or not _keeps(job):
        return frozenset()
    named = _named(job.parameters)
    # What is told of a reference set is computed from each of its members.
    reference = job.parameters.get("reference")
    return named | {reference} if isinstance(reference, str) else named


def erase(job: Job, finish: Chunk | None, now: datetime) -> Edited | None:
    """Take what a job made from it, as an asset was erased that it covers.

    A live job goes on: its result leaves out what is gone, and is begun again if it
    was being made. One in the dead letters has failed: it misses its parts.
    """
    if job.state in LIVE:
        if finish is None or finish.state != "running":
            return None
        return Edited(job, [replace(finish, state="waiting", run_at=now)])
    if not covered(job):
        return None
    if job.state == "dead":
        job = replace(job, state="failed", error=_DEAD)
    return Edited(
        replace(
            job,
            version=job.version + 1,
            erased_at=now,
            result=None,
            has_leftovers=True,
        )
    )


def tidy(job: Job, seen: Job) -> Edited | None:
    """Note that the job's leftovers are gone, unless it has changed since."""
    if not job.has_leftovers or job.version != seen.version:
        return None
    return Edited(replace(job, has_leftovers=False))


def _keeps(job: Job) -> bool:
    if job.state in {"cancelled", "failed"}:
        return job.can_be_retried
    return job.erased_at is None


def _named(parameters: Metadata) -> frozenset[str]:
    for name in ("assets", "collections"):
        if isinstance(named := parameters.get(name), list):
            return frozenset(map(str, cast("list[object]", named)))
    collection = parameters.get("collection")
    return frozenset({collection if isinstance(collection, str) else EVERYTHING})
