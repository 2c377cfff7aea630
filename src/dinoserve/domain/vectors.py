"""Vectors: float32 rows of unit length, and their bytes."""

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dinoserve.errors import InvalidInputError

Vector: TypeAlias = NDArray[np.float32]
Matrix: TypeAlias = NDArray[np.float32]

_LITTLE_ENDIAN_FLOAT32 = np.dtype("<f4")


@dataclass(frozen=True, slots=True)
class Embedding:
    """An asset's vector under one recipe: float32 (dimension,), unit length."""

    asset_id: str
    recipe: str
    vector: Vector


def normalise(vector: NDArray[np.floating[Any]]) -> Vector:
    """Return float32 (d,) of Euclidean length 1, whatever the width of its floats.

    Raises:
        InvalidInputError: a value is not finite, or all are zero.
    """
    wide = vector.astype(np.float64)
    # Dividing by the largest value first keeps tiny and huge vectors exact.
    largest = np.max(np.abs(wide), initial=0.0)
    if not np.isfinite(largest) or largest == 0.0:
        raise InvalidInputError(
            "A vector needs finite numbers, not all of them zero.",
            field="query.vector",
        )
    wide /= largest
    return (wide / np.linalg.norm(wide)).astype(np.float32)


def to_bytes(vector: Vector) -> bytes:
    """Return the vector as little-endian float32, 4 bytes a number."""
    return vector.astype(_LITTLE_ENDIAN_FLOAT32, copy=False).tobytes()


def from_bytes(raw: bytes) -> Vector:
    """Return float32 (len(raw) // 4,), read as little-endian float32."""
    return np.frombuffer(raw, _LITTLE_ENDIAN_FLOAT32).astype(np.float32, copy=False)
