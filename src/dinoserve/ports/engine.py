"""What computes: from encoded bytes to vectors."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dinoserve.domain.assets import ImageInfo
from dinoserve.domain.framing import Framing
from dinoserve.domain.geometry import Geometry
from dinoserve.domain.recipes import Recipe
from dinoserve.domain.vectors import Vector


class BytesOnDisk(Protocol):
    """Bytes that are on a disk until they are needed."""

    def __len__(self) -> int:
        """Return how many they are."""
        ...

    def read(self) -> bytes:
        """Return all of them; blocks, and whoever calls it holds them in memory.

        Raises:
            UnavailableError: the disk does not give them.
        """
        ...

    def sha256(self) -> str:
        """Return their digest in hex; blocks. Errors as `read`."""
        ...


ImageBytes: TypeAlias = bytes | BytesOnDisk
"""An encoded image. What is on the disk is read when its turn to be decoded comes."""


@dataclass(frozen=True, slots=True)
class Embedded:
    """What the engine made of one image.

    Attributes:
        vector: float32 (dimension,), unit length.
        image: what decoding told.
        tokens: tokens the model computed for it.
    """

    vector: Vector
    image: ImageInfo
    tokens: int


@dataclass(frozen=True, slots=True)
class Features:
    """Every token the model made of one image, after the final norm, not scaled.

    Attributes:
        tokens: float32 (1 + registers + rows * columns, dimension): the class token,
            the registers, the patches row by row.
        registers: how many register tokens there are; ConvNeXt has none.
        geometry: which pixels became which patch.
        image: what decoding told.
        recipe: model and preprocessing that these features have.
    """

    tokens: NDArray[np.float32]
    registers: int
    geometry: Geometry
    image: ImageInfo
    recipe: Recipe


@dataclass(frozen=True, slots=True)
class ModelCard:
    """What is loaded and how.

    Attributes:
        kind: `dinov3_vit`, `dinov3_convnext` or `stub`.
        engine: `torch`, `openvino` or `stub`.
        note: what an operator must know about these weights; empty if nothing.
        licence: the licence the weights come under, as far as known.
        registers: register tokens that features have; ConvNeXt has none.
    """

    recipe: Recipe
    kind: str
    engine: str
    device: str
    precision: str
    parameters: int
    note: str
    licence: str
    registers: int = 0
    details: Mapping[str, object] = field(default_factory=dict[str, object])


class EngineLoad(NamedTuple):
    """How busy the engine is, in images.

    Attributes:
        waiting: admitted and not yet answered.
        capacity: how many it would admit.
        bulk: those waiting that are bulk, see `domain.urgency`.
        oldest_s: seconds since the oldest of them was admitted; 0 if none waits.
        retry_after_s: seconds until those waiting are answered, as far as can be told
            from the last ones; at least 1.
    """

    waiting: int
    capacity: int
    bulk: int
    oldest_s: float
    retry_after_s: int = 1


class Embedder(Protocol):
    """From encoded bytes to vectors."""

    @property
    def card(self) -> ModelCard:
        """Return what is loaded."""
        ...

    async def embed(self, images: Sequence[ImageBytes]) -> list[Embedded]:
        """Return one result per image, in order.

        Raises:
            InvalidInputError: an image cannot be used, or makes more patches than
                allowed; `field` is `images[i]`.
            OverloadedError: at once, when too many images wait.
            UnavailableError: the model failed on these images.
        """
        ...

    async def features(
        self, images: Sequence[ImageBytes], framing: Framing | None = None
    ) -> list[Features]:
        """Return every token of every image, in order.

        Args:
            images: encoded.
            framing: size and fit; None is what embeddings are made with.

        Raises:
            InvalidInputError: an image cannot be used (`field` is `images[i]`), the
                framing is none (`size`, `fit`), makes more patches than allowed, or
                the model has no tokens to give.
            OverloadedError: at once, when too many images wait.
            UnavailableError: the model failed on these images.
        """
        ...

    async def inspect(self, image: ImageBytes) -> ImageInfo:
        """Decode fully, without the model; same errors as `embed`."""
        ...

    async def check(self) -> None:
        """Pass if the last forward worked or a real one works now.

        Raises:
            UnavailableError: the model does not compute, or has been at one forward
                for too long.
        """
        ...

    def load(self) -> EngineLoad:
        """Return how busy the engine is now."""
        ...
