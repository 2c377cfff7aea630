"""Running jobs: one chunk at a time per slot, told to the store as it goes."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TypeAlias

from dinoserve.domain import job_steps as steps
from dinoserve.domain.job_steps import Edited
from dinoserve.domain.jobs import FINISH, LIVE, PLAN, Chunk, Job, Message, Patience
from dinoserve.errors import (
    ConflictError,
    DinoserveError,
    InvalidInputError,
    NotFoundError,
    UnavailableError,
)
from dinoserve.ports import Edit, JobStore
from dinoserve.services.dispatching import Dispatcher
from dinoserve.services.job_erasure import JobErasure
from dinoserve.services.job_kinds import JobKind, grouped
from dinoserve.services.job_log import JobLog
from dinoserve.services.job_results import JobResults
from dinoserve.telemetry import Metrics

_LOOK_S = 0.4  # a cancelled job stops within a second
_HOPELESS = (InvalidInputError, NotFoundError, ConflictError)
_MAX_TOLD = 500
_Step: TypeAlias = Callable[[Job, Chunk], Edited | None]
# How long the store may be away before work that is done is given up.
_STORE_S = 60.0


@dataclass(frozen=True, slots=True)
class JobRunner:
    """Does what messages ask for; what happens is a step of `domain.job_steps`.

    Attributes:
        worker: name of this process, unlike any other's.
    """

    store: JobStore
    dispatcher: Dispatcher
    kinds: Mapping[str, JobKind]
    results: JobResults
    worker: str
    now: Callable[[], datetime]
    patience: Patience
    metrics: Metrics
    _alone: asyncio.Lock = field(default_factory=asyncio.Lock, repr=False)

    @property
    def _log(self) -> JobLog:
        return JobLog(self.metrics)

    async def handle(self, message: Message) -> None:
        """Do one chunk to its end, or leave it to be tried again.

        Cancelled, it gives the chunk back.
        """
        is_suspect = False

        def begin(job: Job, chunk: Chunk) -> Edited | None:
            nonlocal is_suspect
            edited = self._begin(job, chunk)
            was_lost = chunk.crashes > 0 or chunk.state == "running"
            is_suspect = edited is not None and was_lost
            return None if is_suspect else edited

        place = message.job_id, message.number
        if begun := await self._edit(*place, begin):
            await self._go_on(begun)
        elif is_suspect:
            # Of chunks that lost a worker, the one that kills shall kill alone.
            async with self._alone:
                if begun := await self._edit(*place, self._begin):
                    await self._go_on(begun)

    def _begin(self, job: Job, chunk: Chunk) -> Edited | None:
        return steps.begin(job, chunk, self.worker, self.now(), self.patience)

    async def _go_on(self, begun: Edited) -> None:
        job, [chunk, *_] = begun
        if chunk.state == "buried":
            self._log.burial(job, chunk)
            await self.dispatcher.send(job)
            return
        await self._do(job, chunk)

    async def _do(self, job: Job, chunk: Chunk) -> None:
        start = time.perf_counter()
        try:
            ended = await self._guarded(job, chunk)
        except asyncio.CancelledError:
            await asyncio.shield(self._give_back(job, chunk))
            raise
        except _HOPELESS as error:
            ended = await self._give_up(job, chunk, error)
        except Exception as error:  # noqa: BLE001 - a bug in a kind is a failed try
            ended = await self._try_again(job, chunk, error)
        seconds = time.perf_counter() - start
        self.metrics.job_chunks.labels(job.kind).observe(seconds)
        if ended is None:
            await self._let_go(job, chunk)
        else:
            self._log.end(ended, seconds)
            await self.dispatcher.send(ended.job)
            if ended.job.has_leftovers:
                await self._tidy(ended.job)

    async def _guarded(self, job: Job, chunk: Chunk) -> Edited | None:
        """Do the chunk, and tell that we are at it; None: nobody wants it any more."""
        async with self._told(job, chunk) as work:
            work.append(asyncio.create_task(self._work(job, chunk)))
            try:
                await asyncio.wait(work)
            finally:
                work[0].cancel()
            return None if work[0].cancelled() else work[0].result()

    @asynccontextmanager
    async def _told(
        self, job: Job, chunk: Chunk
    ) -> AsyncGenerator[list["asyncio.Task[Edited | None]"]]:
        work: list[asyncio.Task[Edited | None]] = []
        task = asyncio.create_task(self._keep_telling(job, chunk, work))
        try:
            yield work
        finally:
            task.cancel()
            await asyncio.gather(task, *work, return_exceptions=True)

    async def _keep_telling(
        self, job: Job, chunk: Chunk, work: "list[asyncio.Task[Edited | None]]"
    ) -> None:
        """Renew the chunk's lease; cancel its work once it is not ours any more."""
        told = time.monotonic()
        is_ours = True
        while is_ours:
            await asyncio.sleep(_LOOK_S)
            with suppress(UnavailableError):
                if time.monotonic() - told > self.patience.lease_s / 4:
                    is_ours = await self._touch(job, chunk)
                    told = time.monotonic()
                seen = await self.store.job(job.id)
                is_ours &= seen is not None and seen.state in LIVE
        for task in work:
            task.cancel()

    async def _touch(self, job: Job, chunk: Chunk) -> bool:
        """Renew the lease; False: another has the chunk, or it has ended."""
        step = _of_start(
            chunk, lambda job, own: steps.touch(job, own, self.worker, self.now())
        )
        edit = _of(chunk.number, step)
        return await self.store.edit(job.id, [chunk.number], edit) is not None

    async def _work(self, job: Job, chunk: Chunk) -> Edited | None:
        kind = self.kinds[job.kind]
        if chunk.number == PLAN:
            return await self._plan(kind, job, chunk)
        if chunk.number == FINISH:
            result = await kind.finish(job)
            return await self._edit(
                job.id,
                FINISH,
                _of_start(
                    chunk, lambda job, own: steps.complete(job, own, result, self.now())
                ),
            )
        outcome = await kind.work(job, chunk)
        return await self._edit(
            job.id,
            chunk.number,
            lambda job, chunk: steps.end(job, chunk, outcome, self.now()),
        )

    async def _plan(self, kind: JobKind, job: Job, plan: Chunk) -> Edited | None:
        cursor = plan.cursor
        async for found in kind.plan(job, cursor):
            chunks = grouped(found.items, kind.chunk_items)
            places = cursor, found.cursor
            extended = await self._edit(
                job.id,
                PLAN,
                lambda job, plan, chunks=chunks, places=places: steps.extend(
                    job, plan, chunks, places, self.now()
                ),
            )
            if extended is None:  # over, or planned by another
                return None
            cursor = found.cursor
            await self.dispatcher.send(extended.job)
        return await self._edit(
            job.id, PLAN, lambda job, plan: steps.end_plan(job, plan, self.now())
        )

    async def _give_back(self, job: Job, chunk: Chunk) -> None:
        released = await self.store.edit(
            job.id,
            [chunk.number],
            _of(
                chunk.number,
                _of_start(
                    chunk,
                    lambda job, own: steps.release(job, own, self.worker, self.now()),
                ),
            ),
        )
        if released:
            await self.dispatcher.send(released.job)

    async def _give_up(
        self, job: Job, chunk: Chunk, error: DinoserveError
    ) -> Edited | None:
        """End the job if its plan or result cannot be; of items, try again."""
        if chunk.number >= 1:
            return await self._try_again(job, chunk, error)
        return await self._edit(
            job.id,
            chunk.number,
            lambda job, _: steps.fail(job, error.detail, self.now()),
        )

    async def _try_again(
        self, job: Job, chunk: Chunk, error: Exception
    ) -> Edited | None:
        is_expected = isinstance(error, DinoserveError)
        patience = self.patience
        if isinstance(error, UnavailableError):
            patience = replace(patience, tries=patience.outages)
        told = error.detail if is_expected else f"{type(error).__name__}: {error}"
        self._log.failure(job, chunk, told, is_bug=not is_expected)
        faulted = await self._edit(
            job.id,
            chunk.number,
            _of_start(
                chunk,
                lambda job, own: steps.fault(
                    job, own, told[:_MAX_TOLD], self.now(), patience
                ),
            ),
        )
        if faulted and faulted.chunks[0].state == "buried":
            self._log.burial(faulted.job, faulted.chunks[0])
        return faulted

    async def _let_go(self, job: Job, chunk: Chunk) -> None:
        """Leave nothing of a job that nobody wants any more."""
        seen = await self.store.job(job.id)
        if seen is None:
            await self.results.erase(job.id)
        elif seen.state in {"dead", *LIVE}:
            # Else it would be taken for lost, if the job was dead and is live again.
            await self._give_back(seen, chunk)
        else:
            await self._tidy(seen)

    async def _tidy(self, job: Job) -> None:
        """Erase what a job that is over left; if that fails, others will."""
        rest_s = self.patience.lease_s
        with suppress(UnavailableError):
            await JobErasure(self.store, self.results, self.now, rest_s).tidy(job)

    async def _edit(self, job_id: str, number: int, edit: _Step) -> Edited | None:
        """Store the step, and wait for a store that is away for a while."""
        until, pause_s = time.monotonic() + _STORE_S, 0.1
        while True:
            try:
                return await self.store.edit(job_id, [number], _of(number, edit))
            except UnavailableError:
                if time.monotonic() > until:
                    raise
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, 2.0)


def _of_start(begun: Chunk, step: _Step) -> _Step:
    """Return the step, which wants nothing once the chunk was begun by another."""

    def of_own(job: Job, chunk: Chunk) -> Edited | None:
        return step(job, chunk) if chunk.starts == begun.starts else None

    return of_own


def _of(number: int, edit: _Step) -> Edit:
    """Return the edit of one chunk, which wants nothing if the chunk is not there."""

    def of_all(job: Job, chunks: Mapping[int, Chunk]) -> Edited | None:
        return edit(job, chunks[number]) if number in chunks else None

    return of_all
