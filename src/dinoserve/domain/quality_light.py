"""Measures of light and colour: of how pixels are spread, wherever they stand."""

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dinoserve.domain.scaling import Plane, Planes

Counts = NDArray[np.int64]
"""int64 (levels,): how many pixels have each level."""

BRIGHTNESS_LEVELS: Final = 4096
"""Levels of brightness that are told apart: a quarter of a thousandth each."""

DARKEST: Final = 2
"""Luma up to which a pixel counts as clipped in the shadows."""
LIGHTEST: Final = 253
"""Luma from which on a pixel counts as clipped in the lights."""

_LEVELS: Final = 256
# A few times 64 Ki pixels stay in the cache of one core.
_STEP: Final = 1 << 16
# Of the weights of red, green and blue, ITU-R BT.601 §2.5.1, in 65536ths, as Pillow
# makes `L` of `RGB`.
_LUMA: Final = (19595, 38470, 7471)
# Of perceived brightness: D. R. Finley 2006, "HSP"; CleanVision takes the same.
_PERCEIVED: Final = (0.241, 0.691, 0.068)


def luma(planes: Planes) -> Plane:
    """Return luma, uint8 (height, width): 0.299 R + 0.587 G + 0.114 B, rounded.

    Source: ITU-R BT.601 §2.5.1; to the bit what Pillow's mode `L` holds.
    """
    _, height, width = planes.shape
    result = np.empty(height * width, np.uint8)
    for start, (red, green, blue) in _steps(planes):
        total = red * np.uint32(_LUMA[0])
        total += green * np.uint32(_LUMA[1])
        total += blue * np.uint32(_LUMA[2])
        total += 1 << 15
        total >>= 16
        result[start : start + len(red)] = total
    return result.reshape(height, width)


def counts_of(plane: NDArray[np.uint8]) -> Counts:
    """Return int64 (256,): how many pixels have each value."""
    flat = np.ascontiguousarray(plane).reshape(-1)
    total = np.zeros(_LEVELS, np.int64)
    for start in range(0, len(flat), 2 * _STEP):
        some = flat[start : start + 2 * _STEP]
        even = len(some) // 2 * 2
        # Two pixels are counted as one number, which takes half the time.
        pairs = np.bincount(some[:even].view(np.uint16), minlength=_LEVELS * _LEVELS)
        table = pairs.reshape(_LEVELS, _LEVELS)
        total += table.sum(0)
        total += table.sum(1)
        total += np.bincount(some[even:], minlength=_LEVELS)
    return total


def brightness_counts(planes: Planes) -> Counts:
    """Return int64 (`BRIGHTNESS_LEVELS`,): pixels by perceived brightness.

    Brightness of a pixel: √(0.241 R² + 0.691 G² + 0.068 B²) / 255, in [0, 1]. Source:
    D. R. Finley 2006, HSP colour model.
    """
    scale = (BRIGHTNESS_LEVELS - 1) / (_LEVELS - 1)
    weights = [np.float32(weight * scale**2) for weight in _PERCEIVED]
    total = np.zeros(BRIGHTNESS_LEVELS, np.int64)
    for _, channels in _steps(planes):
        values = channels.astype(np.float32)
        values *= values
        level = values[0] * weights[0]
        level += values[1] * weights[1]
        level += values[2] * weights[2]
        np.sqrt(level, out=level)
        level += 0.5
        total += np.bincount(level.astype(np.intp), minlength=BRIGHTNESS_LEVELS)
    return total


def percentile(counts: Counts, share: float) -> float:
    """Return the level, of [0, 1], below which this share of the pixels lies.

    Between two pixels it is interpolated, as `numpy.percentile` does.

    Args:
        counts: int64 (levels,), not all of them 0.
        share: in [0, 1].
    """
    upto = np.cumsum(counts)
    place = (int(upto[-1]) - 1) * share
    before = int(place)
    low, high = np.searchsorted(upto, [before, min(before + 1, upto[-1] - 1)], "right")
    level = float(low) + (place - before) * float(high - low)
    return level / (len(counts) - 1)


def mean_level(counts: Counts) -> float:
    """Return the mean level, of [0, 1]."""
    levels = np.arange(len(counts), dtype=np.float64)
    return float(counts @ levels) / float(counts.sum()) / (len(counts) - 1)


def clipping(counts: Counts) -> tuple[float, float]:
    """Return the shares of pixels, in [0, 1], that are clipped: shadows, lights.

    Luma of at most `DARKEST`, or of at least `LIGHTEST`. Source: textbook.
    """
    total = float(counts.sum())
    shadows, lights = counts[: DARKEST + 1].sum(), counts[LIGHTEST:].sum()
    return float(shadows) / total, float(lights) / total


def rms_contrast(counts: Counts) -> float:
    """Return the standard deviation of luma / 255, in [0, 0.5].

    Source: E. Peli 1990, "Contrast in complex images", J. Opt. Soc. Am. A 7 (10).
    """
    levels = np.arange(_LEVELS, dtype=np.float64) / (_LEVELS - 1)
    shares = counts / counts.sum()
    mean = float(shares @ levels)
    return float(np.sqrt(shares @ (levels - mean) ** 2))


def entropy(counts: Counts) -> float:
    """Return the entropy of what the counts are of, in bits: -Σ p log₂ p.

    0 where all is alike; at most 8 of 256 levels, 9.585 of three times 256. Source:
    C. E. Shannon 1948, "A mathematical theory of communication".
    """
    shares = counts[counts > 0] / counts.sum()
    return float(max(0.0, -(shares @ np.log2(shares))))


def colourfulness(planes: Planes) -> float:
    """Return s + 0.3 m of the opponent colours: 0 of a grey picture, up to about 170.

    rg = R - G, yb = (R + G) / 2 - B; s = √(var rg + var yb), m = √(mean² rg +
    mean² yb), of levels of 0 to 255. From about 15 slightly, 33 moderately, 59 quite,
    109 extremely colourful. Source: D. Hasler, S. Süsstrunk 2003, "Measuring
    colourfulness in natural images", SPIE 5007, §7.
    """
    sums, squares = np.zeros(2), np.zeros(2)
    for _, channels in _steps(planes):
        red, green, blue = channels.astype(np.float32)
        opponents = red - green, (red + green) * np.float32(0.5) - blue
        sums += [float(one.sum()) for one in opponents]
        squares += [float(one @ one) for one in opponents]
    pixels = planes[0].size
    means = sums / pixels
    variance = max(0.0, float((squares / pixels - means**2).sum()))
    return float(np.sqrt(variance) + 0.3 * np.sqrt((means**2).sum()))


def channel_spread(planes: Planes) -> int:
    """Return the greatest difference of two channels of a pixel: levels, 0 to 255.

    0 of a picture that is grey by its channels, whatever its file says.
    """
    widest = 0
    for _, channels in _steps(planes):
        spread = channels.max(0) - channels.min(0)
        widest = max(widest, int(spread.max()))
    return widest


def _steps(planes: Planes) -> Iterator[tuple[int, Planes]]:
    """Yield some pixels after the other, uint8 (channels, pixels), and their place."""
    flat = planes.reshape(len(planes), -1)
    for start in range(0, flat.shape[1], _STEP):
        yield start, flat[:, start : start + _STEP]
