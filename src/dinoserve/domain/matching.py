"""Patch matching: which patches of two pictures are each other's nearest."""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dinoserve.domain.vectors import Matrix

# Cosines held at a time, 4 bytes each.
_BLOCK: Final = 2_000_000


class Matches(NamedTuple):
    """What two sets of patches have in common.

    Attributes:
        left: int32 (p,), rising: patches of the left set that have a pair.
        right: int32 (p,): their partners in the right set; none occurs twice.
        cosines: float32 (p,), each in [-1, 1]: of the pairs.
        left_best: float32 (n,): of each left patch, the greatest cosine to any right
            one; -1 where there are no right ones.
        right_best: float32 (m,): the same of each right patch.
    """

    left: NDArray[np.int32]
    right: NDArray[np.int32]
    cosines: Matrix
    left_best: Matrix
    right_best: Matrix

    @property
    def left_share(self) -> float:
        """Share of the left patches that have a pair, in [0, 1]; 0 of none."""
        return len(self.left) / max(len(self.left_best), 1)

    @property
    def right_share(self) -> float:
        """Share of the right patches that have a pair, in [0, 1]; 0 of none."""
        return len(self.right) / max(len(self.right_best), 1)

    @property
    def mean_cosine(self) -> float:
        """Mean cosine of the pairs, in [-1, 1]; 0 if there are none."""
        return _mean(self.cosines)

    @property
    def left_mean(self) -> float:
        """Mean of `left_best`, in [-1, 1]: how well the right set explains the left."""
        return _mean(self.left_best)

    @property
    def right_mean(self) -> float:
        """Mean of `right_best`, in [-1, 1]."""
        return _mean(self.right_best)


def unit_patches(patches: Matrix) -> Matrix:
    """Return float32 (n, d), each row of length 1; a row of zeros stays so."""
    lengths = np.linalg.norm(patches, axis=-1, keepdims=True)
    return np.divide(patches, lengths, out=np.zeros_like(patches), where=lengths > 0)


def mutual_nearest(left: Matrix, right: Matrix) -> Matches:
    """Return the pairs of patches of which each is the other's nearest.

    Of patches that are equally near, the first counts. Where both sets have patches
    there is at least one pair. What is held meanwhile does not grow with the sets.

    Args:
        left: float32 (n, d), rows of unit length.
        right: float32 (m, d), rows of unit length.

    Source:
        best-buddies pairs: Dekel et al., "Best-Buddies Similarity for Robust Template
        Matching" (2015), equation 1, with the cosine as similarity.
    """
    if not (len(left) and len(right)):
        return _nothing(len(left), len(right))
    left_best, left_at = _empty(len(left))
    right_best, right_at = _empty(len(right))
    step = max(1, _BLOCK // len(right))
    for start in range(0, len(left), step):
        cosines = np.clip(left[start : start + step] @ right.T, -1.0, 1.0)
        rows = slice(start, start + len(cosines))
        left_at[rows] = cosines.argmax(axis=1)
        left_best[rows] = cosines.max(axis=1)
        columns = cosines.max(axis=0)
        is_better = columns > right_best
        right_at[is_better] = start + cosines[:, is_better].argmax(axis=0)
        right_best[is_better] = columns[is_better]
    paired = np.flatnonzero(right_at[left_at] == np.arange(len(left))).astype(np.int32)
    return Matches(paired, left_at[paired], left_best[paired], left_best, right_best)


def _empty(count: int) -> tuple[Matrix, NDArray[np.int32]]:
    return np.full(count, -np.inf, np.float32), np.zeros(count, np.int32)


def _nothing(left: int, right: int) -> Matches:
    nobody = np.empty(0, np.int32)
    none = np.empty(0, np.float32)
    worst = np.full(left, -1, np.float32), np.full(right, -1, np.float32)
    return Matches(nobody, nobody, none, *worst)


def _mean(values: Matrix) -> float:
    return float(values.mean(dtype=np.float64)) if len(values) else 0.0
