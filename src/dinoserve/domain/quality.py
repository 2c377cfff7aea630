"""Quality of a picture: what is measured of it."""

from dataclasses import dataclass, fields
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dinoserve.domain.quality_detail import (
    SCALED_PX,
    Numbers,
    blockiness,
    blur,
    noise,
    sharpness,
    small_blurriness,
)
from dinoserve.domain.quality_light import (
    brightness_counts,
    channel_spread,
    clipping,
    colourfulness,
    counts_of,
    entropy,
    luma,
    mean_level,
    percentile,
    rms_contrast,
)
from dinoserve.domain.scaling import Planes, averaged

METHOD: Final = "quality-1"
"""Name and version of what `measure` measures: another formula is another version."""

# CleanVision: a tenth of the entropy of all channels together, at most 1.
_INFORMATION: Final = 0.1
_PERCENTILES: Final = (1, 5, 50, 95, 99)


@dataclass(frozen=True, slots=True)
class Quality:
    """What was measured of one picture; formulas and sources stand at the functions.

    Attributes:
        width: pixels, upright.
        height: pixels, upright.
        shortest_side: pixels.
        megapixels: width times height, in millions.
        aspect: shorter over longer side, in (0, 1].
        brightness_mean: perceived, in [0, 1]; see `brightness_counts`.
        brightness_p1: percentile of it: 1 % of the pixels are darker.
        brightness_p5: likewise.
        brightness_p50: the median.
        brightness_p95: 5 % of the pixels are brighter.
        brightness_p99: 1 % are brighter.
        clipped_shadows: share of pixels, in [0, 1]; see `clipping`.
        clipped_lights: likewise.
        contrast: see `rms_contrast`, in [0, 0.5].
        colourfulness: see there, 0 to about 170.
        channel_spread: levels, 0 to 255; 0 is grey by its channels.
        entropy: of luma, in bits, 0 to 8.
        sharpness: see there, squared levels, at a longer side of 512 pixels.
        blur: see there, 0 sharp to 1 blurred, at a longer side of 512 pixels.
        noise: see there, a standard deviation in levels.
        blockiness: see there, 0 without blocks of JPEG.
        dark_score: CleanVision's: `brightness_p99`, 0 is dark.
        light_score: CleanVision's: 1 - `brightness_p5`, 0 is overexposed.
        odd_aspect_score: CleanVision's: `aspect`.
        low_information_score: CleanVision's: a tenth of the entropy of the values of
            all three channels together, at most 1.
        blurry_score: CleanVision's, see `small_blurriness`, 0 is blurred.
    """

    width: int
    height: int
    shortest_side: int
    megapixels: float
    aspect: float
    brightness_mean: float
    brightness_p1: float
    brightness_p5: float
    brightness_p50: float
    brightness_p95: float
    brightness_p99: float
    clipped_shadows: float
    clipped_lights: float
    contrast: float
    colourfulness: float
    channel_spread: float
    entropy: float
    sharpness: float
    blur: float
    noise: float
    blockiness: float
    dark_score: float
    light_score: float
    odd_aspect_score: float
    low_information_score: float
    blurry_score: float

    @property
    def clipped(self) -> float:
        """Share of pixels that are clipped in shadows or lights, in [0, 1]."""
        return self.clipped_shadows + self.clipped_lights


MEASURES: Final = tuple(field.name for field in fields(Quality))
"""Names of what is measured, in the order of `Quality`."""


def measure(picture: NDArray[np.uint8]) -> Quality:
    """Return what is measured of uint8 (height, width, 3), sRGB, upright."""
    planes = np.ascontiguousarray(np.moveaxis(picture, 2, 0))
    grey = luma(planes)
    height, width = grey.shape
    return Quality(
        width=width,
        height=height,
        shortest_side=min(width, height),
        megapixels=width * height / 1e6,
        aspect=(aspect := min(width / height, height / width)),
        odd_aspect_score=aspect,
        **_light(planes),
        **_tones(planes, counts_of(grey)),
        sharpness=sharpness(scaled := averaged(grey, SCALED_PX)),
        blur=blur(scaled),
        noise=noise(grey),
        blockiness=blockiness(grey),
        blurry_score=small_blurriness(planes),
    )


def scaled_luma(picture: NDArray[np.uint8]) -> Numbers:
    """Return luma of uint8 (height, width, 3), its longer side at `SCALED_PX`."""
    return averaged(luma(np.ascontiguousarray(np.moveaxis(picture, 2, 0))), SCALED_PX)


def _light(planes: Planes) -> dict[str, float]:
    counts = brightness_counts(planes)
    shares = {f"brightness_p{at}": percentile(counts, at / 100) for at in _PERCENTILES}
    return {
        "brightness_mean": mean_level(counts),
        **shares,
        "dark_score": shares["brightness_p99"],
        "light_score": 1 - shares["brightness_p5"],
    }


def _tones(planes: Planes, grey: NDArray[np.int64]) -> dict[str, float]:
    shadows, lights = clipping(grey)
    together = entropy(np.concatenate([counts_of(plane) for plane in planes]))
    return {
        "clipped_shadows": shadows,
        "clipped_lights": lights,
        "contrast": rms_contrast(grey),
        "colourfulness": colourfulness(planes),
        "channel_spread": channel_spread(planes),
        "entropy": entropy(grey),
        "low_information_score": min(1.0, _INFORMATION * together),
    }
