"""How long everything that is measured of a picture takes, beside its decoding.

`python -m benchmarks.quality`: a 500 x 375 JPEG, decoded and measured on one core, and
the parts of measuring. What counts is the time of the CPU, the lower quartile of rounds
that alternate between the rows, so that other work on the machine weighs little and on
all alike. The aim is 8 ms beyond decoding.
"""

import os

# Before NumPy is imported: its products shall have one core.
os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"

import time
from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
from benchmarks.decode import jpeg
from benchmarks.machine import this_machine

from dinoserve.domain.quality import measure
from dinoserve.domain.quality_detail import (
    SCALED_PX,
    blockiness,
    blur,
    noise,
    sharpness,
    small_blurriness,
)
from dinoserve.domain.quality_light import (
    brightness_counts,
    colourfulness,
    counts_of,
    luma,
)
from dinoserve.domain.scaling import averaged
from dinoserve.engine.images import ImageLimits, decode

AIM_MS: Final = 8.0
_ROUNDS: Final = 60
_LIMITS: Final = ImageLimits(max_bytes=2**25, max_pixels=64_000_000, max_side_px=16_384)
_SIZE: Final = (500, 375)


def rows() -> Mapping[str, Callable[[], object]]:
    """Return what is timed, by name; `decode` and `measure` are the whole."""
    data = jpeg(*_SIZE)
    picture = decode(data, _LIMITS).rgb
    planes = np.ascontiguousarray(np.moveaxis(picture, 2, 0))
    grey = luma(planes)
    scaled = averaged(grey, SCALED_PX)
    return {
        "decode": lambda: decode(data, _LIMITS),
        "measure": lambda: measure(picture),
        "luma": lambda: luma(planes),
        "histograms of channels": lambda: [counts_of(plane) for plane in planes],
        "brightness": lambda: brightness_counts(planes),
        "colourfulness": lambda: colourfulness(planes),
        "sharpness": lambda: sharpness(scaled),
        "blur": lambda: blur(scaled),
        "noise": lambda: noise(grey),
        "blockiness": lambda: blockiness(grey),
        "CleanVision's blur": lambda: small_blurriness(planes),
    }


def timed(works: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Return milliseconds by name: the lower quartile of alternating rounds."""
    taken: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            start = time.thread_time()
            work()
            taken[name].append((time.thread_time() - start) * 1000)
    return {name: float(np.percentile(each, 25)) for name, each in taken.items()}


def main() -> None:
    """Print the table."""
    found = timed(rows(), _ROUNDS)
    print(this_machine())
    for name, took_ms in found.items():
        print(f"{name:24}{took_ms:8.2f} ms{took_ms / found['decode']:8.1f} x decode")
    print(f"aim: {AIM_MS:g} ms; {'kept' if found['measure'] <= AIM_MS else 'missed'}")


if __name__ == "__main__":
    main()
