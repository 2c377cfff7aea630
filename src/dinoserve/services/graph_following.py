"""Following: what is kept of relations elsewhere becomes what the store has."""

import asyncio
import logging
import random
import time
from collections.abc import AsyncGenerator, Callable, Collection
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Final

from dinoserve.errors import UnavailableError
from dinoserve.ports import Mark, RelationCopy, RelationLog, RelationStore
from dinoserve.services.graph_aside import Aside
from dinoserve.services.graph_telling import Telling
from dinoserve.telemetry import Metrics

COUNTED: Final = 10_000
"""Marks that wait are counted up to here."""

_log = logging.getLogger(__name__)
# Marks that fail alone, one after the other, until the copy is taken for away.
_MOST_FAILURES: Final = 3
# Marks that are read at once, with those that are set aside.
_MOST_READ: Final = 2000
_SHRINK: Final = 4


@dataclass(frozen=True, slots=True)
class Pace:
    """How much a follower does at a time, and how long it waits.

    Attributes:
        batch: marks that are applied at a time; fewer after a failure.
        look_s: until it looks for what other processes marked.
        retry_s: until it tries again after a failure; doubled each time.
        most_s: the longest of these.
        apart_s: the longest that it keeps out of the way of another who did the same.
        aside_s: until a mark that failed alone is tried again; doubled each time.
        most_aside_s: the longest of these.
    """

    batch: int = 1000
    look_s: float = 1.0
    retry_s: float = 0.5
    most_s: float = 30.0
    apart_s: float = 0.2
    aside_s: float = 30.0
    most_aside_s: float = 3600.0


class GraphFollower:
    """Brings a copy in step with the store, by the marks of the store's log.

    Marks say only what to look at: what is applied is what the store has by then. So
    nothing is lost or doubled when it is done again, late, or by two at once. What
    fails alone while the copy answers is set aside for a while, and lets others pass.

    Args:
        name: under which the log marks for it; one for each place of a copy.
        store: has the relations.
        log: beside the store.
        copy: is brought in step.
        metrics: where is counted.
        pace: how much it does at a time, and how long it waits.
    """

    def __init__(
        self,
        name: str,
        store: RelationStore,
        log: RelationLog,
        copy: RelationCopy,
        metrics: Metrics,
        pace: Pace | None = None,
    ) -> None:
        self.name = name
        self.copy = copy
        self._store = store
        self._telling = Telling(name, store, log, copy)
        self._log = log
        self._metrics = metrics
        self._pace = pace or Pace()
        self._size = self._pace.batch
        self._aside = Aside(self._pace.aside_s, self._pace.most_aside_s)
        self._failures = 0
        self._is_up = False
        self._was_told = False
        self._woken = asyncio.Event()

    @property
    def set_aside(self) -> int:
        """How many marks failed alone and are tried again later."""
        return len(self._aside)

    async def is_in_step(self) -> bool:
        """Tell whether the copy answered last and nothing is marked that it lacks.

        Raises:
            UnavailableError: the store does not answer.
        """
        return self._is_up and not await self._log.marked(self.name, 1)

    def wake(self) -> None:
        """Look for marks now; a copy that is away is waited for all the same."""
        self._woken.set()

    def lost(self) -> None:
        """Take the copy for away until it answers again."""
        self._is_up = False
        self.wake()

    async def catch_up(self) -> int:
        """Bring the copy in step; return how many marks that took.

        A copy that was away is looked at first: one that never had everything, such as
        a new one, is given everything.

        Raises:
            UnavailableError: copy or store does not answer.
        """
        if not self._is_up:
            await self.copy.ping()
            has_begun = await self._log.follow(self.name)
            if not (has_begun and await self.copy.is_whole()):
                await self.fill()
        count = await self.drain()
        self._is_up = True
        return count

    async def drain(self, told: Callable[[int], None] = lambda _: None) -> int:
        """Apply what is marked until nothing is; return how many marks that were.

        What fails alone stays marked, and is not waited for.

        Args:
            told: called with how many more were applied.

        Raises:
            UnavailableError: copy or store does not answer, or the copy refuses one
                after the other; the marks stay.
        """
        count, begun_s = 0, time.monotonic()
        while marks := await self._next(begun_s):
            applied = await self._try(marks)
            told(applied)
            count += applied
        return count

    async def fill(self) -> None:
        """Mark everything, so that draining makes the copy equal: `Telling.fill`."""
        await self._telling.fill()

    async def count(self) -> None:
        """Show how much waits, and what of it is set aside.

        Raises:
            UnavailableError: the store does not answer.
        """
        waiting = (await self._log.followers(COUNTED)).get(self.name, 0)
        self._metrics.graph_waiting.labels(self.name).set(waiting)
        self._metrics.graph_aside.labels(self.name).set(len(self._aside))

    async def _next(self, begun_s: float) -> list[Mark]:
        """Return what is applied next: a mark whose time has come, or new ones."""
        limit = min(_MOST_READ, self._pace.batch + len(self._aside))
        marks = await self._log.marked(self.name, limit)
        self._aside.keep(marks, is_all=len(marks) < limit)
        await self.count()
        for mark in marks:
            if self._aside.is_due(mark, begun_s):
                return [mark]
        return [mark for mark in marks if mark not in self._aside][: self._size]

    async def _try(self, marks: list[Mark]) -> int:
        """Apply the marks and return how many; where that fails, fewer are next."""
        try:
            await self._telling.apply(marks)
        except Exception as error:  # noqa: BLE001 - a bug in one must not stop the others
            await self._store.ping()
            await self.copy.ping()
            if len(marks) == 1:
                self._put_aside(marks[0], error)
            else:
                self._size = max(1, len(marks) // _SHRINK)
            return 0
        self._failures = 0
        self._size = min(2 * self._size, self._pace.batch)
        await self._settle(marks)
        return len(marks)

    def _put_aside(self, mark: Mark, error: Exception) -> None:
        is_new = mark not in self._aside
        pause_s = self._aside.add(mark)
        self._metrics.graph_marks.labels(self.name, "set_aside").inc()
        if not is_new:
            return
        why = error.detail if isinstance(error, UnavailableError) else repr(error)
        told = self.name, _shown(mark), pause_s, why
        _log.warning("%s fails on %s, and is told again in %.0f s: %s", *told)
        self._failures += 1
        if self._failures >= _MOST_FAILURES:
            # All of it may fail: so one is tried for each look, until one does not.
            raise UnavailableError("It fails on one after the other.", port="graph")

    async def _settle(self, marks: Collection[Mark]) -> None:
        met = await self._log.settle(self.name, marks)
        self._metrics.graph_marks.labels(self.name, "applied").inc(len(marks))
        if met:  # else two might do the same again and again
            await asyncio.sleep(random.uniform(0, self._pace.apart_s))  # noqa: S311 - nobody guesses it

    async def keep_up(self) -> None:
        """Bring the copy in step for ever, whatever fails."""
        retry_s = self._pace.retry_s
        while True:
            try:
                await self.catch_up()
            except UnavailableError as error:
                await self._tell_away(error.detail)
            except Exception:  # noqa: BLE001 - else a bug would leave it for good
                _log.exception("%s is not told of relations for now", self.name)
                await self._tell_away("")
            else:
                self._tell_back()
                retry_s = self._pace.retry_s
                await self._woken_or(self._pace.look_s)
                continue
            await asyncio.sleep(retry_s)
            retry_s = min(2 * retry_s, self._pace.most_s)

    async def _woken_or(self, pause_s: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(pause_s):
                await self._woken.wait()
        self._woken.clear()

    async def _tell_away(self, detail: str) -> None:
        self._is_up = False
        with suppress(UnavailableError):
            await self.count()
        self._metrics.graph_up.labels(self.name).set(0)
        self._metrics.graph_marks.labels(self.name, "failed").inc()
        if not self._was_told:
            self._was_told = True
            _log.warning(
                "%s is away, and is told of relations later: %s", self.name, detail
            )

    def _tell_back(self) -> None:
        self._metrics.graph_up.labels(self.name).set(1)
        if self._was_told:
            self._was_told = False
            left = f", but for {len(self._aside)} that it fails on" * bool(self._aside)
            _log.warning("%s is back and has every relation%s", self.name, left)


@asynccontextmanager
async def following(follower: GraphFollower) -> AsyncGenerator[GraphFollower]:
    """Keep the copy in step during the block."""
    task = asyncio.create_task(follower.keep_up())
    try:
        yield follower
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def _shown(mark: Mark) -> str:
    """Return of which nodes it is; what people named is left out of the log."""
    ends = mark.key[:2] if mark.key else [mark.node or ""]
    return " and ".join(_id_or_kind(end) for end in ends)


def _id_or_kind(node: str) -> str:
    kind = node.partition(":")[0]
    return node if kind in {"asset", "character"} else f"a {kind}"
