"""Jobs being worked on in this process: in memory, with kinds that only note."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

from dinoserve.adapters.memory import MemoryDocuments, MemoryObjects
from dinoserve.adapters.memory_queue import MemoryQueue
from dinoserve.domain.assets import Metadata
from dinoserve.domain.jobs import LIVE, Chunk, Failure, Job, Outcome, Patience
from dinoserve.ports import JobQueue, JobStore
from dinoserve.services.dispatching import Dispatcher, dispatched
from dinoserve.services.job_kinds import Found, JobKind
from dinoserve.services.job_results import JobResults
from dinoserve.services.job_runner import JobRunner
from dinoserve.services.jobs import JobService
from dinoserve.telemetry import Metrics

SWIFT = Patience(lease_s=2, pause_s=0.01, max_pause_s=0.05)


@dataclass
class NotingKind:
    """A kind whose items are counted; odd ones can be made to fail.

    Attributes:
        found: items that its plan finds; None: its parameters name them.
        spoilt: items that fail.
        before: awaited at the start of every chunk.
    """

    found: Sequence[str] | None = None
    spoilt: frozenset[str] = frozenset()
    before: Callable[[Chunk], object] = lambda _: None
    name: str = "note"
    chunk_items: int = 2
    has_finish: bool = False
    seen: list[str] = field(default_factory=list[str])

    def items(self, parameters: Metadata) -> Sequence[str] | None:
        """Return the items that the parameters name."""
        if self.found is not None:
            return None
        return [str(item) for item in parameters.get("items") or ()]  # pyright: ignore[reportGeneralTypeIssues, reportUnknownVariableType, reportUnknownArgumentType] - tests give lists

    async def plan(self, job: Job, cursor: str | None) -> AsyncGenerator[Found]:
        """Yield the items one by one."""
        del job
        start = int(cursor or 0)
        for at, item in enumerate((self.found or ())[start:], start + 1):
            yield Found([item], str(at))

    async def work(self, job: Job, chunk: Chunk) -> Outcome:
        """Note the items."""
        del job
        waited = self.before(chunk)
        if asyncio.iscoroutine(waited):
            await waited
        self.seen += chunk.items
        failures = tuple(
            Failure(item, "spoilt", "it is spoilt")
            for item in chunk.items
            if item in self.spoilt
        )
        return Outcome(len(chunk.items) - len(failures), failures)

    async def finish(self, job: Job) -> Metadata:
        """Return how many items were done."""
        return {"done": job.progress.done}


@dataclass
class Working:
    """Jobs, and what works on them."""

    jobs: JobService
    runner: JobRunner
    queue: JobQueue
    store: JobStore

    async def over(self, job_id: str) -> Job:
        """Return the job once nobody works on it any more."""
        async with asyncio.timeout(20):
            while (job := await self.jobs.get(job_id)).state in LIVE:  # noqa: ASYNC110 - the store tells nobody
                await asyncio.sleep(0.005)
        return job


def make_working(
    kind: JobKind, store: JobStore | None = None, patience: Patience = SWIFT
) -> Working:
    """Return jobs of one kind that nothing works on yet."""
    metrics = Metrics()
    store = store or MemoryDocuments().jobs
    queue = MemoryQueue(metrics)
    results = JobResults(MemoryObjects())
    dispatcher = Dispatcher(store, queue, _now, patience)
    kinds: Mapping[str, JobKind] = {kind.name: kind}
    runner = JobRunner(
        store, dispatcher, kinds, results, "worker", _now, patience, metrics
    )
    jobs = JobService(store, dispatcher, kinds, results, _now, max_waiting=100)
    return Working(jobs, runner, queue, store)


@asynccontextmanager
async def at_work(working: Working, slots: int = 2) -> AsyncGenerator[Working]:
    """Work on the jobs during the block."""
    kinds = list(working.runner.kinds)
    async with (
        dispatched(working.runner.dispatcher, pause_s=0.05),
        working.queue.serve(kinds, working.runner.handle, slots),
    ):
        yield working


def _now() -> datetime:
    return datetime.now(UTC)
