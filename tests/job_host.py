"""Starts servers and workers by fork, so that twenty deaths cost little.

`python job_host.py` reads one order a line, JSON: `as` (server or worker), `env`, and
for a worker `small` (items of a chunk, by kind), `pause_s` and `crashes`. It answers
`forked PID`; what its children say comes out beside that. Workers tell `begun` and
`ended` of every chunk, with their pid, the job, and the chunk's number.
"""

import asyncio
import json
import os
import signal
import sys
import traceback
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dinoserve.cli import app
from dinoserve.domain.assets import Metadata
from dinoserve.domain.jobs import Chunk, Job, Outcome
from dinoserve.services.job_kinds import Found, JobKind
from dinoserve.services.jobs import JobService
from dinoserve.settings import Settings
from dinoserve.telemetry import Metrics, configure_logging
from dinoserve.wiring import open_services
from dinoserve.working import Shift, working

SLOTS = 2
POISON = "poison"
"""A file in the data folder: whoever works on the chunk whose number it holds dies."""


@dataclass(frozen=True)
class ToldKind:
    """A kind as it is, perhaps with small chunks, that tells when it is at work."""

    real: JobKind
    chunk_items: int
    pause_s: float

    @property
    def name(self) -> str:
        return self.real.name

    @property
    def has_finish(self) -> bool:
        return self.real.has_finish

    def items(self, parameters: Metadata) -> Sequence[str] | None:
        return self.real.items(parameters)

    def plan(self, job: Job, cursor: str | None) -> AsyncGenerator[Found]:
        return self.real.plan(job, cursor)

    async def finish(self, job: Job) -> Metadata:
        return await self.real.finish(job)

    async def work(self, job: Job, chunk: Chunk) -> Outcome:
        tell("begun", os.getpid(), job.id, chunk.number)
        await asyncio.sleep(self.pause_s)
        die_of_poison(job, chunk)
        outcome = await self.real.work(job, chunk)
        tell("ended", os.getpid(), job.id, chunk.number)
        return outcome


def tell(*words: object) -> None:
    """Say it in one line that no other process gets into."""
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


def die_of_poison(job: Job, chunk: Chunk) -> None:
    poison = Path(POISON)
    if poison.exists() and poison.read_text() == f"{job.id} {chunk.number}":
        os._exit(1)


def served(order: dict[str, Any]) -> None:
    app(["serve", "--port", str(order.get("port", 0))])


def worked(order: dict[str, Any]) -> None:
    configure_logging(os.environ.get("DINOSERVE_LOG_LEVEL", "warning"))
    asyncio.run(work_for_ever(order))


async def work_for_ever(order: dict[str, Any]) -> None:
    settings, metrics = Settings.model_validate({}), Metrics()
    async with open_services(settings, metrics, "worker") as services:
        jobs = told(services.jobs, order)
        async with working(jobs, Shift(SLOTS), settings, metrics):
            tell("working", os.getpid())
            await asyncio.Event().wait()


def told(jobs: JobService, order: dict[str, Any]) -> JobService:
    """Return the same jobs, whose workers tell what they do."""
    small, pause_s = dict(order["small"]), float(order["pause_s"])
    kinds = {
        name: ToldKind(kind, small.get(name, kind.chunk_items), pause_s)
        for name, kind in jobs.kinds.items()
    }
    patience = replace(jobs.dispatcher.patience, crashes=int(order["crashes"]))
    dispatcher = replace(jobs.dispatcher, patience=patience)
    return replace(jobs, kinds=kinds, dispatcher=dispatcher)


def be(order: dict[str, Any]) -> None:
    """Become what is asked for; never return."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(1, 2)
    os.environ.update(order["env"])
    os.chdir(order["env"]["DINOSERVE_DATA"])
    try:
        (served if order["as"] == "server" else worked)(order)
    except BaseException:  # noqa: BLE001 - the test reads what it was
        traceback.print_exc()
    os._exit(1)


def main() -> None:
    # Nobody waits for the children: the kernel buries them.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            be(json.loads(line))
        tell("forked", pid)


if __name__ == "__main__":
    main()
