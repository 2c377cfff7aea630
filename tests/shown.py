"""A picture as decoding gives it, from its pixels alone."""

import numpy as np
from numpy.typing import NDArray

from dinoserve.domain.assets import ImageInfo
from dinoserve.engine.images import DecodedImage


def shown(rgb: NDArray[np.uint8]) -> DecodedImage:
    """Return a decoded picture of these pixels: uint8 (h, w, 3)."""
    height, width, _ = rgb.shape
    return DecodedImage(ImageInfo("image/png", width, height), rgb)
