"""What computes: from encoded bytes to vectors."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from dinoserve.domain.assets import ImageInfo
from dinoserve.domain.recipes import Recipe
from dinoserve.domain.vectors import Vector


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
class ModelCard:
    """What is loaded and how.

    Attributes:
        kind: `dinov3_vit`, `dinov3_convnext` or `stub`.
        engine: `torch`, `openvino` or `stub`.
        note: what an operator must know about these weights; empty if nothing.
        licence: the licence the weights come under, as far as known.
    """

    recipe: Recipe
    kind: str
    engine: str
    device: str
    precision: str
    parameters: int
    note: str
    licence: str
    details: Mapping[str, object] = field(default_factory=dict[str, object])


class EngineLoad(NamedTuple):
    """How busy the engine is: images admitted, and how many it would admit."""

    waiting: int
    capacity: int


class Embedder(Protocol):
    """From encoded bytes to vectors."""

    @property
    def card(self) -> ModelCard:
        """Return what is loaded."""
        ...

    async def embed(self, images: Sequence[bytes]) -> list[Embedded]:
        """Return one result per image, in order.

        Raises:
            InvalidInputError: an image cannot be used; `field` is `images[i]`.
            OverloadedError: at once, when too many images wait.
            UnavailableError: the model failed on these images.
        """
        ...

    async def inspect(self, image: bytes) -> ImageInfo:
        """Decode fully, without the model; same errors as `embed`."""
        ...

    async def check(self) -> None:
        """Pass if the last forward worked or a real one works now.

        Raises:
            UnavailableError: the model does not compute.
        """
        ...

    def load(self) -> EngineLoad:
        """Return how busy the engine is now."""
        ...
