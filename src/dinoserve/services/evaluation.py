"""Evaluation: how well the model tells pictures apart, beside simple baselines."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from dinoserve.domain.baselines import (
    HASH,
    HISTOGRAM,
    colour_histogram,
    perceptual_hash,
)
from dinoserve.domain.evaluation import Looks, Row, measure
from dinoserve.domain.labelled_sets import Plan
from dinoserve.domain.vectors import Vector
from dinoserve.ports import Embedder, PixelReader


@dataclass(frozen=True, slots=True)
class EvaluationService:
    """Looks at pictures with the model and without, and measures what that tells.

    Attributes:
        embedder: the model that is evaluated.
        pixels: decodes for the baselines.
        distort: encoded picture and name of a distortion → encoded picture; blocks.
        distortions: the names it knows.
    """

    embedder: Embedder
    pixels: PixelReader
    distort: Callable[[bytes, str], bytes]
    distortions: Sequence[str]

    @property
    def methods(self) -> Sequence[str]:
        """Return what is compared: the model, then the baselines."""
        return self.embedder.card.recipe.model, HISTOGRAM, HASH

    async def look(
        self, image: bytes, distortion: str | None = None
    ) -> Mapping[str, Vector]:
        """Return a vector of each method; products of two are scores in [-1, 1].

        Raises:
            InvalidInputError: the image cannot be used.
            OverloadedError: too many images wait.
            UnavailableError: the model failed.
        """
        if distortion is not None:
            image = await asyncio.to_thread(self.distort, image, distortion)
        [embedded] = await self.embedder.embed([image])
        picture = await self.pixels.pixels(image)
        histogram = await asyncio.to_thread(colour_histogram, picture)
        look = await asyncio.to_thread(perceptual_hash, picture)
        vectors = (embedded.vector, histogram, look)
        return dict(zip(self.methods, vectors, strict=True))

    async def measure(self, planned: Plan, looks: Looks) -> list[Row]:
        """Return every measure that the set allows; see `domain.evaluation.measure`."""
        return await asyncio.to_thread(measure, planned, looks)
