"""Similarity networks: the nearest of each, in an order that no rounding decides."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from dinoserve.domain.neighbours import NOBODY, Neighbours, nearest_others
from dinoserve.domain.vectors import Matrix

DECIMALS: Final = 6
"""Weights are cosines in so many; float32 holds them all apart."""

# More than float32 products of unit vectors of 4096 numbers are wrong by.
_ROUNDING: Final = 1e-5
# So many more are looked at than wanted: their order is told by exact cosines.
_SLACK: Final = 16
# Numbers held at a time, 8 bytes each.
_BLOCK: Final = 2_000_000


def nearest_settled(
    vectors: Matrix, rows: NDArray[np.int32], k: int, min_score: float
) -> Neighbours:
    """Return the nearest others of some members of a set, as `nearest_others` does.

    But by cosines in `DECIMALS`, computed in float64: whatever rows are asked for
    together, the answer for each is the same, and what (a, b) has, (b, a) has.

    Args:
        vectors: float32 (n, d), of unit length: the set.
        rows: int32 (r,): which of them.
        k: at most so many each; at least 1.
        min_score: the least cosine of a neighbour, in (0, 1].
    """
    floor = min_score - _ROUNDING
    indices, rough = nearest_others(vectors, rows, k + _SLACK, floor)
    found = _ordered(vectors, rows, indices, k, min_score)
    if not rough.shape[1]:
        return found
    # Where the last that was looked at may still be as near as one that was taken.
    least = np.where(found.indices[:, -1] == NOBODY, floor, found.scores[:, -1])
    is_cut = (indices[:, -1] != NOBODY) & (rough[:, -1] >= least - 2 * _ROUNDING)
    for at in np.flatnonzero(is_cut & (len(vectors) - 1 > indices.shape[1])):
        whole = _near(vectors, rows[at], float(least[at]) - 2 * _ROUNDING)
        one = _ordered(vectors, rows[at : at + 1], whole[None], k, min_score)
        found.indices[at], found.scores[at] = one.indices[0], one.scores[0]
    return found


def is_mutual(indices: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Return bool (n, k): whether the neighbour has the member as its neighbour.

    Args:
        indices: int32 (n, k): neighbours of every member of a set, in order; `NOBODY`
            stands for none.
    """
    count, k = indices.shape
    own = np.repeat(np.arange(count, dtype=np.int64), k)
    other = indices.ravel().astype(np.int64)
    there = np.where(other == NOBODY, NOBODY, own * count + other)
    back = np.where(other == NOBODY, NOBODY, other * count + own)
    is_both = np.isin(back, there) & (other != NOBODY)
    return is_both.reshape(count, k)


def reached(
    vectors: Matrix, new: NDArray[np.int32], floors: NDArray[np.float32]
) -> NDArray[np.bool_]:
    """Return bool (n,): which members a new one is near enough to be a neighbour of.

    Args:
        vectors: float32 (n, d), of unit length: the set.
        new: int32 (m,): the new members.
        floors: float32 (n,): the least cosine that counts for each.
    """
    least = floors - np.float32(2 * _ROUNDING)
    found = np.zeros(len(vectors), np.bool_)
    step = max(1, 4 * _BLOCK // max(len(vectors), 1))
    for start in range(0, len(new), step):
        cosines = vectors[new[start : start + step]] @ vectors.T
        found |= (cosines >= least).any(axis=0)
    return found


def _ordered(
    vectors: Matrix,
    rows: NDArray[np.int32],
    indices: NDArray[np.int32],
    k: int,
    min_score: float,
) -> Neighbours:
    """Return the k nearest of those that were found, ties by their place."""
    scores = _exact(vectors, rows, indices)
    scores[(indices == NOBODY) | (scores < min_score)] = -np.inf
    order = np.lexsort((indices, -scores), axis=1)[:, : min(k, len(vectors) - 1)]
    scores = np.take_along_axis(scores, order, axis=1)
    indices = np.take_along_axis(indices, order, axis=1)
    indices = np.where(np.isneginf(scores), np.int32(NOBODY), indices)
    return Neighbours(indices, scores.astype(np.float32))


def _exact(
    vectors: Matrix, rows: NDArray[np.int32], indices: NDArray[np.int32]
) -> NDArray[np.float64]:
    """Return float64 of the shape of the indices: cosines in `DECIMALS`."""
    own, other = np.repeat(rows, indices.shape[1]), indices.ravel()
    scores = np.empty(len(other), np.float64)
    step = max(1, _BLOCK // vectors.shape[1])
    for start in range(0, len(other), step):
        some = slice(start, start + step)
        left, right = (vectors[each[some]].astype(np.float64) for each in (own, other))
        scores[some] = np.einsum("pd,pd->p", left, right)
    return np.clip(np.round(scores, DECIMALS), -1.0, 1.0).reshape(indices.shape)


def _near(vectors: Matrix, row: int, least: float) -> NDArray[np.int32]:
    """Return int32 (some,): all others that may reach this cosine."""
    cosines = vectors @ vectors[row]
    cosines[row] = -np.inf
    return np.flatnonzero(cosines >= least).astype(np.int32)
