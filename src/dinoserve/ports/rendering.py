"""What draws: from colours of patches to pictures that people look at."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from dinoserve.domain.geometry import Geometry


class Renderer(Protocol):
    """Draws patches where they lie in their picture."""

    async def png(
        self,
        colours: NDArray[np.uint8],
        geometry: Geometry,
        picture: bytes | None = None,
    ) -> bytes:
        """Return a PNG of the upright picture's aspect, of bounded size.

        Each patch is drawn as the part of the picture that it was made of; what no
        patch shows stays as it was.

        Args:
            colours: uint8 (rows, columns, 4) of the geometry: red, green, blue, alpha.
            geometry: which patch shows which part of the picture.
            picture: encoded, drawn below the colours; without it, what is below is
                transparent.

        Raises:
            InvalidInputError: the picture cannot be decoded; `field` is `image`.
        """
        ...
