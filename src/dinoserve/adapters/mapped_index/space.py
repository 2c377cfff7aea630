"""One space: what is in files, what is being written into new ones, what is newer."""

import threading
import time
from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dinoserve.adapters.mapped_index import files
from dinoserve.adapters.mapped_index.codes import Codes
from dinoserve.adapters.mapped_index.planning import Limits
from dinoserve.adapters.mapped_index.segment import Segment
from dinoserve.domain.similarity import Hit
from dinoserve.domain.vector_rows import VectorRows
from dinoserve.domain.vectors import Matrix, Vector
from dinoserve.ports import Nearest, SearchPath, Space

Progress = Callable[[float], None]
"""Is told the share that is done; may raise to stop."""

_STEP: Final = 1024


class _Layers(NamedTuple):
    """Where rows are, each in one of them; searches take all three as they stand."""

    segment: Segment | None
    frozen: VectorRows | None
    fresh: VectorRows


class MappedSpace:
    """The vectors of one space; methods may be called from any thread.

    Args:
        root: the folder of all spaces.
        space: whose vectors.
        width: numbers in a vector.
        limits: from which sizes on what is done.
        segment: what files hold of it.

    Raises:
        ValueError: a width that differs.
    """

    def __init__(
        self,
        root: Path,
        space: Space,
        width: int,
        limits: Limits,
        segment: Segment | None = None,
    ) -> None:
        self._space = space
        self._folder = files.folder_of(root, space)
        self._width = width
        self._limits = limits
        self._layers = _Layers(segment, None, VectorRows(width))
        self._erased_at: float | None = None
        self._lock = threading.Lock()

    def __len__(self) -> int:
        segment, frozen, fresh = self._layers
        return len(segment or ()) + len(frozen or ()) + len(fresh)

    @property
    def waiting(self) -> int:
        """How many rows are in no file."""
        return len(self._layers.frozen or ()) + len(self._layers.fresh)

    @property
    def has_graph(self) -> bool:
        """Tell whether searches may walk a graph."""
        return bool(self._layers.segment and self._layers.segment.has_graph)

    @property
    def is_building(self) -> bool:
        """Tell whether new files are being written."""
        return self._layers.frozen is not None

    def upsert(self, ids: Sequence[str], vectors: Matrix) -> None:
        """Add or replace rows: float32 (len(ids), width)."""
        self._check_width(vectors.shape[1])
        with self._lock:
            segment, frozen, fresh = self._layers
            if segment and len(set(ids)) == len(ids):
                new = np.flatnonzero(~segment.has(ids, vectors))
                ids, vectors = [ids[at] for at in new.tolist()], vectors[new]
            fresh.upsert(ids, vectors)
            # Afterwards, so that searches meanwhile see one of the two.
            self._replaced(segment, frozen, ids)

    def delete(self, ids: Collection[str]) -> None:
        """Remove rows. Absent: nothing happens."""
        with self._lock:
            segment, frozen, fresh = self._layers
            fresh.delete(ids)
            if self._replaced(segment, frozen, ids) and self._erased_at is None:
                self._erased_at = time.monotonic()

    def retain(self, ids: Collection[str]) -> None:
        """Remove every other row."""
        segment, frozen, fresh = self._layers
        there: set[str] = {*fresh.ids}
        there.update(frozen.ids if frozen else (), segment.ids if segment else ())
        self.delete(there - set(ids))

    def search(
        self, query: Vector, k: int, among: Collection[str] | None, *, exact: bool
    ) -> Nearest:
        """Return the k nearest, best first, ties by id."""
        self._check_width(len(query))
        segment, frozen, fresh = self._layers
        path: SearchPath = "scan"
        found: dict[str, Hit] = {}
        if segment:
            limits = None if exact else self._limits
            hits, path = segment.search(query, k, among, limits)
            found = {hit.asset_id: hit for hit in hits}
        for rows in (frozen, fresh):
            if rows:
                newer = rows.search(query, k, among)
                found |= {hit.asset_id: hit for hit in newer}
        best = sorted(found.values(), key=lambda hit: (-hit.score, hit.asset_id))
        return Nearest(best[:k], path, path == "scan")

    def is_due(self) -> bool:
        """Tell whether its files should be written anew."""
        segment = self._layers.segment
        if self.waiting >= max(self._limits.file_from, len(segment or ()) // 10):
            return True
        if segment is None:
            return False
        lacks_graph = len(self) >= self._limits.graph_from and not segment.has_graph
        return lacks_graph or self._has_waste(segment)

    def is_overfull(self) -> bool:
        """Tell whether as much is in memory as in files, and more than may be."""
        segment = self._layers.segment
        return self.waiting >= max(self._limits.file_from, len(segment or ()))

    def build(self, progress: Progress, *, with_graph: bool) -> None:
        """Write everything into new files and use them; it takes long.

        Meanwhile searches and changes go on. Where it fails, all is as before.

        Args:
            progress: see `Progress`.
            with_graph: make a graph, if the space is large enough for one.
        """
        with self._lock:
            segment, _, frozen = self._layers
            self._layers = _Layers(segment, frozen, VectorRows(self._width))
            old = np.flatnonzero(segment.alive) if segment else np.empty(0, np.intp)
            self._erased_at = None
        try:
            self._write(segment, frozen, old, progress, with_graph=with_graph)
        except BaseException:
            self._thaw()
            raise

    def remove(self) -> None:
        """Take its files away."""
        files.remove(self._folder)

    def _write(
        self,
        segment: Segment | None,
        frozen: VectorRows,
        old: NDArray[np.intp],
        progress: Progress,
        *,
        with_graph: bool,
    ) -> None:
        new_ids, new_rows = frozen.snapshot()
        old_ids: list[str] = []
        if segment:
            old_ids = [segment.ids[place] for place in old]
        ids = old_ids + new_ids
        if not ids:
            self._swap(None, np.empty(0, np.bool_))
            self.remove()
            return
        large = len(ids) >= self._limits.graph_from
        codes = Codes.empty(self._width, self._limits, with_graph=with_graph and large)
        rows = chain(segment.batches(old) if segment else (), _batches(new_rows))
        told = _added(rows, codes, len(ids), progress)
        files.write(self._folder, self._space, ids, told, codes)
        del codes
        written = Segment(self._folder)
        with self._lock:
            still = np.array([asset_id in frozen for asset_id in new_ids], np.bool_)
            kept = segment.alive[old] if segment else np.empty(0, np.bool_)
            self._swap(written, np.concatenate([kept, still]))

    def _swap(self, segment: Segment | None, alive: NDArray[np.bool_]) -> None:
        if segment:
            segment.alive[:] = alive
        self._layers = _Layers(segment, None, self._layers.fresh)

    def _thaw(self) -> None:
        """Put what was being written back to what waits."""
        with self._lock:
            segment, frozen, fresh = self._layers
            if frozen:
                fresh.upsert(*frozen.snapshot())
            self._layers = _Layers(segment, None, fresh)
            if segment and segment.gone:
                self._erased_at = time.monotonic()

    def _replaced(
        self, segment: Segment | None, frozen: VectorRows | None, ids: Collection[str]
    ) -> int:
        """Take rows out of what is older; return how many files had."""
        if frozen:
            frozen.delete(ids)
        return segment.drop(ids) if segment else 0

    def _has_waste(self, segment: Segment) -> bool:
        if segment.gone > self._limits.rebuild_share * len(segment.ids):
            return True
        since = self._erased_at
        return since is not None and time.monotonic() - since >= self._limits.erase_s

    def _check_width(self, width: int) -> None:
        if width != self._width:
            raise ValueError(f"width {width} met rows of {self._width}")


def _batches(rows: Matrix) -> Iterator[Matrix]:
    return (rows[start : start + _STEP] for start in range(0, len(rows), _STEP))


def _added(
    rows: Iterator[Matrix], codes: Codes, count: int, progress: Progress
) -> Generator[Matrix]:
    """Yield the rows, each added to the codes before."""
    for some in rows:
        codes.add(some)
        progress(len(codes) / count)
        yield some
