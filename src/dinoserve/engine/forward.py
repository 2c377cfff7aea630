"""The seam between the embedder and the engines: a loaded model at work."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from dinoserve.domain.framing import Framing
from dinoserve.domain.geometry import Geometry
from dinoserve.domain.recipes import Recipe
from dinoserve.domain.vectors import Matrix
from dinoserve.engine.images import DecodedImage
from dinoserve.ports import ModelCard


class Prepared(NamedTuple):
    """A picture that waits for the device.

    Attributes:
        pixels: float32 (3, height, width) of the geometry, normalised; or, where the
            device resizes, the upright picture uint8 (h, w, 3).
        geometry: which pixels become which patch.
    """

    pixels: NDArray[np.float32] | NDArray[np.uint8]
    geometry: Geometry


class Forward(Protocol):
    """A loaded model: from decoded pictures to vectors and tokens."""

    @property
    def card(self) -> ModelCard:
        """Return what is loaded; its recipe is that of embeddings."""
        ...

    @property
    def prefix_tokens(self) -> int:
        """Return how many tokens precede the patches: class token and registers."""
        ...

    def recipe(self, framing: Framing | None = None) -> Recipe:
        """Return the recipe of features made at this size and fit.

        Args:
            framing: None is that of embeddings.

        Raises:
            InvalidInputError: the model cannot take this framing, or has no features.
        """
        ...

    def prepare(self, image: DecodedImage, framing: Framing | None = None) -> Prepared:
        """Return what the device needs of a picture; from several threads at once.

        Args:
            image: decoded.
            framing: size and fit; None is that of embeddings.
        """
        ...

    def vectors(self, batch: Sequence[Prepared]) -> Matrix:
        """Return unit rows float32 (n, d); inputs of one size, from one thread only."""
        ...

    def tokens(self, batch: Sequence[Prepared]) -> NDArray[np.float32]:
        """Return float32 (n, tokens, d) after the final norm, the caller's to keep.

        Inputs of one size, from one thread only.
        """
        ...
