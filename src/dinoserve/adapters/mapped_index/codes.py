"""faiss: float16 codes, the graph over them, and both in one file.

The float16 vectors of a graph are what exact searches compare, so they are held once.
Products are float32 with the query as it came. Every call lets go of the GIL.
"""

from importlib import import_module
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dinoserve.adapters.mapped_index.planning import Limits
from dinoserve.domain.vectors import Matrix, Vector

ROUNDING: Final = 6e-4
"""A cosine of float16 codes differs from the truth by less.

Each number is rounded by 2^-11 of itself, and the sum of |x q| of unit vectors is at
most 1: 4.9e-4; then what float32 sums lose, 3e-5.
"""
# Rows of another size gain nothing, and hold the GIL longer between.
_STEP: Final = 1024


class Codes:
    """float16 vectors, with or without a graph.

    Args:
        index: faiss's.
    """

    def __init__(self, index: Any) -> None:
        self._faiss = _faiss()
        self._index = index
        self.has_graph: bool = hasattr(index, "hnsw")
        self._flat: Any = (
            self._faiss.downcast_index(index.storage) if self.has_graph else index
        )

    @classmethod
    def empty(cls, width: int, limits: Limits, *, with_graph: bool) -> "Codes":
        """Return codes without rows."""
        faiss = _faiss()
        kind, metric = faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT
        if not with_graph:
            return cls(faiss.IndexScalarQuantizer(width, kind, metric))
        index = faiss.IndexHNSWSQ(width, kind, limits.links, metric)
        index.hnsw.efConstruction = limits.build_effort
        index.is_trained = True
        return cls(index)

    @classmethod
    def mapped(cls, path: Path) -> "Codes":
        """Return the codes of a file, mapped into memory."""
        faiss = _faiss()
        return cls(faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC))

    def __len__(self) -> int:
        return int(self._index.ntotal)

    def add(self, vectors: Matrix) -> None:
        """Append rows: float32 (n, d)."""
        for start in range(0, len(vectors), _STEP):
            self._index.add(np.ascontiguousarray(vectors[start : start + _STEP]))

    def write(self, path: Path) -> None:
        """Write everything into a file."""
        self._faiss.write_index(self._index, str(path))

    def walk(
        self, query: Vector, count: int, effort: int, meant: NDArray[np.bool_] | None
    ) -> tuple[Vector, NDArray[np.int64]]:
        """Return up to `count` of the greatest float16 cosines that a walk finds.

        With their rows, best first.
        """
        selector, _bits = self._selector(meant)
        chosen = self._faiss.SearchParametersHNSW(efSearch=effort, sel=selector)
        return self._search(self._index, query, count, chosen)

    def scan(
        self,
        query: Vector,
        count: int,
        rows: NDArray[np.intp] | None,
        meant: NDArray[np.bool_] | None,
    ) -> tuple[Vector, NDArray[np.int64]]:
        """Return the greatest float16 cosines and their rows, best first.

        Args:
            query: float32 (d,), unit length.
            count: how many at most.
            rows: only these, gathered.
            meant: where all are passed, only these of them.
        """
        if rows is None:
            selector, _bits = self._selector(meant)
            chosen = self._faiss.SearchParameters(sel=selector)
            return self._search(self._flat, query, count, chosen)
        some = self._faiss.IndexScalarQuantizer(
            len(query), self._flat.sq.qtype, self._flat.metric_type
        )
        some.add_sa_codes(self._bytes()[rows])
        scores, places = self._search(some, query, count, None)
        return scores, rows[places]

    def _search(
        self, index: Any, query: Vector, count: int, chosen: Any
    ) -> tuple[Vector, NDArray[np.int64]]:
        # Of one query there is nothing to share; its threads would only wait.
        self._faiss.omp_set_num_threads(1)
        scores, rows = index.search(query[np.newaxis], count, params=chosen)
        found = rows[0] >= 0
        return scores[0][found], rows[0][found]

    def _selector(self, meant: NDArray[np.bool_] | None) -> tuple[Any, Any]:
        """Return what lets only these rows be hits, and the bits that it reads."""
        if meant is None:
            return None, None
        bits = np.packbits(meant, bitorder="little")
        pointer = self._faiss.swig_ptr(bits)
        return self._faiss.IDSelectorBitmap(len(bits), pointer), bits

    def _bytes(self) -> NDArray[np.uint8]:
        size = self._flat.code_size
        flat = self._faiss.rev_swig_ptr(self._flat.codes.data(), len(self) * size)
        return flat.reshape(-1, size)


def contenders(scores: Vector, rows: NDArray[np.int64], k: int) -> NDArray[np.int64]:
    """Return the rows that can be among the k best, whatever float16 did to them.

    Args:
        scores: of float16, best first; each differs from the truth by less than
            `ROUNDING`, so the k-th best is at least the k-th of these less that.
        rows: theirs.
        k: at least 1.
    """
    if len(rows) <= k:
        return rows
    return rows[scores >= scores[k - 1] - 2 * ROUNDING]


def use_threads(count: int) -> None:
    """Let this thread's builds take so many cores."""
    _faiss().omp_set_num_threads(count)


def _faiss() -> Any:
    # It has no types, and takes a tenth of a second to import.
    return import_module("faiss")
