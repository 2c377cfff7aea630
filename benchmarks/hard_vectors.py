"""Vectors that are hard to search: clusters of very different sizes, near ties."""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dinoserve.domain.vectors import Matrix

WIDTH: Final = 384


class Spread(NamedTuple):
    """What vectors are drawn around: 2000 centres in 60 groups, in 64 dimensions."""

    centres: Matrix
    weights: NDArray[np.float64]
    widths: NDArray[np.float32]
    basis: Matrix


def spread(seed: int = 0) -> Spread:
    """Return what `draw` draws around."""
    rng = np.random.default_rng(seed)
    basis = np.linalg.qr(rng.standard_normal((WIDTH, 64)))[0].T.astype(np.float32)
    own, shared = (_unit(rng.standard_normal((n, WIDTH))) for n in (2000, 60))
    drawn = rng.integers(0, 60, 2000)
    centres = (0.6 * own + 0.8 * shared[drawn]).astype(np.float32)
    weights = rng.pareto(1.2, 2000) + 0.2
    widths = rng.uniform(0.35, 0.8, 2000).astype(np.float32)
    return Spread(centres, weights / weights.sum(), widths, basis)


def draw(around: Spread, count: int, seed: int) -> Matrix:
    """Return float32 (count, 384), unit length."""
    rng = np.random.default_rng(seed)
    drawn = np.empty((count, WIDTH), np.float32)
    for start in range(0, count, 50_000):
        size = min(50_000, count - start)
        which = rng.choice(len(around.centres), size, p=around.weights)
        inner = rng.standard_normal((size, 64), np.float32) @ around.basis / 8
        outer = rng.standard_normal((size, WIDTH), np.float32) / np.sqrt(WIDTH)
        noise = around.widths[which, None] * (0.9 * inner + 0.45 * outer)
        drawn[start : start + size] = _unit(around.centres[which] + noise)
    return drawn


def _unit(rows: NDArray[np.floating]) -> Matrix:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
