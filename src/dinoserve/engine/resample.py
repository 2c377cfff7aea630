"""Resampling: the antialiased triangle filter ("bilinear"), of 8-bit pixels.

PyTorch's own resize of floats takes every weight by itself; here a block of
neighbouring rows is one product of matrices, and a picture becomes floats block by
block: twice to ten times faster on one core, in a fraction of the memory (figures in
docs/decisions/0008-decoding-and-sizes.md). The weights are the same, to the bit or to
the last one, and so are the results, but for the order of float32 sums.
"""

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

# Source pixels that a block spans, about: long enough to keep the product busy, short
# enough that most of its weights are not zero.
_SPAN_PX = 32
_FEWEST, _MOST = 4, 32


class _Block(NamedTuple):
    """Results `start` to `stop` along one axis, as a product.

    Attributes:
        first: source pixel of the first column of the weights.
        weights: float32 (stop - start, source pixels).
    """

    start: int
    stop: int
    first: int
    weights: torch.Tensor


def resample(rgb: NDArray[np.uint8], height: int, width: int) -> torch.Tensor:
    """Return float32 (3, height, width), in levels of 0 to 255, not rounded.

    Args:
        rgb: uint8 (h, w, 3), any size from 1 x 1.
        height: pixels of the result.
        width: pixels of the result.

    Source:
        `torch.nn.functional.interpolate` with `mode="bilinear", antialias=True`, which
        transformers' processors call; equal within 1e-3 levels.
    """
    rows, columns, _ = rgb.shape
    lines = rgb.reshape(rows, columns * 3)
    down = torch.empty(height, columns * 3)
    for start, stop, first, weights in _blocks(rows, height):
        source = lines[first : first + weights.shape[1]].astype(np.float32)
        torch.mm(weights, _tensor(source), out=down[start:stop])
    planes = down.numpy().reshape(height, columns, 3).transpose(2, 0, 1)
    flat = _tensor(np.ascontiguousarray(planes).reshape(3 * height, columns))
    across = torch.empty(3 * height, width)
    for start, stop, first, weights in _blocks(columns, width):
        source = flat[:, first : first + weights.shape[1]]
        torch.mm(source, weights.T, out=across[:, start:stop])
    return across.view(3, height, width)


def resample_rounded(rgb: NDArray[np.uint8], height: int, width: int) -> torch.Tensor:
    """Return uint8 (3, height, width); PyTorch's own, rounded after each direction.

    Args:
        rgb: uint8 (h, w, 3), any size from 1 x 1.
        height: pixels of the result.
        width: pixels of the result.
    """
    # As it lies in memory: copying it plane by plane first would double the time.
    image = _tensor(np.array(rgb)).permute(2, 0, 1).unsqueeze(0)
    return functional.interpolate(
        image,
        size=(height, width),
        mode="bilinear",
        align_corners=False,
        antialias=True,
    ).squeeze(0)


# A few sizes of pictures are most of those that come; a server has one size of input.
@lru_cache(maxsize=32)
def _blocks(length: int, target: int) -> tuple[_Block, ...]:
    """Return the products that bring an axis of a length to a target."""
    many = max(_FEWEST, min(_MOST, round(_SPAN_PX * target / length)))
    return tuple(_cut(length, target, many))


def _cut(length: int, target: int, many: int) -> Iterator[_Block]:
    first, taps = _taps(length, target)
    for start in range(0, target, many):
        stop = min(target, start + many)
        begin, many_taps = int(first[start]), taps.shape[1]
        span = int(first[stop - 1]) + many_taps - begin
        weights = np.zeros((stop - start, span), np.float32)
        for row, at in enumerate(first[start:stop].tolist()):
            weights[row, at - begin : at - begin + many_taps] = taps[start + row]
        # The last taps may lie beyond the edge, where all weights are zero.
        inside = np.ascontiguousarray(weights[:, : length - begin])
        yield _Block(start, stop, begin, _tensor(inside))


def _taps(length: int, target: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return for each result its first source pixel, and its weights from there on.

    In float32, step by step as PyTorch 2.13 (`UpSampleKernel.cpp`): a weight computed
    more exactly would be another one.

    Returns:
        int64 (target,) and float32 (target, taps); weights past the last are 0.
    """
    one, half = np.float32(1), np.float32(0.5)
    scale = np.float32(length) / np.float32(target)
    reach = max(scale, one)
    centres = scale * (np.arange(target, dtype=np.float32) + half)
    first = np.maximum((centres - reach + half).astype(np.int64), 0)
    end = np.minimum((centres + reach + half).astype(np.int64), length)
    place = first[:, None] + np.arange(int((end - first).max()))
    distance = (place.astype(np.float32) - centres[:, None] + half) * (one / reach)
    taps = np.maximum(np.float32(0), one - np.abs(distance))
    taps[place >= end[:, None]] = 0
    return first, taps / taps.sum(axis=1, keepdims=True)


def _tensor(array: NDArray[np.float32] | NDArray[np.uint8]) -> torch.Tensor:
    return torch.from_numpy(array)  # pyright: ignore[reportUnknownMemberType] - torch leaves the array untyped
