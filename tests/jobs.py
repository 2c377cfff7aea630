"""Jobs and chunks for the tests of stores and of what happens to them."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from dinoserve.domain import job_steps as steps
from dinoserve.domain.assets import Metadata
from dinoserve.domain.job_steps import Edited
from dinoserve.domain.jobs import (
    Chunk,
    Failure,
    Job,
    JobState,
    Outcome,
    Patience,
    fingerprint,
)
from dinoserve.ports import Edit
from records import NOON, digest

EVERY: Final = ("waiting", "running", "done", "buried")
LONE: Final = "\ud800"
ODD_TEXT: Final = 'it\'s "quoted"; 日本語 🦕 a\0b %_ $.x[0] \n'
PATIENCE: Final = Patience(lease_s=15, crashes=3, tries=4, pause_s=1, max_pause_s=3)
LATER: Final = NOON + timedelta(seconds=5)
LEASE: Final = timedelta(seconds=PATIENCE.lease_s)
LOST: Final = NOON + LEASE


def a_job(  # noqa: PLR0913 - each test names only what it is about
    seed: object = 1,
    *,
    kind: str = "embed",
    created_at: datetime = NOON,
    state: JobState = "queued",
    collection: str | None = "default",
    parameters: Metadata | None = None,
    key: str | None = None,
    has_finish: bool = False,
) -> Job:
    """Return a job whose id is named by the seed."""
    parameters = parameters or {}
    return Job(
        id=digest(seed)[:32],
        kind=kind,
        parameters=parameters,
        created_at=created_at,
        fingerprint=fingerprint(kind, parameters),
        collection=collection,
        key=key,
        has_finish=has_finish,
        state=state,
    )


def a_chunk(job: Job, number: int = 1, *items: str) -> Chunk:
    """Return a chunk of the job that waits for its first start."""
    return Chunk(job.id, number, job.created_at, items=items)


def storing(edited: Edited | None) -> Edit:
    """Return the edit that wants just this, whatever is there."""

    def edit(job: Job, chunks: Mapping[int, Chunk]) -> Edited | None:
        del job, chunks
        return edited

    return edit


class Story:
    """A job and its chunks as the last step left them."""

    def __init__(self, *groups: str, has_finish: bool = False) -> None:
        items = [list(group) for group in groups] or None
        self.chunks: dict[int, Chunk] = {}
        self.job = a_job(has_finish=has_finish)
        self._keep(steps.first_chunks(self.job, items, NOON))

    def _keep(self, edited: Edited | None) -> Edited | None:
        if edited:
            self.job = edited.job
            self.chunks |= {chunk.number: chunk for chunk in edited.chunks}
        return edited

    def does(
        self, number: int, step: Callable[..., Edited | None], *told: object
    ) -> Edited | None:
        return self._keep(step(self.job, self.chunks[number], *told))

    def begins(self, number: int, worker: str = "ann") -> Edited | None:
        chunk = self.chunks[number]
        moment = max(chunk.run_at, NOON)
        return self.does(number, steps.begin, worker, moment, PATIENCE)

    def ends(self, number: int, *failed: str) -> Edited | None:
        failures = tuple(Failure(item, "bad", "") for item in failed)
        done = len(self.chunks[number].items) - len(failed)
        return self.does(number, steps.end, Outcome(done, failures), LATER)

    def is_buried(self, number: int) -> None:
        self.begins(number)
        once = replace(PATIENCE, tries=1)
        assert self.does(number, steps.fault, "bad", LATER, once)
        assert self.chunks[number].state == "buried"

    def retries(self) -> Edited | None:
        return self._keep(steps.retry(self.job, [*self.chunks.values()], LATER))

    def is_stopped(self, step: Callable[..., Edited | None], *told: object) -> None:
        assert self._keep(step(self.job, *told, LATER))
