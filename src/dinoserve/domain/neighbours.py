"""Members of a set compared with all of it: their cosines, and the nearest of each."""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dinoserve.domain.vectors import Matrix

NOBODY: Final = -1
"""Stands where there are fewer neighbours; its score is -inf."""

# Cosines held at a time, 4 bytes each. Products of few rows are slow: of 20 000 members
# a block of 1 000 000 takes twice as long, and a larger one is not faster.
_BLOCK = 8_000_000
# So many groups of columns for each neighbour: the best of each say what cannot be one.
_GROUPS = 8


class Neighbours(NamedTuple):
    """The nearest of each row, best first, ties by their place in the set.

    Attributes:
        indices: int32 (rows, k): places in the set, `NOBODY` at the end.
        scores: float32 (rows, k): their cosines.
    """

    indices: NDArray[np.int32]
    scores: Matrix


def cosines_of(vectors: Matrix, rows: NDArray[np.int32], out: Matrix) -> Matrix:
    """Return the cosines of some members of a set with all of it.

    Args:
        vectors: float32 (n, d), of unit length: the set.
        rows: int32 (r,): which of them.
        out: float32 (r, n): where they are written and returned; rounding beyond
            [-1, 1] is clipped.

    Source:
        definition of the cosine for unit vectors.
    """
    np.matmul(vectors[rows], vectors.T, out=out)
    return np.clip(out, -1.0, 1.0, out=out)


def nearest_others(
    vectors: Matrix, rows: NDArray[np.int32], k: int, min_score: float = -1.0
) -> Neighbours:
    """Return the nearest others of some members of a set.

    Args:
        vectors: float32 (n, d), of unit length: the set.
        rows: int32 (r,): which of them.
        k: at most so many each; at least 0.
        min_score: the least cosine of a neighbour.

    Returns:
        (r, min(k, n - 1)); what is held meanwhile does not grow with r.
    """
    k = min(k, max(len(vectors) - 1, 0))
    indices = np.full((len(rows), k), NOBODY, np.int32)
    scores = np.full((len(rows), k), -np.inf, np.float32)
    step = max(1, _BLOCK // max(len(vectors), 1))
    room = np.empty((min(step, len(rows)), len(vectors)), np.float32)
    for start in range(0, len(rows) if k else 0, step):
        some = rows[start : start + step]
        cosines = cosines_of(vectors, some, room[: len(some)])
        cosines[np.arange(len(some)), some] = -np.inf
        _fill(cosines, min_score, indices[start:], scores[start:])
    return Neighbours(indices, scores)


def _fill(
    cosines: Matrix, min_score: float, indices: NDArray[np.int32], scores: Matrix
) -> None:
    """Write the greatest of every row into the first rows of the answer."""
    k = indices.shape[1]
    floor = np.maximum(_floors(cosines, k), np.float32(min_score))
    # In one dimension it takes a tenth of the time.
    flat = np.flatnonzero((cosines >= floor[:, None]).ravel())
    rows, columns = np.divmod(flat, cosines.shape[1])
    values = cosines[rows, columns]
    order = np.lexsort((columns, -values, rows))
    rows, columns, values = rows[order], columns[order], values[order]
    ranks = np.arange(len(rows)) - np.searchsorted(rows, rows)
    is_among = ranks < k
    place = rows[is_among], ranks[is_among]
    indices[place] = columns[is_among]
    scores[place] = values[is_among]


def _floors(cosines: Matrix, k: int) -> NDArray[np.float32]:
    """Return for every row what at least k of its cosines reach.

    The k-th greatest of the groups' maxima: k groups have one that reaches it.
    """
    count = cosines.shape[1]
    size = max(1, count // (_GROUPS * k))
    groups = count // size
    maxima = cosines[:, : groups * size].reshape(-1, size, groups).max(axis=1)
    return np.partition(maxima, groups - k, axis=1)[:, groups - k]


def only(found: Neighbours, places: NDArray[np.int32]) -> Neighbours:
    """Return the same neighbours of a smaller set.

    Args:
        found: in the larger set.
        places: int32 (n,): where each member of the larger set is in the smaller one;
            `NOBODY`: it is not there.

    Returns:
        Those that are not there are left out; others move up.
    """
    indices, scores = found
    moved = np.where(indices == NOBODY, NOBODY, places[indices]).astype(np.int32)
    is_gone = moved == NOBODY
    order = np.argsort(is_gone, axis=1, kind="stable")
    scores = np.where(is_gone, np.float32(-np.inf), scores)
    return Neighbours(
        np.take_along_axis(moved, order, axis=1),
        np.take_along_axis(scores, order, axis=1),
    )
