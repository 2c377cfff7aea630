"""Jobs in a process of their own: the services, and a worker of them.

`python -m benchmarks.worked FOLDER MODEL PICTURES CLAIM`: CLAIM is `server` or
`worker`; orders come in on standard input.
"""

import asyncio
import sys
import time
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field, replace
from itertools import cycle, islice
from pathlib import Path
from typing import Literal

from benchmarks.pictures import Picture, read_pictures
from benchmarks.protocol import READY, Sample
from pydantic import BaseModel

from dinoserve.adapters.data_folder import Claim
from dinoserve.domain.assets import Metadata
from dinoserve.domain.jobs import LIVE, Chunk, Job, Outcome
from dinoserve.ports import JobQuery
from dinoserve.services import Services
from dinoserve.services.job_kinds import Found
from dinoserve.services.jobs import Asked, JobService
from dinoserve.services.upload import Upload
from dinoserve.settings import Settings
from dinoserve.telemetry import Metrics
from dinoserve.wiring import open_services
from dinoserve.working import Shift, working

LEASE_S = 2.0
"""After which a worker that was killed is missed."""

_NOOP = "noop"
_AT_ONCE = 16
_PAUSE_S = 0.002
# Of many jobs: to ask more often would cost what is measured.
_LONG_PAUSE_S = 0.02


class WorkOrder(BaseModel):
    """What to do, and how much of it.

    Attributes:
        what: `jobs` that do nothing, of one chunk, accepted side by side; `paced`:
            the same, one after the other; `chunks` that do nothing, of one job;
            `store` pictures; `embed` those by a job; `hold` a chunk for ever;
            `take` over what another held; `cancel` one that runs and one that waits
            behind it, again and again.
        many: jobs, chunks or pictures.
        slots: chunks at a time.
    """

    what: Literal["jobs", "paced", "chunks", "store", "embed", "hold", "take", "cancel"]
    many: int = 1
    slots: int = 2


@dataclass
class NoopKind:
    """A kind whose chunks have one item and do nothing, or never end.

    Attributes:
        begun_at: of each job, by `time.perf_counter`.
        holds: whether chunks never end.
        stopped: told whenever such a chunk was stopped.
    """

    begun_at: dict[str, float] = field(default_factory=dict[str, float])
    holds: bool = False
    is_begun: asyncio.Event = field(default_factory=asyncio.Event)
    stopped: asyncio.Event = field(default_factory=asyncio.Event)
    name: str = _NOOP
    chunk_items: int = 1
    has_finish: bool = False

    def items(self, parameters: Metadata) -> Sequence[str] | None:
        """Return as many items as asked for."""
        return [str(number) for number in range(int(str(parameters["many"])))]

    async def plan(self, job: Job, cursor: str | None) -> AsyncGenerator[Found]:
        """Yield nothing: the items are known."""
        del job, cursor
        return
        yield

    async def work(self, job: Job, chunk: Chunk) -> Outcome:
        """Note when the job began."""
        self.begun_at.setdefault(job.id, time.perf_counter())
        self.is_begun.set()
        if self.holds:
            try:
                await asyncio.Event().wait()
            finally:
                self.stopped.set()
        return Outcome(len(chunk.items))

    async def finish(self, job: Job) -> Metadata:
        """Return nothing."""
        del job
        return {}


@dataclass
class Worked:
    """Services with a kind that does nothing.

    Attributes:
        collections: how many were made.
    """

    services: Services
    settings: Settings
    metrics: Metrics
    pictures: Sequence[Picture]
    kind: NoopKind = field(default_factory=NoopKind)
    collections: int = 0

    async def answer(self, order: WorkOrder) -> Sample:
        """Do what the order says; return what came of it."""
        if order.what == "store":
            return await self._store(order.many)
        self.kind.holds = order.what in {"hold", "cancel"}
        self.kind.is_begun.clear()
        if order.what == "hold":
            await self._submit(_NOOP, many=1)
        shift = Shift(order.slots)
        async with working(self._jobs, shift, self.settings, self.metrics):
            if order.what in {"hold", "take"}:
                return await self._held(order)
            if order.what == "cancel":
                return await self._cancelled(order)
            return await self._timed(order)

    async def _cancelled(self, order: WorkOrder) -> Sample:
        """Return how long each running job took to stop once it was cancelled.

        Raises:
            RuntimeError: the one that waited behind it was begun all the same.
        """
        start, took_ms = time.perf_counter(), list[float]()
        for _ in range(order.many):
            self.kind.is_begun.clear()
            self.kind.stopped.clear()
            running = await self._submit(_NOOP, many=1)
            await self.kind.is_begun.wait()
            waiting = await self._submit(_NOOP, many=1)
            at = time.perf_counter()
            await self._jobs.cancel(waiting)
            await self._jobs.cancel(running)
            await self.kind.stopped.wait()
            took_ms.append((time.perf_counter() - at) * 1000)
            if waiting in self.kind.begun_at:
                raise RuntimeError("a job was begun that was cancelled before")
        wall_s = time.perf_counter() - start
        return Sample(done=order.many, wall_s=wall_s, cpu_s=0, latencies_ms=took_ms)

    @property
    def _jobs(self) -> JobService:
        return replace(self.services.jobs, kinds=self._kinds)

    @property
    def _kinds(self) -> dict[str, object]:
        return {**self.services.jobs.kinds, _NOOP: self.kind}

    async def _held(self, order: WorkOrder) -> Sample:
        """Return when the chunk was begun; who holds it tells so, and never returns."""
        await self.kind.is_begun.wait()
        begun_ms = time.time() * 1000  # of the clock that both processes have
        sample = Sample(done=1, wall_s=0, cpu_s=0, latencies_ms=[begun_ms])
        if order.what == "hold":
            print(sample.model_dump_json(), flush=True)
            await asyncio.Event().wait()
        return sample

    async def _timed(self, order: WorkOrder) -> Sample:
        # Until the worker listens, which is no part of what is measured.
        await self._over(await self._submit(_NOOP, many=1))
        cpu, start = time.process_time(), time.perf_counter()
        sent = await self._asked(order)
        pause_s = _PAUSE_S if order.what == "paced" else _LONG_PAUSE_S
        while await self.services.jobs.find(JobQuery(states=LIVE, limit=1)):  # noqa: ASYNC110 - the store tells nobody
            await asyncio.sleep(pause_s)
        return Sample(
            done=order.many,
            wall_s=time.perf_counter() - start,
            cpu_s=time.process_time() - cpu,
            latencies_ms=[
                (self.kind.begun_at[job] - at) * 1000
                for job, at in sent.items()
                if job in self.kind.begun_at
            ],
        )

    async def _asked(self, order: WorkOrder) -> dict[str, float]:
        """Ask for the jobs; return when each was, just before."""
        match order.what:
            case "jobs":
                return await self._side_by_side(order.many)
            case "paced":
                return await self._one_by_one(order.many)
            case "chunks":
                return {await self._submit(_NOOP, many=order.many): 0.0}
            case _:
                job = await self._submit("embed", collection=self._collection)
                return {job: 0.0}

    async def _side_by_side(self, many: int) -> dict[str, float]:
        turns, sent = asyncio.Semaphore(_AT_ONCE), dict[str, float]()

        async def one() -> None:
            async with turns:
                at = time.perf_counter()
                sent[await self._submit(_NOOP, many=1)] = at

        await asyncio.gather(*(one() for _ in range(many)))
        return sent

    async def _one_by_one(self, many: int) -> dict[str, float]:
        sent = dict[str, float]()
        for _ in range(many):
            at = time.perf_counter()
            sent[await self._over(await self._submit(_NOOP, many=1))] = at
        return sent

    async def _submit(self, kind: str, **parameters: object) -> str:
        return (await self._jobs.submit(Asked(kind, parameters))).job.id

    async def _over(self, job: str) -> str:
        while (await self.services.jobs.get(job)).state in LIVE:  # noqa: ASYNC110 - the store tells nobody
            await asyncio.sleep(_PAUSE_S)
        return job

    async def _store(self, many: int) -> Sample:
        """Store so many pictures without vectors, in a new collection."""
        self.collections += 1
        turns, start = asyncio.Semaphore(_AT_ONCE), time.perf_counter()

        async def one(picture: Picture) -> None:
            async with turns:
                upload = Upload(picture.fresh(), collection=self._collection)
                await self.services.assets.upload(upload, embed=False)

        some = islice(cycle(self.pictures), many)
        await asyncio.gather(*(one(picture) for picture in some))
        wall_s = time.perf_counter() - start
        return Sample(done=many, wall_s=wall_s, cpu_s=0, latencies_ms=[])

    @property
    def _collection(self) -> str:
        return f"c{self.collections}"


async def _main(folder: Path, model: str, pictures: Path, claim: Claim) -> None:
    settings = Settings.model_validate(
        {
            "data": folder,
            "model": model,
            "device": "cpu",
            "job_slots": 0,
            "job_lease_s": LEASE_S,
            "max_waiting_chunks": 1_000_000,
            "cache_bytes": 0,
        }
    )
    metrics = Metrics()
    async with open_services(settings, metrics, claim) as services:
        worked = Worked(services, settings, metrics, read_pictures(pictures))
        print(READY, flush=True)
        while line := await asyncio.to_thread(sys.stdin.readline):
            sample = await worked.answer(WorkOrder.model_validate_json(line))
            print(sample.model_dump_json(), flush=True)


if __name__ == "__main__":
    _folder, _model, _pictures, _claim = sys.argv[1:]
    asyncio.run(
        _main(
            Path(_folder),
            _model,
            Path(_pictures),
            "server" if _claim == "server" else "worker",
        )
    )
