"""Jobs and their chunks in dictionaries."""

import json
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import fields, replace
from datetime import datetime

from dinoserve.domain.assets import Metadata
from dinoserve.domain.job_erasure import Erasure, covered
from dinoserve.domain.job_steps import Edited
from dinoserve.domain.jobs import LIVE, Chunk, Job, Progress
from dinoserve.errors import InvalidInputError
from dinoserve.ports import ChunkQuery, Edit, JobCursor, JobQuery, Waiting


class MemoryJobs:
    """`ports.JobStore` in dictionaries; see there for what methods do.

    Raises:
        InvalidInputError: text that is not Unicode, in what is stored or looked for.
    """

    def __init__(self) -> None:
        self._jobs: dict[str, Job] = {}
        self._chunks: dict[str, dict[int, Chunk]] = {}
        self._erasures: dict[str, Erasure] = {}
        self._erased = 0

    async def accept(self, job: Job, chunks: Sequence[Chunk]) -> Job:
        """Store a new job; return it, or the one that has its id or key."""
        copies = _copies(job, chunks)
        if known := self._known(job):
            return _copy(known)
        self._put(*copies)
        return job

    async def edit(
        self, job_id: str, numbers: Collection[int], edit: Edit
    ) -> Edited | None:
        """Store what `edit` makes of the job and these chunks, all or nothing."""
        job = await self.job(job_id)
        if job is None:
            return None
        stored = self._chunks[job_id]
        edited = edit(job, {each: stored[each] for each in numbers if each in stored})
        if edited is not None:
            self._put(*_copies(edited.job, edited.chunks))
        return edited

    async def jobs(self, query: JobQuery) -> list[Job]:
        """Return jobs in the query's order."""
        _check_text(query.kind, query.collection, [*query.states])
        found = [job for job in self._jobs.values() if _is_meant(job, query)]
        found.sort(key=_place, reverse=not query.is_oldest_first)
        return [_copy(job) for job in found[: query.limit]]

    async def job(self, job_id: str) -> Job | None:
        """Return the job. Absent: None."""
        _check_text(job_id)
        found = self._jobs.get(job_id)
        return None if found is None else _copy(found)

    async def chunks(self, query: ChunkQuery) -> list[Chunk]:
        """Return chunks, by job id, then number."""
        _check_text(query.job_id, [*query.states])
        found = [
            chunk
            for chunks in self._chunks.values()
            for chunk in chunks.values()
            if chunk.state in query.states
            and query.job_id in (None, chunk.job_id)
            and (query.after is None or (chunk.job_id, chunk.number) > query.after)
        ]
        found.sort(key=lambda chunk: (chunk.job_id, chunk.number))
        return found[: query.limit]

    async def forget(self, job_id: str) -> None:
        """Erase a job with its chunks; absent: nothing happens."""
        _check_text(job_id)
        self._jobs.pop(job_id, None)
        self._chunks.pop(job_id, None)

    async def telling(
        self, names: Collection[str], after: str, limit: int
    ) -> list[Job]:
        """Return jobs that cover any of these names, by id."""
        _check_text([*names], after)
        found = [
            _copy(self._jobs[key])
            for key in sorted(self._jobs)
            if key > after and not covered(self._jobs[key]).isdisjoint(names)
        ]
        return found[:limit]

    async def untidy(self, before: datetime, limit: int) -> list[Job]:
        """Return jobs with leftovers that were over by then, by id."""
        found = (self._jobs[key] for key in sorted(self._jobs))
        return [
            _copy(job)
            for job in found
            if job.has_leftovers and job.finished_at and job.finished_at <= before
        ][:limit]

    async def waiting(self, most: int) -> list[Waiting]:
        """Return how much waits of each kind and collection."""
        jobs: Counter[tuple[str, str | None]] = Counter()
        chunks: Counter[tuple[str, str | None]] = Counter()
        for job in self._jobs.values():
            if job.state in LIVE:
                left = job.progress.chunks - job.progress.ended
                jobs[job.kind, job.collection] += 1
                chunks[job.kind, job.collection] += min(most, max(1, left))
        return [Waiting(*key, jobs[key], chunks[key]) for key in jobs]

    async def erasures(self, limit: int) -> list[Erasure]:
        """Return erasures that were not settled, the oldest first."""
        return list(self._erasures.values())[:limit]

    async def settle(self, erasures: Collection[Erasure]) -> None:
        """Forget these erasures."""
        for each in erasures:
            self._erasures.pop(each.key, None)

    def note_erasure(self, asset_id: str, collection: str) -> None:
        """Note that the asset was erased, for `erasures`."""
        self._erased += 1
        key = str(self._erased)
        self._erasures[key] = Erasure(key, asset_id, collection)

    def _known(self, job: Job) -> Job | None:
        keyed = (each for each in self._jobs.values() if each.key == job.key)
        first = None if job.key is None else next(keyed, None)
        return first or self._jobs.get(job.id)

    def _put(self, job: Job, chunks: Sequence[Chunk]) -> None:
        self._jobs[job.id] = job
        stored = self._chunks.setdefault(job.id, {})
        stored |= {chunk.number: chunk for chunk in chunks}


def _copies(job: Job, chunks: Sequence[Chunk]) -> tuple[Job, Sequence[Chunk]]:
    """Return what is to be stored; nothing that can change is shared.

    Raises:
        InvalidInputError: text that is not Unicode.
    """
    for record in (job, *chunks):
        _check_text(*(getattr(record, field.name) for field in fields(record)))
    return _copy(job), list(chunks)


def _copy(job: Job) -> Job:
    return replace(
        job,
        parameters=_json(job.parameters),
        result=None if job.result is None else _json(job.result),
        progress=replace(job.progress, reasons=dict(job.progress.reasons)),
    )


def _json(value: Metadata) -> Metadata:
    return json.loads(json.dumps(value, default=dict))


def _check_text(*values: object) -> None:
    try:
        json.dumps(values, ensure_ascii=False, default=_plain).encode()
    except UnicodeEncodeError as error:
        raise InvalidInputError(
            "Text must be Unicode without lone surrogates."
        ) from error


def _plain(value: Progress | datetime | Metadata) -> object:
    match value:
        case Progress():
            return dict(value.reasons)
        case datetime():
            return value.isoformat()
        case _:
            return dict(value)


def _is_meant(job: Job, query: JobQuery) -> bool:
    return (
        (not query.states or job.state in query.states)
        and query.kind in (None, job.kind)
        and query.collection in (None, job.collection or "")
        and (query.after is None or _is_behind(job, query.after, query))
    )


def _is_behind(job: Job, after: JobCursor, query: JobQuery) -> bool:
    if query.is_oldest_first:
        return _place(job) > after
    return _place(job) < after


def _place(job: Job) -> JobCursor:
    return JobCursor(job.created_at, job.id)
