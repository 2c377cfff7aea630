"""Dense features: tokens of images, their principal components, cosine maps."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

import numpy as np

from dinoserve.domain.features import (
    Basis,
    Colours,
    Mask,
    TokenParts,
    Tokens,
    component_colours,
    cosine_map,
    foregrounds,
    heat_colours,
    mean_of,
    parts_of,
    principal,
    seen,
    with_alpha,
)
from dinoserve.domain.framing import Framing
from dinoserve.domain.geometry import Geometry
from dinoserve.domain.places import Place, patches_at
from dinoserve.domain.recipes import Recipe
from dinoserve.errors import InvalidInputError
from dinoserve.ports import Embedder, Features, Renderer
from dinoserve.services.assets import AssetService
from dinoserve.services.sources import Source, bytes_of, told_as

Output: TypeAlias = Literal["cls", "patches", "registers", "mean"]

_OVERLAY_ALPHA = 150
"""How much of the picture a map hides, of 255."""


class ImageFeatures(NamedTuple):
    """What was asked for of one image.

    Attributes:
        arrays: float32, by name: `cls` and `mean` (d,), `patches` (rows, columns, d),
            `registers` (registers, d); raw, after the final norm.
    """

    recipe: Recipe
    geometry: Geometry
    arrays: dict[Output, Tokens]


class ComponentPicture(NamedTuple):
    """Principal components of one image as a picture, and what they are."""

    recipe: Recipe
    geometry: Geometry
    basis: Basis
    png: bytes


class SimilarityMap(NamedTuple):
    """Cosines of one place to every patch of an image.

    Attributes:
        values: float32 (rows, columns), each in [-1, 1].
        best: row and column of the greatest among the patches that show the image.
        image: the encoded image that the map is of.
    """

    recipe: Recipe
    geometry: Geometry
    values: Tokens
    best: tuple[int, int]
    image: bytes


@dataclass(frozen=True, slots=True)
class FeatureService:
    """Gives what the model makes of every patch."""

    embedder: Embedder
    assets: AssetService
    renderer: Renderer

    async def extract(
        self,
        sources: Sequence[Source],
        framing: Framing | None,
        outputs: Sequence[Output],
    ) -> list[ImageFeatures]:
        """Return the outputs of every source, in order; all of them or an error.

        Args:
            sources: images; what is not an asset is not kept.
            framing: size and fit; None is what embeddings are made with.
            outputs: which arrays; `mean` is that of the patches that show the image,
                not of padding.

        Raises:
            InvalidInputError: an image (`input[i]`), `size`, `fit` or `outputs` cannot
                be used.
            DinoserveError: as `bytes_of` and `Embedder.features`.
        """
        card = self.embedder.card
        if "registers" in outputs and not card.registers:
            raise InvalidInputError(
                f"The model {card.recipe.model} has no registers.",
                field="outputs",
                value="registers",
            )
        _, found = await self._features(sources, _fields(sources), framing)
        return await asyncio.to_thread(
            lambda: [_chosen(features, outputs) for features in found]
        )

    async def components(
        self,
        sources: Sequence[Source],
        framing: Framing | None,
        *,
        foreground: bool = False,
        shared: bool = False,
    ) -> list[ComponentPicture]:
        """Return the first three principal components of every source as a picture.

        Args:
            sources: images.
            framing: size and fit; None is what embeddings are made with.
            foreground: leave out the patches that `domain.features.foregrounds` takes
                for background, from the components and from the picture.
            shared: one basis and one scale of colours for all, so that colours can be
                compared between pictures; else each has its own.

        Raises:
            DinoserveError: as `extract`.
        """
        _, found = await self._features(sources, _fields(sources), framing)
        groups = [found] if shared else [[features] for features in found]
        pictures: list[ComponentPicture] = []
        for group in groups:
            basis, colours = await asyncio.to_thread(
                _components, group, foreground=foreground
            )
            for features, painted in zip(group, colours, strict=True):
                png = await self.renderer.png(painted, features.geometry)
                pictures.append(
                    ComponentPicture(features.recipe, features.geometry, basis, png)
                )
        return pictures

    async def similarity(
        self,
        source: Source,
        target: Source | None,
        at: Place,
        framing: Framing | None,
    ) -> SimilarityMap:
        """Return the cosine of a place in one image to every patch of another.

        Args:
            source: the image that the place is in.
            target: the image that is searched; None is the source itself.
            at: a point: the patch it lies in; or a box: the mean of all patches that
                it overlaps.
            framing: size and fit of both; None is what embeddings are made with.

        Raises:
            InvalidInputError: the place (`point`, `box`) lies outside the picture or
                in what the framing cut off; or as `extract`, of `source`, `target`.
        """
        sources = [source] if target is None or target == source else [source, target]
        fields = ["source", "target"][: len(sources)]
        images, found = await self._features(sources, fields, framing)
        return await asyncio.to_thread(_compare, found[0], at, found[-1], images[-1])

    async def overlay(self, found: SimilarityMap) -> bytes:
        """Return the map as a PNG over its image.

        Colours go from the least value to the greatest of this map.
        """
        colours = await asyncio.to_thread(_overlay_colours, found)
        return await self.renderer.png(colours, found.geometry, found.image)

    async def _features(
        self,
        sources: Sequence[Source],
        fields: Sequence[str],
        framing: Framing | None,
    ) -> tuple[list[bytes], list[Features]]:
        images = await bytes_of(sources, fields, self.assets)
        with told_as(fields):
            return images, await self.embedder.features(images, framing)


def _fields(sources: Sequence[Source]) -> list[str]:
    return [f"input[{at}]" for at in range(len(sources))]


def _parts(features: Features) -> TokenParts:
    geometry = features.geometry
    return parts_of(
        features.tokens, features.registers, geometry.rows, geometry.columns
    )


def _chosen(features: Features, outputs: Sequence[Output]) -> ImageFeatures:
    parts = _parts(features)
    arrays: dict[Output, Tokens] = {}
    for output in outputs:
        match output:
            case "cls":
                arrays[output] = parts.cls
            case "registers":
                arrays[output] = parts.registers
            case "patches":
                arrays[output] = parts.patches
            case "mean":
                arrays[output] = mean_of(parts.patches[seen(features.geometry)])
    return ImageFeatures(features.recipe, features.geometry, arrays)


def _components(
    group: Sequence[Features], *, foreground: bool
) -> tuple[Basis, list[Colours]]:
    patches = [_parts(features).patches for features in group]
    shown = [seen(features.geometry) for features in group]
    basis = _basis(patches, shown)
    if foreground:
        first = [basis.scores(each)[..., 0] for each in patches]
        shown = foregrounds(first, shown)
        basis = _basis(patches, shown)
    return basis, component_colours([basis.scores(each) for each in patches], shown)


def _basis(patches: Sequence[Tokens], shown: Sequence[Mask]) -> Basis:
    pairs = zip(patches, shown, strict=True)
    return principal(np.concatenate([each[mask] for each, mask in pairs]))


def _compare(
    source: Features, at: Place, target: Features, image: bytes
) -> SimilarityMap:
    query = mean_of(_parts(source).patches[patches_at(at, source.geometry)])
    values = cosine_map(query, _parts(target).patches)
    shown = np.where(seen(target.geometry), values, -np.inf)
    row, column = divmod(int(np.argmax(shown)), values.shape[1])
    return SimilarityMap(target.recipe, target.geometry, values, (row, column), image)


def _overlay_colours(found: SimilarityMap) -> Colours:
    shown = seen(found.geometry)
    return with_alpha(heat_colours(found.values, shown), shown, _OVERLAY_ALPHA)
