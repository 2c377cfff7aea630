"""What draws: patches and renditions, as pictures that people look at."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from dinoserve.domain.geometry import Geometry
from dinoserve.domain.renditions import Drawing, Format


class Painted(NamedTuple):
    """A picture, and what is drawn over its patches.

    Attributes:
        colours: uint8 (rows, columns, 4) of the geometry: red, green, blue, alpha.
        geometry: which patch shows which part of the picture.
        picture: encoded.
    """

    colours: NDArray[np.uint8]
    geometry: Geometry
    picture: bytes


class Renderer(Protocol):
    """Draws patches where they lie in their picture."""

    async def beside(self, left: Painted, right: Painted) -> bytes:
        """Return a PNG of two pictures of equal height, of bounded size.

        Raises:
            InvalidInputError: a picture cannot be decoded; `field` is `image`.
        """
        ...

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


class EncodedImage(NamedTuple):
    """A picture as a file."""

    format: Format
    data: bytes


class Redrawer(Protocol):
    """Draws originals anew, in other sizes and formats."""

    @property
    def formats(self) -> Sequence[Format]:
        """Return what can be written here; JPEG and PNG at least."""
        ...

    @property
    def version(self) -> str:
        """Return a text that changes when the same drawing may come out otherwise."""
        ...

    async def redraw(self, original: bytes, drawing: Drawing) -> EncodedImage:
        """Return the rendition: upright, 8-bit sRGB, first frame, without metadata.

        Transparency stays where the format has it and is laid on white else. A colour
        profile that fits the picture is applied; one that does not is passed over.

        Args:
            original: encoded.
            drawing: its encoding is one of `formats`, or `plain`.

        Raises:
            InvalidInputError: the original cannot be decoded; `field` is `image`.
        """
        ...
