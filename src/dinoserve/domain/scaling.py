"""Making pictures smaller: bicubic as Pillow does it, and by means over areas."""

import math
from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.uint8]
"""uint8 (height, width): one number for each pixel, 0 to 255."""
Planes = NDArray[np.uint8]
"""uint8 (channels, height, width)."""

# So many outputs share one product: more would multiply with zeros.
_BLOCK: Final = 8
_CATMULL: Final = -0.5
# Floats of one step: 4 MiB, and no more for the largest picture.
_STEP: Final = 1 << 20


class _Block(NamedTuple):
    """Weights of some outputs.

    Attributes:
        first: the first of the pixels that they are made of.
        weights: float32 (pixels, outputs).
    """

    first: int
    weights: NDArray[np.float32]


def shrunk(planes: Planes, height: int, width: int) -> Planes:
    """Return the planes at this size, by bicubic convolution with antialiasing.

    The kernel is that of Keys 1981 with a = -0.5, as wide as the scale asks for. Rows
    come first, and are rounded to whole numbers before columns, so that the result is
    that of Pillow's `Image.resize`.

    Args:
        planes: uint8 (channels, rows, columns).
        height: rows wanted, at most those there are.
        width: columns wanted, likewise.
    """
    channels, rows, columns = planes.shape
    across = np.empty((channels * rows, width), np.uint8)
    flat = planes.reshape(channels * rows, columns)
    blocks = _weights(columns, width, is_cubic=True)
    step = max(1, _STEP // columns)
    for start in range(0, len(flat), step):
        some = flat[start : start + step].astype(np.float32)
        across[start : start + step] = _rounded(_product(some, blocks, width))
    turned = across.reshape(channels, rows, width).transpose(0, 2, 1)
    down = turned.reshape(channels * width, rows).astype(np.float32)
    result = _rounded(_product(down, _weights(rows, height, is_cubic=True), height))
    return result.reshape(channels, width, height).transpose(0, 2, 1)


def averaged(plane: Plane, longest: int) -> NDArray[np.float32]:
    """Return the plane with its longer side at most this long: means over areas.

    Args:
        plane: uint8 (rows, columns).
        longest: pixels; a plane that is no longer is not scaled.

    Returns:
        float32 (rows, columns), 0 to 255.
    """
    rows, columns = plane.shape
    share = longest / max(rows, columns)
    if share >= 1:
        return plane.astype(np.float32)
    height, width = max(1, round(rows * share)), max(1, round(columns * share))
    blocks = _weights(columns, width, is_cubic=False)
    across = np.empty((rows, width), np.float32)
    step = max(1, _STEP // columns)
    for start in range(0, rows, step):
        some = plane[start : start + step].astype(np.float32)
        across[start : start + step] = _product(some, blocks, width)
    down = _product(
        np.ascontiguousarray(across.T), _weights(rows, height, is_cubic=False), height
    )
    return np.ascontiguousarray(down.T)


def _product(
    lines: NDArray[np.float32], blocks: tuple[_Block, ...], width: int
) -> NDArray[np.float32]:
    result = np.empty((len(lines), width), np.float32)
    for at, (first, weights) in enumerate(blocks):
        part = lines[:, first : first + len(weights)]
        start = at * _BLOCK
        np.matmul(part, weights, out=result[:, start : start + weights.shape[1]])
    return result


def _rounded(values: NDArray[np.float32]) -> Plane:
    values += 0.5
    np.floor(values, out=values)
    return np.clip(values, 0, 255, out=values).astype(np.uint8)


@lru_cache(maxsize=64)
def _weights(size: int, wanted: int, *, is_cubic: bool) -> tuple[_Block, ...]:
    """Return the weights of every output, of so many pixels in a line."""
    scale = size / wanted
    reach = scale * (2 if is_cubic else 0.5)
    blocks: list[_Block] = []
    for start in range(0, wanted, _BLOCK):
        centres = (np.arange(start, min(start + _BLOCK, wanted)) + 0.5) * scale
        first = max(0, math.floor(centres[0] - reach))
        last = min(size, math.ceil(centres[-1] + reach))
        places = np.arange(first, last)[:, None] + 0.5
        make = _cubic if is_cubic else _overlap
        weights = make(places - centres, scale)
        blocks.append(_Block(first, (weights / weights.sum(0)).astype(np.float32)))
    return tuple(blocks)


def _cubic(offsets: NDArray[np.float64], scale: float) -> NDArray[np.float64]:
    """Return Keys' kernel, stretched by the scale; what lies outside counts nothing."""
    x = np.abs(offsets) / scale
    near = ((_CATMULL + 2) * x - (_CATMULL + 3)) * x * x + 1
    far = _CATMULL * (((x - 5) * x + 8) * x - 4)
    return np.where(x < 1, near, np.where(x < 2, far, 0.0))  # noqa: PLR2004 - the kernel's reach


def _overlap(offsets: NDArray[np.float64], scale: float) -> NDArray[np.float64]:
    """Return how much of each pixel an output of this length covers."""
    reach = (scale + 1) / 2 - np.abs(offsets)
    return np.clip(reach, 0.0, min(scale, 1.0))
