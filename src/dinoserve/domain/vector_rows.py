"""Unit vectors by id, compared exactly, in one product a search."""

import threading
from collections.abc import Collection, Sequence
from collections.abc import Set as AbstractSet

import numpy as np
from numpy.typing import NDArray

from dinoserve.domain.similarity import Hit, nearest_rows, top_k
from dinoserve.domain.vectors import Matrix, Vector

_FIRST_ROWS = 256
# Above this share of the rows, one product over all is faster than gathering.
_GATHER_SHARE = 0.1
# Two float32 products of unit vectors differ from the truth by less than this: each
# is summed in at least 16 lanes, 4096 / 16 numbers a lane, 2^-24 lost at each.
_ROUNDING = 3e-5


class VectorRows:
    """Rows of unit vectors by id, in memory; methods may be called from any thread.

    The truth about order is a float64 product: float32 only picks the candidates,
    so equal vectors get equal scores wherever they lie and ties go by id.

    Args:
        width: numbers in a vector.

    Raises:
        ValueError: a width that differs.
    """

    def __init__(self, width: int) -> None:
        self.ids: list[str] = []
        self._row: dict[str, int] = {}
        self._matrix: Matrix = np.empty((_FIRST_ROWS, width), np.float32)
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self.ids)

    def __contains__(self, asset_id: object) -> bool:
        return asset_id in self._row

    def upsert(self, ids: Sequence[str], vectors: Matrix) -> None:
        """Add or replace rows: float32 (len(ids), width)."""
        self._check_width(vectors.shape[1])
        with self._lock:
            for asset_id in ids:
                if asset_id not in self._row:
                    self._row[asset_id] = len(self.ids)
                    self.ids.append(asset_id)
            self._grow()
            self._matrix[[self._row[asset_id] for asset_id in ids]] = vectors

    def delete(self, ids: Collection[str]) -> None:
        """Remove rows. Absent: nothing happens."""
        with self._lock:
            for asset_id in ids:
                row = self._row.pop(asset_id, None)
                if row is not None:
                    self._fill(row)

    def snapshot(self) -> tuple[list[str], Matrix]:
        """Return the ids and a copy of their rows: float32 (n, width)."""
        with self._lock:
            return list(self.ids), self._matrix[: len(self.ids)].copy()

    def search(self, query: Vector, k: int, among: Collection[str] | None) -> list[Hit]:
        """Return the k greatest cosines, best first, ties by ascending id."""
        self._check_width(len(query))
        with self._lock:
            rows = self._candidates(query, k, among)
            ids: list[str] = [self.ids[row] for row in rows]
            found = self._matrix[rows]
        return nearest_rows(ids, found, query, k)

    def _candidates(
        self, query: Vector, k: int, among: Collection[str] | None
    ) -> NDArray[np.intp]:
        """Return the rows that can be among the k best, as float32 sees it."""
        rows, scores = self._scores(query, among)
        if len(scores) == 0:
            return rows
        kth = scores[top_k(scores, k)[-1]]
        return rows[scores >= kth - _ROUNDING]

    def _scores(
        self, query: Vector, among: Collection[str] | None
    ) -> tuple[NDArray[np.intp], Vector]:
        """Return the rows that are meant, and their cosines."""
        count = len(self.ids)
        if among is None:
            return np.arange(count), self._matrix[:count] @ query
        rows = np.array(self._rows_of(among), np.intp)
        if len(rows) < count * _GATHER_SHARE:
            return rows, self._matrix[rows] @ query
        return rows, (self._matrix[:count] @ query)[rows]

    def _rows_of(self, among: Collection[str]) -> list[int]:
        # What waits to be written is little, and what a filter leaves may be much.
        if len(self._row) < len(among) and isinstance(among, AbstractSet):
            return [row for key, row in self._row.items() if key in among]
        return [self._row[key] for key in among if key in self._row]

    def _grow(self) -> None:
        capacity = len(self._matrix)
        while capacity < len(self.ids):
            capacity *= 2
        if capacity > len(self._matrix):
            grown = np.empty((capacity, self._matrix.shape[1]), np.float32)
            grown[: len(self._matrix)] = self._matrix
            self._matrix = grown

    def _fill(self, row: int) -> None:
        """Move the last row into the one that became free."""
        last = self.ids.pop()
        if row < len(self.ids):
            self.ids[row] = last
            self._row[last] = row
            self._matrix[row] = self._matrix[len(self.ids)]

    def _check_width(self, width: int) -> None:
        if width != self._matrix.shape[1]:
            raise ValueError(f"width {width} met rows of {self._matrix.shape[1]}")
