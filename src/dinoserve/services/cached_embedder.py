"""An embedder that computes nothing twice."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass

from dinoserve.domain.assets import ImageInfo
from dinoserve.domain.framing import Framing
from dinoserve.ports import (
    Embedded,
    Embedder,
    EngineLoad,
    Features,
    ImageBytes,
    ModelCard,
    Slot,
)
from dinoserve.services.cached_values import (
    embedded_from_bytes,
    embedded_to_bytes,
    features_from_bytes,
    features_to_bytes,
)
from dinoserve.services.caching import TwoLevels
from dinoserve.services.making import Codec, Maker
from dinoserve.services.sources import told_as
from dinoserve.services.spooling import sha256_of


@dataclass(frozen=True, slots=True)
class CachedEmbedder:
    """Plays `Embedder`: from the cache by the SHA-256 of the bytes, else the engine.

    Answers are equal, tokens included, whether they were computed now or before.

    Attributes:
        engine: what computes.
        images: gives vectors.
        dense: gives features.
        request_patches: patches that the images of one call may become together.
    """

    engine: Embedder
    images: Maker[Embedded]
    dense: Maker[Features]
    request_patches: int

    @classmethod
    def over(
        cls, engine: Embedder, levels: TwoLevels, request_patches: int
    ) -> "CachedEmbedder":
        """Return the engine behind the cache."""
        return cls(
            engine,
            Maker(levels, Codec(embedded_to_bytes, embedded_from_bytes)),
            Maker(levels, Codec(features_to_bytes, features_from_bytes)),
            request_patches,
        )

    @property
    def card(self) -> ModelCard:
        """Return what is loaded."""
        return self.engine.card

    async def embed(self, images: Sequence[ImageBytes]) -> list[Embedded]:
        """Return one result per image, in order; errors as of the engine."""

        async def make(some: Sequence[int]) -> list[Embedded]:
            with told_as(_fields(some)):
                return await self.engine.embed([images[at] for at in some])

        recipe = self.card.recipe.id
        slots = [Slot("image", each, recipe) for each in await _digests(images)]
        return await self.images.values(slots, make)

    async def features(
        self, images: Sequence[ImageBytes], framing: Framing | None = None
    ) -> list[Features]:
        """Return every token of every image, in order; errors as of the engine."""

        async def make(some: Sequence[int]) -> list[Features]:
            with told_as(_fields(some)):
                return await self.engine.features([images[at] for at in some], framing)

        name = json.dumps([self.card.recipe.id, framing])
        slots = [Slot("features", each, name) for each in await _digests(images)]
        found = await self.dense.values(slots, make)
        patches = sum(each.geometry.rows * each.geometry.columns for each in found)
        if patches > self.request_patches:  # what was cached must not widen the limit
            return await self.engine.features(images, framing)
        return found

    async def inspect(self, image: ImageBytes) -> ImageInfo:
        """Decode fully, without the model; errors as of the engine."""
        return await self.engine.inspect(image)

    async def check(self) -> None:
        """Pass if the engine computes; raise UnavailableError."""
        await self.engine.check()

    def load(self) -> EngineLoad:
        """Return how busy the engine is now."""
        return self.engine.load()


async def _digests(images: Sequence[ImageBytes]) -> list[str]:
    return await asyncio.to_thread(lambda: [sha256_of(image) for image in images])


def _fields(positions: Sequence[int]) -> list[str]:
    return [f"images[{at}]" for at in positions]
