"""A job, whatever its workers do to it, loses no item and counts none twice."""

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, TypeVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from dinoserve.adapters.memory import MemoryDocuments
from dinoserve.domain import job_erasure as erasure
from dinoserve.domain import job_steps as steps
from dinoserve.domain.job_erasure import covered
from dinoserve.domain.job_steps import Edited
from dinoserve.domain.jobs import (
    FINISH,
    LIVE,
    PLAN,
    Chunk,
    Failure,
    Outcome,
    Patience,
)
from dinoserve.ports import ChunkQuery, Edit, JobQuery
from jobs import EVERY, a_job
from records import NOON

T = TypeVar("T")

PATIENCE = Patience(lease_s=10, crashes=2, tries=2, pause_s=1, max_pause_s=4)
IMPATIENCE = replace(PATIENCE, crashes=1, tries=1)
NOW, FAR = timedelta(0), timedelta(days=1000)
# What may still happen to a job that nobody works on.
ALLOWED = {
    "succeeded": {"retry", "erase"},
    "failed": {"retry", "discard", "erase"},
    "cancelled": {"discard"},
    "dead": {"requeue", "discard", "cancel", "erase"},
}

WORKER = st.sampled_from(["ann", "bob"])
WHICH = st.integers(0, 5)
SELDOM = st.sampled_from([False] * 15 + [True])
SIZES = st.lists(st.integers(0, 3), max_size=3)


class OneJob(RuleBasedStateMachine):
    """Lets workers come, go, die and oversleep; keeps each item's fate beside it."""

    def __init__(self) -> None:
        super().__init__()
        self._loop = asyncio.Runner()
        self._store = MemoryDocuments().jobs
        self._now = NOON
        self._fates: dict[str, str] = {}
        # Who believes to be at which chunk; of the plan, how far it has come.
        self._held: dict[tuple[str, int], str | None] = {}
        self._starts: dict[tuple[str, int], int] = {}
        self._job = a_job()
        self._chunks: dict[int, Chunk] = {}

    def teardown(self) -> None:
        self._loop.close()

    @initialize(
        sizes=st.none() | SIZES,
        patience=st.sampled_from([IMPATIENCE, PATIENCE]),
        has_finish=st.booleans(),
    )
    def accept(
        self, sizes: list[int] | None, patience: Patience, *, has_finish: bool
    ) -> None:
        self._patience = patience
        items = None if sizes is None else self._new_items(sizes)
        job = a_job(has_finish=has_finish)
        self._run(self._store.accept(*steps.first_chunks(job, items, self._now)))
        self._look()

    @rule(sizes=st.none() | SIZES, has_finish=st.booleans())
    @precondition(lambda self: self._job.state in {"succeeded", "failed", "cancelled"})
    def accept_another(self, sizes: list[int] | None, *, has_finish: bool) -> None:
        self._run(self._store.forget(self._job.id))
        self._fates.clear()
        self._held.clear()
        self.accept(sizes, self._patience, has_finish=has_finish)

    @rule(seconds=st.sampled_from([11, 4]))
    def wait(self, seconds: int) -> None:
        self._now += timedelta(seconds=seconds)

    @rule(worker=WORKER, which=WHICH, is_late=SELDOM)
    def begin(self, worker: str, which: int, *, is_late: bool) -> None:
        due = [n for n, c in self._chunks.items() if self._can_begin(c, NOW)]
        asked = sorted(self._chunks) if is_late else due
        if not asked:
            return
        number = pick(asked, which)
        edited = self._step(number, steps.begin, worker, self._now, self._patience)
        if edited and edited.chunks[0].state == "running":
            assert number != FINISH or self._is_all_done()
            self._held[worker, number] = edited.chunks[0].cursor
            self._starts[worker, number] = edited.chunks[0].starts

    @rule(which=WHICH, how=st.sampled_from(["touch", "release", "crash"]))
    @precondition(lambda self: self._held)
    def tell_or_leave(self, which: int, how: str) -> None:
        worker, number = pick(sorted(self._held), which)
        if how == "touch":
            self._step(number, steps.touch, worker, self._now)
            return
        if how == "release":
            self._step(number, steps.release, worker, self._now)
        del self._held[worker, number]

    @rule(which=WHICH)
    @precondition(lambda self: self._held)
    def fault(self, which: int) -> None:
        _, number = pick(sorted(self._held), which)
        self._step(number, steps.fault, "bad", self._now, self._patience)

    @rule(which=WHICH, failing=st.sampled_from([0, 0, 1, 7]))
    @precondition(lambda self: self._numbers_held())
    def end(self, which: int, failing: int) -> None:
        number = pick(self._numbers_held(), which)
        items = self._chunks[number].items
        failed = [item for at, item in enumerate(items) if failing >> at & 1]
        failures = tuple(Failure(item, "bad", "") for item in failed)
        outcome = Outcome(len(items) - len(failed), failures)
        if self._step(number, steps.end, outcome, self._now):
            self._ended(items, failed)

    @rule(which=WHICH, sizes=SIZES)
    @precondition(lambda self: self._holders(PLAN))
    def extend(self, which: int, sizes: list[int]) -> None:
        worker = pick(self._holders(PLAN), which)
        old = self._held[worker, PLAN]
        fates, new = dict(self._fates), f"{old or 0}1"
        found = self._new_items(sizes)
        if self._step(PLAN, steps.extend, found, (old, new), self._now):
            self._held[worker, PLAN] = new
        else:
            self._fates = fates

    @rule()
    @precondition(lambda self: self._holders(PLAN))
    def end_plan(self) -> None:
        self._step(PLAN, steps.end_plan, self._now)

    @rule(which=WHICH)
    @precondition(lambda self: self._holders(FINISH))
    def complete(self, which: int) -> None:
        """Who was given the chunk last ends it, and nobody else."""
        worker, finish = pick(self._holders(FINISH), which), self._chunks[FINISH]
        if self._starts[worker, FINISH] != finish.starts:
            return
        if self._step(FINISH, steps.complete, {"n": 1}, self._now):
            assert self._is_all_done()
            assert worker == finish.worker

    @rule()
    @precondition(lambda self: FINISH in self._chunks or self._job.state == "dead")
    def erase(self) -> None:
        self._edit(
            "erase",
            [FINISH],
            lambda job, some: erasure.erase(job, some.get(FINISH), self._now),
        )

    @rule(sure=SELDOM, can_be_done=st.booleans())
    def stop(self, *, sure: bool, can_be_done: bool) -> None:
        if sure and can_be_done:
            self._edit("cancel", [], lambda job, _: steps.cancel(job, self._now))
        elif sure:
            self._edit("fail", [], lambda job, _: steps.fail(job, "no", self._now))

    @rule(which=WHICH)
    @precondition(lambda self: self._buried())
    def requeue(self, which: int) -> None:
        self._step(pick(self._buried(), which), steps.requeue, self._now)

    @rule(which=WHICH)
    @precondition(lambda self: self._buried())
    def discard(self, which: int) -> None:
        number = pick(self._buried(), which)
        assert self._step(number, steps.discard, self._now), "it cannot be given up"
        self._ended(self._chunks[number].items, self._chunks[number].items)

    @rule()
    @precondition(lambda self: self._job.state not in {*LIVE, "cancelled"})
    def retry(self) -> None:
        edited = self._edit(
            "retry",
            list(self._chunks),
            lambda job, chunks: steps.retry(job, [*chunks.values()], self._now),
        )
        if edited:
            failed = [item for item, fate in self._fates.items() if fate == "failed"]
            self._fates |= dict.fromkeys(failed, "open")

    @invariant()
    def every_item_has_one_fate(self) -> None:
        progress, fates = self._job.progress, Counter(self._fates.values())
        assert progress.items == len(self._fates)
        assert (progress.done, progress.failed) == (fates["done"], fates["failed"])
        assert sum(progress.reasons.values()) == progress.failed

    @invariant()
    def open_items_are_in_chunks_that_are_not_done(self) -> None:
        chunks = self._chunks.values()
        kept = [item for c in chunks if c.state != "done" for item in c.items]
        assert sorted(kept) == sorted(
            item for item, fate in self._fates.items() if fate == "open"
        )

    @invariant()
    def chunks_are_counted(self) -> None:
        states = [chunk.state for n, chunk in self._chunks.items() if n >= 1]
        progress, buried = self._job.progress, states.count("buried")
        assert progress.chunks == len(states)
        assert progress.ended == states.count("done") + buried
        assert progress.buried == buried

    @invariant()
    def a_live_job_has_a_chunk_that_can_be_begun_now_or_later(self) -> None:
        if self._job.state in LIVE:
            assert any(self._can_begin(c, FAR) for c in self._chunks.values())

    @invariant()
    def what_was_erased_is_neither_shown_nor_retried(self) -> None:
        if self._job.erased_at:
            assert (self._job.result, self._job.can_be_retried) == (None, False)
            assert not covered(self._job)

    @invariant()
    def a_dead_job_has_a_dead_letter(self) -> None:
        assert self._job.state != "dead" or self._buried()

    @invariant()
    def a_job_that_succeeded_has_nothing_left_to_do(self) -> None:
        if self._job.state == "succeeded":
            assert self._is_all_done()

    @invariant()
    def a_job_tells_its_end_and_error_only_when_it_has_one(self) -> None:
        job = self._job
        assert (job.finished_at is None) == (job.state in LIVE)
        assert job.error is None or job.state in {"failed", "dead", "cancelled"}
        assert job.error is not None or job.state not in {"failed", "dead"}

    def _can_begin(self, chunk: Chunk, later: timedelta) -> bool:
        now = self._now + later
        return steps.begin(self._job, chunk, "cy", now, self._patience) is not None

    def _buried(self) -> list[int]:
        return [n for n, chunk in self._chunks.items() if chunk.state == "buried"]

    def _holders(self, number: int) -> list[str]:
        return sorted(worker for worker, held in self._held if held == number)

    def _numbers_held(self) -> list[int]:
        return sorted(number for _, number in self._held if number >= 1)

    def _is_all_done(self) -> bool:
        return all(c.state == "done" for n, c in self._chunks.items() if n != FINISH)

    def _new_items(self, sizes: list[int]) -> list[list[str]]:
        """Return items that were never there, in groups of these sizes."""
        groups: list[list[str]] = []
        for size in sizes:
            first = len(self._fates)
            groups.append([str(n) for n in range(first, first + size)])
            self._fates |= dict.fromkeys(groups[-1], "open")
        return groups

    def _ended(self, items: Sequence[str], failed: Sequence[str]) -> None:
        for item in items:
            assert self._fates[item] == "open", f"{item} is counted twice"
            self._fates[item] = "failed" if item in failed else "done"

    def _step(
        self, number: int, step: Callable[..., Edited | None], *told: object
    ) -> Edited | None:
        return self._edit(
            step.__name__, [number], lambda job, some: step(job, some[number], *told)
        )

    def _edit(self, name: str, numbers: list[int], edit: Edit) -> Edited | None:
        job, chunks = self._job, self._chunks
        edited = self._run(self._store.edit(job.id, numbers, edit))
        self._look()
        if self._job != job:
            assert self._job.version > job.version
            assert name in ALLOWED.get(job.state, {name})
        if edited is None:
            assert (self._job, self._chunks) == (job, chunks)
        return edited

    def _look(self) -> None:
        [self._job] = self._run(self._store.jobs(JobQuery()))
        chunks = self._run(self._store.chunks(ChunkQuery(EVERY, limit=1000)))
        self._chunks = {chunk.number: chunk for chunk in chunks}

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return self._loop.run(work)


def pick(some: Sequence[T], which: int) -> T:
    return some[which % len(some)]


OneJob.TestCase.settings = settings(
    max_examples=60, stateful_step_count=60, deadline=None
)
TestOneJob = OneJob.TestCase
