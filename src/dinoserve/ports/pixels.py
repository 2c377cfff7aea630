"""Pixels of encoded images, for what is measured on pictures rather than tokens."""

from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dinoserve.ports.engine import ImageBytes

Picture: TypeAlias = NDArray[np.uint8]
"""uint8 (height, width, 3): sRGB, upright, transparency over white."""


class PixelReader(Protocol):
    """Decodes images away from the event loop, a bounded number at a time."""

    async def pixels(self, image: ImageBytes, longest: int | None = None) -> Picture:
        """Return the decoded picture.

        Args:
            image: encoded; EXIF orientation is applied.
            longest: the longer side is at most this; scaled by area, never up. None:
                as it is.

        Raises:
            InvalidInputError: it is no image that the engine takes; see
                `Embedder.inspect`.
        """
        ...
