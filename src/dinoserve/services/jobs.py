"""Jobs: accept them, show them, end them, and look after their dead letters."""

import asyncio
import uuid
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, NamedTuple

from dinoserve.domain import job_steps as steps
from dinoserve.domain.assets import Metadata
from dinoserve.domain.job_steps import Edited
from dinoserve.domain.jobs import FINISH, Chunk, Job, JobState, fingerprint
from dinoserve.errors import (
    IdempotencyError,
    InvalidInputError,
    JobNotFoundError,
    JobStateError,
    OverloadedError,
)
from dinoserve.ports import ChunkQuery, Edit, JobQuery, JobStore
from dinoserve.services.dispatching import Dispatcher
from dinoserve.services.forgetting import forget_old
from dinoserve.services.job_erasure import JobErasure
from dinoserve.services.job_kinds import JobKind, grouped
from dinoserve.services.job_results import JobResults

_PAGE = 500
_OVER: Final[tuple[JobState, ...]] = ("succeeded", "failed", "cancelled")


@dataclass(frozen=True, slots=True)
class Asked:
    """A job as somebody asks for it.

    Attributes:
        parameters: JSON that fits the kind.
        key: the caller's idempotency key: two requests with one are the same.
    """

    kind: str
    parameters: Metadata
    collection: str | None = None
    requester: str | None = None
    key: str | None = None


class Submitted(NamedTuple):
    """The job, and whether it was not there before."""

    job: Job
    is_new: bool


class DeadLetter(NamedTuple):
    """A chunk that was given up, and its job."""

    job: Job
    chunk: Chunk


@dataclass(frozen=True, slots=True)
class JobService:
    """Accepts, shows and ends jobs; workers do them.

    Attributes:
        max_waiting: messages of one kind in the queue from which on no job of it is
            accepted.
    """

    store: JobStore
    dispatcher: Dispatcher
    kinds: Mapping[str, JobKind]
    results: JobResults
    now: Callable[[], datetime]
    max_waiting: int

    @property
    def erasure(self) -> JobErasure:
        """What erases of the jobs what nobody needs, or may have, any more."""
        rest_s = self.dispatcher.patience.lease_s
        return JobErasure(self.store, self.results, self.now, rest_s)

    async def submit(self, asked: Asked) -> Submitted:
        """Return the job, kept for good; it is done even if the queue is away.

        Raises:
            InvalidInputError: there is no such kind.
            IdempotencyError: the key belongs to another request.
            OverloadedError: too much of its kind waits.
        """
        kind = self.kinds.get(asked.kind)
        if kind is None:
            raise InvalidInputError(
                f"There is no job of this kind; there are {', '.join(self.kinds)}.",
                field="kind",
                value=asked.kind[:80],
            )
        await self._check_room(asked.kind)
        # Reading a manifest may take a second.
        job, chunks = await asyncio.to_thread(self._new, asked, kind)
        kept = await self.store.accept(job, chunks)
        if kept.id != job.id:
            return Submitted(_same(kept, job), is_new=False)
        await self.dispatcher.welcome(kept)
        return Submitted(kept, is_new=True)

    async def get(self, job_id: str) -> Job:
        """Return the job. Absent: JobNotFoundError."""
        if job := await self.store.job(job_id):
            return job
        raise JobNotFoundError(f"No job has the id {job_id}.", value=job_id)

    async def find(self, query: JobQuery) -> list[Job]:
        """Return jobs in the query's order."""
        return await self.store.jobs(query)

    async def cancel(self, job_id: str) -> Job:
        """Return the job, cancelled; its workers stop within a second.

        Raises:
            JobNotFoundError: there is none.
            JobStateError: it is over.
        """
        job = await self._change(
            job_id, [], lambda job, _: steps.cancel(job, self.now()), "cancelled"
        )
        await self.erasure.tidy(job)
        return job

    async def retry(self, job_id: str) -> Job:
        """Return the job, live again to try the items that failed.

        Raises:
            JobNotFoundError: there is none.
            JobStateError: it is not over, or nothing failed.
        """
        failed = [
            chunk.number
            async for chunk in self._chunks(ChunkQuery(("done",), job_id, limit=_PAGE))
            if chunk.failures
        ]
        job = await self._change(
            job_id,
            [*failed, FINISH],
            lambda job, chunks: steps.retry(job, [*chunks.values()], self.now()),
            "retried",
        )
        await self.dispatcher.send(job)
        return job

    async def dead_letters(
        self, after: tuple[str, int] | None, limit: int
    ) -> list[DeadLetter]:
        """Return dead letters, by job id and chunk number."""
        query = ChunkQuery(("buried",), after=after, limit=limit)
        found: list[DeadLetter] = []
        jobs: dict[str, Job | None] = {}
        for chunk in await self.store.chunks(query):
            if chunk.job_id not in jobs:
                jobs[chunk.job_id] = await self.store.job(chunk.job_id)
            if job := jobs[chunk.job_id]:
                found.append(DeadLetter(job, chunk))
        return found

    async def dead_letter(self, job_id: str, number: int) -> DeadLetter:
        """Return one dead letter. Absent: JobNotFoundError."""
        job = await self.get(job_id)
        async for chunk in self._chunks(ChunkQuery(("buried",), job_id, limit=_PAGE)):
            if chunk.number == number:
                return DeadLetter(job, chunk)
        raise _no_letter(job_id, number)

    async def requeue(self, job_id: str, number: int) -> Job:
        """Return the job, live again as the dead letter is tried anew.

        Raises:
            JobNotFoundError: there is no such dead letter.
        """
        job = await self._bury_no_more(job_id, number, steps.requeue)
        await self.dispatcher.send(job)
        return job

    async def discard(self, job_id: str, number: int) -> Job:
        """Return the job after the dead letter's items were given up.

        Raises:
            JobNotFoundError: there is no such dead letter.
        """
        job = await self._bury_no_more(job_id, number, steps.discard)
        await self.dispatcher.send(job)
        return job

    async def forget(self, job_id: str) -> None:
        """Erase a job that is over, with its results.

        Raises:
            JobNotFoundError: there is none.
            JobStateError: it is not over; a dead one is cancelled first.
        """
        job = await self.get(job_id)
        if job.state not in _OVER:
            raise _misfit(job, "forgotten")
        await self._erase(job)

    async def forget_old(self, before: datetime) -> int:
        """Erase jobs that were over by then, with their results; return how many."""
        return await forget_old(self.store, self.results, before)

    async def _erase(self, job: Job) -> None:
        await self.results.erase(job.id)
        await self.store.forget(job.id)

    def _new(self, asked: Asked, kind: JobKind) -> Edited:
        now = self.now()
        job = Job(
            id=uuid.uuid4().hex,
            kind=asked.kind,
            parameters=asked.parameters,
            created_at=now,
            fingerprint=fingerprint(asked.kind, asked.parameters, asked.collection),
            collection=asked.collection,
            requester=asked.requester,
            key=asked.key,
            has_finish=kind.has_finish,
        )
        items = kind.items(asked.parameters)
        groups = None if items is None else grouped(items, kind.chunk_items)
        return steps.first_chunks(job, groups, now)

    async def _check_room(self, kind: str) -> None:
        waiting = await self.dispatcher.waiting(kind)
        if waiting >= self.max_waiting:
            raise OverloadedError(
                f"{waiting} chunks of {kind} jobs wait; no further job of this kind is"
                f" accepted from {self.max_waiting} on (DINOSERVE_MAX_WAITING_CHUNKS).",
                retry_after_s=5,
            )

    async def _chunks(self, query: ChunkQuery) -> AsyncGenerator[Chunk]:
        """Yield every chunk of the query, page by page."""
        while page := await self.store.chunks(query):
            for chunk in page:
                yield chunk
            last = page[-1]
            query = replace(query, after=(last.job_id, last.number))

    async def _change(
        self, job_id: str, numbers: list[int], edit: Edit, done: str
    ) -> Job:
        if edited := await self.store.edit(job_id, numbers, edit):
            return edited.job
        raise _misfit(await self.get(job_id), done)

    async def _bury_no_more(
        self,
        job_id: str,
        number: int,
        step: Callable[[Job, Chunk, datetime], Edited | None],
    ) -> Job:
        def edit(job: Job, chunks: Mapping[int, Chunk]) -> Edited | None:
            return step(job, chunks[number], self.now()) if chunks else None

        if edited := await self.store.edit(job_id, [number], edit):
            return edited.job
        job, _ = await self.dead_letter(job_id, number)
        raise _misfit(job, "taken up again: discard its dead letters")


def _misfit(job: Job, done: str) -> JobStateError:
    return JobStateError(
        f"This job is {job.state}; as it is, it cannot be {done}.",
        field="state",
        value=job.state,
    )


def _same(kept: Job, asked: Job) -> Job:
    if kept.fingerprint == asked.fingerprint:
        return kept
    raise IdempotencyError(
        f"This idempotency key belongs to job {kept.id}, which was asked for with"
        " another kind or other parameters; send another key.",
        field="idempotency-key",
        job=kept.id,
    )


def _no_letter(job_id: str, number: int) -> JobNotFoundError:
    return JobNotFoundError(
        f"Chunk {number} of job {job_id} is not in the dead letters.",
        value=f"{job_id}.{number}",
    )
