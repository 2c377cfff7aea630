"""Cosines of unit vectors, and the best of them."""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dinoserve.domain.vectors import Matrix, Vector, normalise

UNLIKE_WEIGHT: Final = 0.5
"""How much the mean of `unlike` is taken off, see `away_from`."""


@dataclass(frozen=True, slots=True)
class Hit:
    """An asset found, with its cosine to the query in [-1, 1]."""

    asset_id: str
    score: float


def cosine_matrix(left: Matrix, right: Matrix) -> Matrix:
    """Return the cosine of every pair of rows.

    Args:
        left: float32 (n, d), rows of unit length.
        right: float32 (m, d), rows of unit length.

    Returns:
        float32 (n, m), each in [-1, 1]; rounding beyond the bounds is clipped.

    Source:
        definition of the cosine for unit vectors.
    """
    return np.clip(left @ right.T, -1.0, 1.0)


def top_k(scores: Vector, k: int) -> NDArray[np.intp]:
    """Return the rows of the k greatest scores, best first, ties by row.

    Args:
        scores: float32 (n,), finite.
        k: at least 1; more than n gives all n.

    Returns:
        int (min(k, n),).
    """
    if k >= len(scores):
        return np.argsort(-scores, kind="stable")
    kth = np.partition(scores, len(scores) - k)[len(scores) - k]
    candidates = np.flatnonzero(scores >= kth)
    order = np.argsort(-scores[candidates], kind="stable")
    return candidates[order][:k]


def nearest_rows(ids: Sequence[str], rows: Matrix, query: Vector, k: int) -> list[Hit]:
    """Return the k rows of the greatest cosine to the query, best first.

    Products are float64 and summed in the same order for every row, unlike BLAS's: so
    equal vectors get equal scores wherever they lie, and ties go by ascending id.

    Args:
        ids: of the rows.
        rows: float32 (len(ids), d), of unit length.
        query: float32 (d,), of unit length.
        k: at least 1; more than there are gives all.

    Source:
        definition of the cosine for unit vectors.
    """
    products = np.multiply(rows, query, dtype=np.float64).sum(axis=1)
    scores: list[float] = np.clip(products, -1.0, 1.0).tolist()
    hits = [Hit(*pair) for pair in zip(ids, scores, strict=True)]
    return heapq.nsmallest(k, hits, key=lambda hit: (-hit.score, hit.asset_id))


def away_from(vector: Vector, unlike: Sequence[Vector]) -> Vector:
    """Return the direction of a vector with those of others taken off.

    Args:
        vector: float32 (d,), unit length.
        unlike: at least one, the same.

    Returns:
        float32 (d,), unit length: unit(vector - 0.5 mean(unlike)).

    Raises:
        InvalidInputError: nothing is left of it.

    Source:
        Rocchio's relevance feedback (Manning, Raghavan, Schuetze: Introduction to
        Information Retrieval, 9.1.1); the weight is `UNLIKE_WEIGHT`.
    """
    return normalise(vector - UNLIKE_WEIGHT * np.mean(unlike, axis=0))
