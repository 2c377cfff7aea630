"""Vectors of pictures without a model: what a model must do better than.

Their products are scores in [-1, 1], and are measured as a model's cosines are.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from dinoserve.domain.fingerprints import HASH_BITS, look_of
from dinoserve.domain.vectors import Vector

HISTOGRAM: Final = "colour histogram 4x4"
HASH: Final = "perceptual hash"

_CELLS = 4
_LEVELS = 4


def colour_histogram(picture: NDArray[np.uint8]) -> Vector:
    """Return float32 (1024,) of unit length: which colours are where.

    In each of 4 x 4 cells the pixels are counted by 4 levels of red, green and blue.
    The roots of the shares are the vector, so that a product of two is their
    Bhattacharyya coefficient, in [0, 1].

    Args:
        picture: uint8 (height, width, 3).

    Source:
        Swain & Ballard, Color indexing, 1991; the coefficient: Bhattacharyya, 1943.
    """
    level = picture >> 6
    colour = (level[..., 0] * _LEVELS + level[..., 1]) * _LEVELS + level[..., 2]
    down, across = (_edges(side) for side in colour.shape)
    cells = (
        colour[down[row] : down[row + 1], across[column] : across[column + 1]]
        for row in range(_CELLS)
        for column in range(_CELLS)
    )
    counts = [np.bincount(cell.ravel(), minlength=_LEVELS**3) for cell in cells]
    return np.sqrt(np.concatenate(counts) / colour.size).astype(np.float32)


def _edges(side: int) -> list[int]:
    return [at * side // _CELLS for at in range(_CELLS + 1)]


def perceptual_hash(picture: NDArray[np.uint8]) -> Vector:
    """Return float32 (64,): the bits of the hash as 1/8 and -1/8.

    A product of two is 1 - Hamming distance / 32. A picture too flat to have a hash
    gets zeros, which are like nothing.

    Args:
        picture: uint8 (height, width, 3).
    """
    look = look_of(picture)
    if look is None:
        return np.zeros(HASH_BITS, np.float32)
    raw = np.frombuffer(look.to_bytes(HASH_BITS // 8, "big"), np.uint8)
    return ((np.unpackbits(raw) * 2.0 - 1.0) / np.sqrt(HASH_BITS)).astype(np.float32)
