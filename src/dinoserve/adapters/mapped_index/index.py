"""`MappedIndex`: spaces, and the thread that writes their files."""

import asyncio
import logging
import os
import threading
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final, Self

from dinoserve.adapters.mapped_index import files
from dinoserve.adapters.mapped_index.codes import use_threads
from dinoserve.adapters.mapped_index.planning import Limits
from dinoserve.adapters.mapped_index.segment import Segment
from dinoserve.adapters.mapped_index.space import MappedSpace
from dinoserve.domain.vectors import Matrix, Vector
from dinoserve.ports import Nearest, Space
from dinoserve.telemetry import Metrics

_log = logging.getLogger(__name__)

_LOOK_S: Final = 60.0


class MappedIndex:
    """`ports.VectorIndex` over files in a folder, which nobody else may use.

    Small spaces are compared whole, large ones have a graph. What is new is compared
    until it is in the files; what is gone is never found. Files are written by one
    thread in the background, once `retain` told what the document store has.

    Args:
        root: the folder; made if needed.
        limits: from which sizes on what is done.
        metrics: where is counted.

    Raises:
        ValueError: a width that differs from the space's, or k below 1.
    """

    reads_store = False

    def __init__(self, root: Path, limits: Limits, metrics: Metrics) -> None:
        self._root = root
        self._limits = limits
        self._metrics = metrics
        self._spaces: dict[Space, MappedSpace] = {}
        self._builder = ThreadPoolExecutor(1, "index", self._begin_thread)
        self._is_ready = False
        self._look = asyncio.Event()
        self._is_closing = threading.Event()
        self._walks = 0
        self._sample: asyncio.Task[None] | None = None

    @classmethod
    @asynccontextmanager
    async def open(
        cls, root: Path, limits: Limits, metrics: Metrics
    ) -> AsyncGenerator[Self]:
        """Yield it with what files hold; stop its work at the end.

        Raises:
            OSError: the folder cannot be made or listed.
        """
        index = cls(root, limits, metrics)
        await asyncio.to_thread(index._load)
        task = asyncio.create_task(index._keep_building())
        try:
            yield index
        finally:
            index._is_closing.set()
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            if index._sample:
                await asyncio.gather(index._sample, return_exceptions=True)
            await asyncio.to_thread(index._builder.shutdown)

    async def upsert(self, space: Space, ids: Sequence[str], vectors: Matrix) -> None:
        """Add or replace rows: float32 (len(ids), d), unit length."""
        if vectors.ndim != 2 or len(ids) != len(vectors):  # noqa: PLR2004 - a matrix
            raise ValueError(f"{len(ids)} ids came with vectors {vectors.shape}")
        if not ids:
            return
        rows = self._spaces.get(space)
        if rows is None:
            rows = MappedSpace(self._root, space, vectors.shape[1], self._limits)
            self._spaces[space] = rows
        await asyncio.to_thread(rows.upsert, ids, vectors)
        if not self._is_ready and rows.is_overfull():
            # While all is read, memory stays bounded; a graph would take too long.
            await self._build(rows, with_graph=False)
        self._look.set()

    async def delete(self, space: Space, ids: Collection[str]) -> None:
        """Remove rows. Absent: nothing happens."""
        if rows := self._spaces.get(space):
            await asyncio.to_thread(rows.delete, ids)
            self._look.set()

    async def retain(self, recipe: str, kept: Mapping[str, Collection[str]]) -> None:
        """Remove every row that is not named here, of whatever recipe."""
        for space, rows in list(self._spaces.items()):
            if space.recipe == recipe and space.collection in kept:
                await asyncio.to_thread(rows.retain, kept[space.collection])
            else:
                del self._spaces[space]
                await asyncio.to_thread(rows.remove)
        self._is_ready = True
        self._look.set()

    async def search(
        self,
        space: Space,
        query: Vector,
        k: int,
        among: Collection[str] | None,
        *,
        exact: bool = False,
    ) -> Nearest:
        """Return the k greatest cosines, best first, ties by ascending asset id."""
        if k < 1:
            raise ValueError(f"k is {k}, but must be at least 1")
        rows = self._spaces.get(space)
        if rows is None:
            return Nearest([], "scan", is_exact=True)
        found = await asyncio.to_thread(rows.search, query, k, among, exact=exact)
        if not found.is_exact:
            self._walks += 1
            if self._walks % self._limits.sample_every == 0 and self._sample is None:
                check = self._check(rows, query, k, among, found)
                self._sample = asyncio.create_task(check)
        return found

    async def count(self, space: Space) -> int:
        """Return how many vectors the space holds. Absent: 0."""
        rows = self._spaces.get(space)
        return 0 if rows is None else len(rows)

    async def ping(self) -> str:
        """Return what it is, and how many vectors it holds."""
        spaces = self._spaces.values()
        held = sum(map(len, spaces))
        if not any(rows.has_graph for rows in spaces):
            return f"exact, in this process, {held} vectors"
        walked = sum(len(rows) - rows.waiting for rows in spaces if rows.has_graph)
        return f"graph, in this process, {held} vectors, {walked} in the graph"

    async def settled(self) -> None:
        """Wait until nothing is to be written."""
        spaces = self._spaces.values()
        while any(rows.is_due() or rows.is_building for rows in spaces):
            self._look.set()
            await asyncio.sleep(0.01)

    def _load(self) -> None:
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        for folder in sorted(self._root.iterdir()):
            try:
                segment = Segment(folder)
            except (OSError, ValueError, TypeError, KeyError, RuntimeError) as error:
                _log.warning("%s is made anew: %s", folder, error)
                files.remove(folder)
            else:
                space, width = segment.space, segment.width
                rows = MappedSpace(self._root, space, width, self._limits, segment)
                self._spaces[space] = rows

    async def _keep_building(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_S):
                    await self._look.wait()
            self._look.clear()
            for rows in list(self._spaces.values()):
                if self._is_ready and rows.is_due():
                    await self._build(rows, with_graph=True)

    async def _build(self, rows: MappedSpace, *, with_graph: bool) -> None:
        loop = asyncio.get_running_loop()
        outcome = "done"
        try:
            await loop.run_in_executor(
                self._builder, lambda: rows.build(self._progress, with_graph=with_graph)
            )
        except _ClosingError:
            return
        except Exception:  # noqa: BLE001 - whatever it was, searches go on
            # All is as before, and searched exactly; it is tried again.
            _log.exception("the index could not be written")
            outcome = "failed"
            if with_graph:
                await asyncio.sleep(_LOOK_S)
        finally:
            self._metrics.index_built.set(1)
        self._metrics.index_builds.labels(outcome).inc()

    def _progress(self, share: float) -> None:
        if self._is_closing.is_set():
            raise _ClosingError
        self._metrics.index_built.set(share)

    async def _check(
        self,
        rows: MappedSpace,
        query: Vector,
        k: int,
        among: Collection[str] | None,
        found: Nearest,
    ) -> None:
        """Tell how many of the true hits a walk found."""
        try:
            truth = await asyncio.to_thread(rows.search, query, k, among, exact=True)
            if truth.hits:
                there = {hit.asset_id for hit in found.hits}
                same = sum(hit.asset_id in there for hit in truth.hits)
                self._metrics.index_recall.observe(same / len(truth.hits))
        finally:
            self._sample = None

    def _begin_thread(self) -> None:
        use_threads(max(1, (os.cpu_count() or 1) // 2))


class _ClosingError(Exception):
    """The process ends, and a build with it."""
