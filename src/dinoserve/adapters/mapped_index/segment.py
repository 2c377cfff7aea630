"""What files hold of a space: never added to, only searched, until it is replaced."""

import os
import weakref
from collections.abc import Collection, Generator, Sequence
from itertools import islice, repeat
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dinoserve.adapters.mapped_index import files
from dinoserve.adapters.mapped_index.codes import ROUNDING, contenders
from dinoserve.adapters.mapped_index.planning import Limits, walk_effort
from dinoserve.domain.recent import Recent
from dinoserve.domain.similarity import Hit, nearest_rows
from dinoserve.domain.vectors import Matrix, Vector, from_bytes
from dinoserve.ports import SearchPath, Space

_STEP: Final = 1024
# Asked for beyond k at first: float16 may have them in another order.
_SPARE: Final = 32
# Above this share of the rows, one pass over all is faster than gathering.
_GATHER_SHARE: Final = 0.03
# Rows that lie no wider are read together.
_SPREAD: Final = 4
# Ids that are looked up without a pause for others: about 1 ms.
_LOOKED_UP: Final = 8192


class Segment:
    """Rows in files, some of them replaced or gone since.

    Args:
        folder: of the space; its files as `files.read` returns them.

    Raises:
        as `files.read`.
    """

    def __init__(self, folder: Path) -> None:
        self._written, self.ids, self._codes = files.read(folder)
        self._row = {asset_id: row for row, asset_id in enumerate(self.ids)}
        self.alive = np.ones(len(self.ids), np.bool_)
        self._meant = Recent[frozenset[str], NDArray[np.intp]]()
        self._file = os.open(folder / f"{self._written.name}.rows", os.O_RDONLY)
        ending = weakref.finalize(self, _let_go, self._file, self.ids, self._row)
        ending.atexit = False

    def __len__(self) -> int:
        return int(np.count_nonzero(self.alive))

    @property
    def space(self) -> Space:
        """Whose rows they are."""
        return self._written.space

    @property
    def width(self) -> int:
        """Numbers in a vector."""
        return self._written.width

    @property
    def has_graph(self) -> bool:
        """Tell whether searches may walk a graph."""
        return self._codes.has_graph

    @property
    def gone(self) -> int:
        """How many rows were replaced or taken out."""
        return len(self.ids) - len(self)

    def drop(self, ids: Collection[str]) -> int:
        """Take rows out; return how many were there."""
        rows = [self._row[asset_id] for asset_id in ids if asset_id in self._row]
        count = int(np.count_nonzero(self.alive[rows]))
        self.alive[rows] = False
        return count

    def has(self, ids: Sequence[str], vectors: Matrix) -> NDArray[np.bool_]:
        """Tell of each whether its row here is just this: bool (len(ids),)."""
        places = np.array([self._row.get(asset_id, -1) for asset_id in ids], np.intp)
        equal = places >= 0
        rows = places[equal]
        same = np.all(self.rows(rows) == vectors[equal], axis=1) & self.alive[rows]
        equal[equal] = same
        return equal

    def rows(self, places: NDArray[np.integer]) -> Matrix:
        """Return float32 (n, width): these rows, as they were given."""
        if len(places) == 0:
            return np.empty((0, self.width), np.float32)
        first, last = int(places.min()), int(places.max())
        if last - first < _SPREAD * len(places):
            return self._read(first, last + 1 - first)[places - first]
        return self._gathered(places)

    def batches(self, places: NDArray[np.intp]) -> Generator[Matrix]:
        """Yield these rows, some at a time."""
        for start in range(0, len(places), _STEP):
            yield self.rows(places[start : start + _STEP])

    def search(
        self,
        query: Vector,
        k: int,
        among: Collection[str] | None,
        limits: Limits | None,
    ) -> tuple[list[Hit], SearchPath]:
        """Return the k nearest, best first, ties by id, and how they were found.

        Args:
            query: float32 (width,), unit length.
            k: at least 1.
            among: only these ids; None: all.
            limits: None: compare every vector.
        """
        places = self._places(among)
        meant = len(self) if places is None else len(places)
        if limits and self.has_graph:
            effort = walk_effort(limits, k, meant, len(self.ids))
            if effort is not None:
                return self._walk(query, k, effort, self._mask(places)), "graph"
        return self._scan(query, k, places, meant), "scan"

    def _walk(
        self, query: Vector, k: int, effort: int, mask: NDArray[np.bool_] | None
    ) -> list[Hit]:
        scores, rows = self._codes.walk(query, k + _SPARE, effort, mask)
        return self._scored(contenders(scores, rows, k), query, k)

    def _scan(
        self, query: Vector, k: int, places: NDArray[np.intp] | None, meant: int
    ) -> list[Hit]:
        if places is not None and meant >= _GATHER_SHARE * len(self.ids):
            mask, places = self._mask(places), None
        else:
            mask = self._mask(None) if places is None else None
        count = min(k + max(_SPARE, k // 4), meant)
        while count:
            scores, rows = self._codes.scan(query, count, places, mask)
            hits = self._scored(contenders(scores, rows, k), query, k)
            # What is not among them has at most the last one's cosine.
            if count == meant or scores[-1] < hits[-1].score - ROUNDING:
                return hits
            count = min(4 * count, meant)
        return []

    def _scored(self, rows: NDArray[np.int64], query: Vector, k: int) -> list[Hit]:
        rows = np.sort(rows)
        places: list[int] = rows.tolist()
        ids = [self.ids[place] for place in places]
        return nearest_rows(ids, self.rows(rows), query, k)

    def _places(self, among: Collection[str] | None) -> NDArray[np.intp] | None:
        """Return which rows are meant, ascending; None: every one."""
        if among is None:
            return None
        if not isinstance(among, frozenset):
            places = self._looked_up(among)
        elif (kept := self._meant.get(among)) is not None:
            places = kept
        else:
            places = self._looked_up(among)
            self._meant.put(among, places, len(among))
        return places[self.alive[places]] if self.gone else places

    def _looked_up(self, ids: Collection[str]) -> NDArray[np.intp]:
        rows = np.empty(len(ids), np.intp)
        # One call for all would hold the GIL: 100 ms of a million.
        found = map(self._row.get, ids, repeat(-1))
        for start in range(0, len(rows), _LOOKED_UP):
            some = min(_LOOKED_UP, len(rows) - start)
            rows[start : start + some] = np.fromiter(islice(found, some), np.intp, some)
        return np.sort(rows[rows >= 0])

    def _mask(self, places: NDArray[np.intp] | None) -> NDArray[np.bool_] | None:
        """Return which rows are meant; None: every one."""
        if places is None:
            return self.alive.copy() if self.gone else None
        mask = np.zeros(len(self.ids), np.bool_)
        mask[places] = True
        return mask

    def _gathered(self, places: NDArray[np.integer]) -> Matrix:
        size = 4 * self.width
        # Read, not mapped: mapped pages would count as memory that is held.
        parts = (os.pread(self._file, size, at * size) for at in places.tolist())
        return from_bytes(b"".join(parts)).reshape(len(places), self.width)

    def _read(self, first: int, count: int) -> Matrix:
        size = 4 * self.width
        raw = os.pread(self._file, count * size, first * size)
        return from_bytes(raw).reshape(count, self.width)


def _let_go(file: int, ids: list[str], row: dict[str, int]) -> None:
    os.close(file)
    # At once it would hold the GIL: 60 ms of a million.
    while ids:
        row.pop(ids.pop(), None)
