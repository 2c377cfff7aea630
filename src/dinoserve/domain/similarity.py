"""Cosines of unit vectors, and the best of them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dinoserve.domain.vectors import Matrix, Vector


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
