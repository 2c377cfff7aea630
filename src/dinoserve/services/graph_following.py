"""Following: what is kept of relations elsewhere becomes what the store has."""

import asyncio
import logging
import random
from collections.abc import AsyncGenerator, Callable, Collection, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Final

from dinoserve.domain.relations import EdgeBlock, Reach, Relation, RelationKey, Scope
from dinoserve.errors import UnavailableError
from dinoserve.ports import Mark, RelationCopy, RelationLog, RelationStore
from dinoserve.telemetry import Metrics

BATCH: Final = 1000
"""Marks that are read, and relations that are put, at a time."""

_log = logging.getLogger(__name__)
# A node's relations are put again as a whole; the largest hub is far below this.
_EVERY_RELATION: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Pauses:
    """How long a follower waits.

    Attributes:
        look_s: until it looks for what other processes marked.
        retry_s: until it tries again after a failure; doubled each time.
        most_s: the longest of these.
        apart_s: the longest that it keeps out of the way of another who did the same.
    """

    look_s: float = 1.0
    retry_s: float = 0.5
    most_s: float = 30.0
    apart_s: float = 0.2


class GraphFollower:
    """Brings a copy in step with the store, by the marks of the store's log.

    Marks say only what to look at: what is applied is what the store has by then. So
    nothing is lost or doubled when it is done again, late, or by two at once.

    Args:
        name: under which the log marks for it; one for each place of a copy.
        store: has the relations.
        log: beside the store.
        copy: is brought in step.
        metrics: where is counted.
        pauses: how long it waits.
    """

    def __init__(
        self,
        name: str,
        store: RelationStore,
        log: RelationLog,
        copy: RelationCopy,
        metrics: Metrics,
        pauses: Pauses | None = None,
    ) -> None:
        self.name = name
        self.copy = copy
        self._store = store
        self._log = log
        self._metrics = metrics
        self._pauses = pauses or Pauses()
        self._is_up = False
        self._was_told = False
        self._woken = asyncio.Event()

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

    async def drain(self) -> int:
        """Apply what is marked until nothing is; return how many marks that were.

        Raises:
            UnavailableError: copy or store does not answer; the marks stay.
        """
        waiting = self._metrics.graph_waiting.labels(self.name)
        count = 0
        while marks := await self._log.marked(self.name, BATCH):
            waiting.set(len(marks))
            await self._apply(marks)
            met = await self._log.settle(self.name, marks)
            self._metrics.graph_marks.labels(self.name, "applied").inc(len(marks))
            count += len(marks)
            if met:  # else two might do the same again and again
                await asyncio.sleep(random.uniform(0, self._pauses.apart_s))  # noqa: S311 - nobody guesses it
        waiting.set(0)
        return count

    async def fill(self, told: Callable[[int], None] = lambda _: None) -> None:
        """Put everything that the store has, and take out what it has not.

        Args:
            told: called with how many relations more were put.

        Raises:
            UnavailableError: copy or store does not answer; it may be begun again.
        """
        await self._log.follow(self.name)
        await self.copy.set_whole(is_whole=False)
        async for keys in _keys(self._store.scan(Scope())):
            await self._put_anew(keys)
            told(len(keys))
        async for keys in _keys(self.copy.scan(Scope())):
            there = {relation.key for relation in await self._store.get(keys)}
            if stale := set(keys) - there:
                await self._put_anew(stale)
        await self.copy.set_whole(is_whole=True)

    async def _apply(self, marks: Collection[Mark]) -> None:
        nodes = {mark.node for mark in marks if mark.node is not None}
        keys = {mark.key for mark in marks if mark.key is not None}
        if nodes:
            await self.copy.remove(nodes=nodes)
            edges = await self._store.touching(nodes, Reach(), _EVERY_RELATION)
            keys |= {edge.key for edge in edges}
        for some in _batches(keys):
            await self._make_equal(some, await self._store.get(some))

    async def _put_anew(self, keys: Collection[RelationKey]) -> None:
        """Make the copy equal; without a mark, it is looked whether that lasted.

        Another process may have applied meanwhile what this one had not read yet.
        """
        seen = None
        while (now := _by_key(await self._store.get(keys))) != seen:
            await self._make_equal(keys, list(now.values()))
            seen = now

    async def _make_equal(
        self, keys: Collection[RelationKey], now: list[Relation]
    ) -> None:
        if now:
            await self.copy.put(now)
        if gone := set(keys) - {relation.key for relation in now}:
            await self.copy.remove(gone)

    async def keep_up(self) -> None:
        """Bring the copy in step for ever, whatever fails."""
        retry_s = self._pauses.retry_s
        while True:
            try:
                await self.catch_up()
            except UnavailableError as error:
                self._tell_away(error.detail)
            except Exception:  # noqa: BLE001 - else a bug would leave it for good
                _log.exception("%s is not told of relations for now", self.name)
                self._tell_away("")
            else:
                self._tell_back()
                retry_s = self._pauses.retry_s
                await self._woken_or(self._pauses.look_s)
                continue
            await asyncio.sleep(retry_s)
            retry_s = min(2 * retry_s, self._pauses.most_s)

    async def _woken_or(self, pause_s: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(pause_s):
                await self._woken.wait()
        self._woken.clear()

    def _tell_away(self, detail: str) -> None:
        self._is_up = False
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
            _log.warning("%s is back and has every relation", self.name)


@asynccontextmanager
async def following(follower: GraphFollower) -> AsyncGenerator[GraphFollower]:
    """Keep the copy in step during the block."""
    task = asyncio.create_task(follower.keep_up())
    try:
        yield follower
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def _by_key(relations: Collection[Relation]) -> dict[RelationKey, Relation]:
    return {relation.key: relation for relation in relations}


def _batches(keys: Collection[RelationKey]) -> Iterator[list[RelationKey]]:
    ordered = list(keys)
    for start in range(0, len(ordered), BATCH):
        yield ordered[start : start + BATCH]


async def _keys(
    blocks: AsyncGenerator[EdgeBlock],
) -> AsyncGenerator[list[RelationKey]]:
    """Yield which relations a scan finds, in batches."""
    nodes: list[str] = []
    kinds: list[str] = []
    async for block in blocks:
        nodes += block.nodes
        kinds += block.kinds
        columns = (block.source.tolist(), block.target.tolist(), block.kind.tolist())
        keys = [
            RelationKey(nodes[source], nodes[target], kinds[kind])
            for source, target, kind in zip(*columns, strict=True)
        ]
        for some in _batches(keys):
            yield some
