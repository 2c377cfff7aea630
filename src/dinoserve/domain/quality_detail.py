"""Measures of detail: of how pixels differ from their neighbours."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from dinoserve.domain.quality_light import counts_of, luma
from dinoserve.domain.scaling import Plane, Planes, shrunk

SCALED_PX: Final = 512
"""The longer side that sharpness and blur are measured at, so that the same picture
in two sizes is told alike; smaller ones are measured as they are."""

CELL_PX: Final = 16
"""The side of a cell of the map of blur, in pixels at that size."""

Numbers = NDArray[np.float32]

_TAPS: Final = 9
_GRID: Final = 8  # of JPEG's blocks: ITU-T T.81 §A.1
# Below it a cell has nothing that could be sharp or not: mean step in levels.
_FLAT_STEP: Final = 1.0
# CleanVision's constants: longer side, and the scores' two factors.
_SMALL_PX: Final = 64
_FALL: Final = 0.01
_LEAST_SPREAD: Final = 0.18
_STEP: Final = 1 << 17


def sharpness(scaled: Numbers) -> float:
    """Return the variance of the Laplacian, in squared levels: 0 upwards.

    The kernel is [0 1 0; 1 -4 1; 0 1 0], where it fits. Sharp photographs have some
    hundreds to thousands. Source: J. L. Pech-Pacheco et al. 2000, "Diatom
    autofocusing in brightfield microscopy", ICPR.

    Args:
        scaled: luma, float32 (height, width), the longer side at `SCALED_PX`.
    """
    if min(scaled.shape) < 3:  # noqa: PLR2004 - the kernel's side
        return 0.0
    inner = scaled[1:-1, 1:-1] * np.float32(-4)
    inner += scaled[:-2, 1:-1]
    inner += scaled[2:, 1:-1]
    inner += scaled[1:-1, :-2]
    inner += scaled[1:-1, 2:]
    return _variance(inner)


def blur(scaled: Numbers) -> float:
    """Return how blurred the picture is: 0 sharp, 1 blurred; 1 without any detail.

    How little of the steps between neighbours is lost where the picture is blurred
    once more, by a mean of nine pixels; of both directions the worse. Source: F. Crete
    et al. 2007, "The blur effect", SPIE 6492, doi 10.1117/12.702790.

    Args:
        scaled: luma, float32 (height, width), the longer side at `SCALED_PX`.
    """
    shares: list[float] = []
    for axis in (0, 1):
        steps, lost = _steps(scaled, axis)
        total = float(steps.sum(dtype=np.float64))
        rest = float(lost.sum(dtype=np.float64))
        shares.append(1 - rest / total if total > 0 else 1.0)
    return min(1.0, max(shares))


def blur_map(scaled: Numbers) -> Numbers:
    """Return the blur of each cell of `CELL_PX`: float32 (rows, columns), in [0, 1].

    Cells at the right and lower edge may hold less. NaN: the cell is flat, so that
    there is nothing to tell blur by. Source: as `blur`, the sums taken by cell.

    Args:
        scaled: luma, float32 (height, width), the longer side at `SCALED_PX`.
    """
    shape = tuple(-(-side // CELL_PX) for side in scaled.shape)
    worst = np.full(shape, np.nan, np.float32)
    for axis in (0, 1):
        steps, lost = (_by_cell(each, scaled.shape) for each in _steps(scaled, axis))
        is_told = steps > _FLAT_STEP * CELL_PX * CELL_PX
        share = np.full(shape, np.nan, np.float32)
        np.divide(steps - lost, steps, out=share, where=is_told)
        worst = np.fmax(worst, share)
    return worst


def noise(plane: Plane) -> float:
    """Return the standard deviation of noise, in levels of 0 to 255.

    It is √(π/2) / (6 (W-2) (H-2)) · Σ|I * M|, M = [1 -2 1; -2 4 -2; 1 -2 1]. Fine
    texture is taken for noise. Source: J. Immerkær 1996, "Fast noise variance
    estimation", Computer Vision and Image Understanding 64 (2).

    Args:
        plane: luma as decoded, uint8 (height, width).
    """
    height, width = plane.shape
    if min(height, width) < 3:  # noqa: PLR2004 - the kernel's side
        return 0.0
    total, rows = 0, max(1, _STEP // width)
    for start in range(0, height - 2, rows):
        some = plane[start : start + rows + 2].astype(np.int16)
        down = some[:-2] + some[2:]
        down -= 2 * some[1:-1]
        both = down[:, :-2] + down[:, 2:]
        both -= 2 * down[:, 1:-1]
        np.abs(both, out=both)
        total += int(both.sum(dtype=np.int64))
    return float(np.sqrt(np.pi / 2) * total / (6 * (width - 2) * (height - 2)))


def blockiness(plane: Plane) -> float:
    """Return how far steps at the borders of 8 x 8 blocks exceed others: 0 upwards.

    Of the mean steps between neighbouring columns, by place modulo 8: the greatest
    less the median, over the median but at least over one level; likewise of rows, and
    the mean of the two. Nearly 0 without blocks, about 0.3 where they show, 1 and more
    where they cannot be overlooked. Source: after Z. Wang, A. C. Bovik, B. L. Evans
    2000, "Blind measurement of blocking artifacts in images", ICIP; any phase of the
    grid counts, as pictures are cropped and turned.

    Args:
        plane: luma as decoded, uint8 (height, width).
    """
    across, down = _profiles(plane)
    return (_excess(across, plane.shape[0]) + _excess(down, plane.shape[1])) / 2


def small_blurriness(planes: Planes) -> float:
    """Return CleanVision's score of blur: 0 blurred, 1 sharp.

    At a longer side of 64 pixels: 1 - exp(-0.01 √v), v the variance of
    the picture filtered with [-1 -1 -1; -1 8 -1; -1 -1 -1]; plus 1 - exp(-0.01 s), if
    that exceeds 0.18, s the standard deviation of the histogram's 256 counts; at most
    1. Source: CleanVision 0.3, `BlurrinessProperty`; Apache-2.0.

    Args:
        planes: uint8 (3, height, width).
    """
    _, height, width = planes.shape
    ratio = max(height, width) / _SMALL_PX
    if ratio > 1:
        height, width = max(int(height // ratio), 1), max(int(width // ratio), 1)
        planes = shrunk(planes, height, width)
    grey = luma(planes)
    spread = 1 - np.exp(-_FALL * counts_of(grey).std())
    score = 1 - np.exp(-_FALL * _edges(grey).std())
    return float(min(1.0, score + (spread if spread > _LEAST_SPREAD else 0.0)))


def _variance(values: Numbers) -> float:
    flat = values.reshape(-1)
    mean = float(flat.mean(dtype=np.float64))
    flat -= np.float32(mean)
    return float(flat @ flat) / len(flat)


def _edges(grey: Plane) -> NDArray[np.int16]:
    """Return what Pillow's `FIND_EDGES` makes of it: its outermost pixels stay."""
    result = grey.astype(np.int16)
    if min(grey.shape) < 3:  # noqa: PLR2004 - the kernel's side
        return result
    height, width = (side - 2 for side in grey.shape)
    around = sum(
        result[top : top + height, left : left + width]
        for top in range(3)
        for left in range(3)
    )
    result[1:-1, 1:-1] = np.clip(9 * result[1:-1, 1:-1] - around, 0, 255)
    return result


def _steps(scaled: Numbers, axis: int) -> tuple[Numbers, Numbers]:
    """Return the steps between neighbours, and what a mean of nine takes of each.

    A step of the blurred picture is the difference of two pixels nine apart, over 9.
    """
    margin = [(0, 0), (0, 0)]
    margin[axis] = (_TAPS // 2, _TAPS // 2)
    steps = _differences(scaled, axis, 1)
    lost = _differences(np.pad(scaled, margin, "edge"), axis, _TAPS)
    lost *= np.float32(-1 / _TAPS)
    lost += steps
    return steps, np.maximum(lost, 0, out=lost)


def _differences(scaled: Numbers, axis: int, apart: int) -> Numbers:
    """Return |b - a| of every two pixels so far apart along the axis."""
    if axis:
        found = scaled[:, apart:] - scaled[:, :-apart]
    else:
        found = scaled[apart:] - scaled[:-apart]
    return np.abs(found, out=found)


def _by_cell(values: Numbers, shape: tuple[int, ...]) -> Numbers:
    """Return the sum of each cell of a picture of this shape."""
    starts = [np.arange(0, side, CELL_PX) for side in shape]
    whole = np.zeros(shape, np.float32)
    whole[: values.shape[0], : values.shape[1]] = values
    rows = np.add.reduceat(whole, starts[0], axis=0)
    return np.add.reduceat(rows, starts[1], axis=1)


def _profiles(plane: Plane) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the sums of steps to the next column, by column; and likewise by row."""
    height, width = plane.shape
    across = np.zeros(width - 1, np.int64)
    down = np.zeros(height - 1, np.int64)
    rows = max(1, _STEP // width)
    for start in range(0, height, rows):
        some = plane[start : start + rows + 1].astype(np.int16)
        own = some[:rows]
        across += np.abs(own[:, 1:] - own[:, :-1]).sum(0, dtype=np.int64)
        found = np.abs(some[1:] - some[:-1]).sum(1, dtype=np.int64)
        down[start : start + len(found)] = found
    return across, down


def _excess(profile: NDArray[np.int64], length: int) -> float:
    if len(profile) < 2 * _GRID:
        return 0.0
    whole = len(profile) // _GRID * _GRID
    means = profile[:whole].reshape(-1, _GRID).mean(0) / length
    usual = float(np.median(means))
    return (float(means.max()) - usual) / max(usual, 1.0)
