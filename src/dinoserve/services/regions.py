"""Region search: a part of a picture, in whole pictures or in parts of them."""

import asyncio
import heapq
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dinoserve.domain.assets import Metadata
from dinoserve.domain.bitmaps import bmp
from dinoserve.domain.features import Mask, parts_of
from dinoserve.domain.foreground import patches_of
from dinoserve.domain.geometry import Box, Geometry
from dinoserve.domain.places import patches_at
from dinoserve.domain.regions import (
    Regions,
    box_of,
    cut,
    mean_look,
    method_of,
    pooled,
)
from dinoserve.domain.vectors import Vector
from dinoserve.errors import InvalidInputError
from dinoserve.ports import Features, PixelReader, Trait
from dinoserve.services.embeddings import EmbeddingService
from dinoserve.services.search import (
    Found,
    Given,
    SearchRequest,
    SearchResult,
    SearchService,
)
from dinoserve.services.sources import Kept, Source, bytes_of, told_as

CANDIDATES: Final = 1000
"""Assets whose stored regions are compared: the nearest by their whole pictures."""

_IMAGE, _BOX, _MASK = "query.region.image", "query.region.box", "query.region.mask"


@dataclass(frozen=True, slots=True)
class RegionQuery:
    """A part of a picture to search by.

    Attributes:
        source: the picture.
        place: a box in upright pixels, or a PNG whose pixels that are not black show
            the part.
        against: whole pictures, or the regions that are stored of them.
    """

    source: Source
    place: Box | bytes
    against: Literal["pictures", "regions"] = "pictures"


class RegionFound(NamedTuple):
    """A hit, and where in it; None: it was compared as a whole."""

    found: Found
    box: Box | None


class RegionResult(NamedTuple):
    """Hits, best first.

    Attributes:
        search: what the search of whole pictures told.
        without_regions: assets that were not compared because nothing is stored.
    """

    search: SearchResult
    hits: list[RegionFound]
    without_regions: int


class _Part(NamedTuple):
    """A part of a picture that is decoded."""

    image: bytes
    box: Box
    mask: NDArray[np.bool_] | None
    cut: bytes


@dataclass(frozen=True, slots=True)
class RegionService:
    """Searches by parts of pictures, and keeps what their regions look like."""

    search: SearchService
    embeddings: EmbeddingService
    pixels: PixelReader

    async def find(self, query: RegionQuery, request: SearchRequest) -> RegionResult:
        """Return the nearest assets; the asset that the region is of is left out.

        Args:
            query: the part.
            request: everything but the query.

        Raises:
            InvalidInputError: picture or place cannot be used, or nothing is stored of
                any asset that regions were to be compared with.
            DinoserveError: as `SearchService.search` and `Embedder.features`.
        """
        part = await self._part(query)
        with told_as([_IMAGE]):
            [embedded] = await self.embeddings.embedder.embed([part.cut])
        whole = replace(request, query=Given(embedded.vector, None))
        own = query.source.asset_id if isinstance(query.source, Kept) else None
        if query.against == "pictures":
            result = await self.search.search(replace(whole, k=request.k + 1))
            hits = [RegionFound(each, None) for each in _others(result, own)]
            return RegionResult(result, hits[: request.k], 0)
        look = await self._look(part)
        nearest = replace(whole, k=CANDIDATES, min_score=-1.0)
        return await self._among(await self.search.search(nearest), look, request, own)

    async def keep(self, asset_id: str) -> None:
        """Store what the regions of an asset look like; done before: nothing happens.

        Raises:
            DinoserveError: as `bytes_of` and `Embedder.features`.
        """
        traits = self.embeddings.documents.traits
        method = method_of(self.embeddings.recipe.id)
        if await traits.get([asset_id], method):
            return
        [image] = await bytes_of([Kept(asset_id)], ["input"], self.embeddings.assets)
        [features] = await self.embeddings.embedder.features([image])
        values = await asyncio.to_thread(_kept, features)
        await traits.put([Trait(asset_id, method, values)])

    async def _part(self, query: RegionQuery) -> _Part:
        name = "query.region.asset" if isinstance(query.source, Kept) else _IMAGE
        [image] = await bytes_of([query.source], [name], self.embeddings.assets)
        try:
            picture = await self.pixels.pixels(image)
        except InvalidInputError as error:
            raise error.at(name) from error
        height, width = picture.shape[:2]
        if isinstance(query.place, bytes):
            mask = await self._mask(query.place, (height, width))
            box = await asyncio.to_thread(box_of, mask)
        else:
            mask, box = None, _inside(query.place, width, height)
        data = await asyncio.to_thread(lambda: bmp(cut(picture, box, mask)))
        return _Part(image, box, mask, data)

    async def _mask(self, png: bytes, size: tuple[int, int]) -> NDArray[np.bool_]:
        try:
            picture = await self.pixels.pixels(png)
        except InvalidInputError as error:
            raise error.at(_MASK) from error
        if picture.shape[:2] != size:
            raise InvalidInputError(
                "The mask must have the size of the upright picture.",
                field=_MASK,
                limit=[size[1], size[0]],
                value=[picture.shape[1], picture.shape[0]],
            )
        mask = np.any(picture, axis=-1)
        if not mask.any():
            raise InvalidInputError("The mask is black all over.", field=_MASK)
        return mask

    async def _look(self, part: _Part) -> Vector:
        """Return the unit mean of the patches at a part of a picture."""
        with told_as([_IMAGE]):
            [features] = await self.embeddings.embedder.features([part.image])
        return await asyncio.to_thread(_look, features, part)

    async def _among(
        self,
        result: SearchResult,
        look: Vector,
        request: SearchRequest,
        own: str | None,
    ) -> RegionResult:
        """Return those of the hits whose regions are nearest."""
        others = _others(result, own)
        traits = self.embeddings.documents.traits
        kept = await traits.get(
            [each.asset.id for each in others], method_of(result.recipe)
        )
        if others and not kept:
            raise InvalidInputError(
                f"No regions are stored of collection {request.collection}. A job"
                " of kind `regions` makes them.",
                field="query.region.against",
                value="regions",
            )
        hits = await asyncio.to_thread(_ranked, others, kept, look, request)
        compared_all = result.exact and len(result.hits) < CANDIDATES
        result = replace(result, exact=compared_all)
        return RegionResult(result, hits, len(others) - len(kept))


def _others(result: SearchResult, own: str | None) -> list[Found]:
    return [each for each in result.hits if each.asset.id != own]


def _inside(box: Box, width: int, height: int) -> Box:
    left, top, right, bottom = box
    if 0 <= left < right <= width and 0 <= top < bottom <= height:
        return box
    raise InvalidInputError(
        f"The box must lie inside the picture, which is {width} x {height} pixels when"
        " upright, right and bottom above left and top.",
        field=_BOX,
        limit=[width, height],
        value=list(box),
    )


def _look(features: Features, part: _Part) -> Vector:
    geometry = features.geometry
    patches = parts_of(
        features.tokens, features.registers, geometry.rows, geometry.columns
    ).patches
    return mean_look(patches, _patches(part, geometry))


def _patches(part: _Part, geometry: Geometry) -> Mask:
    if part.mask is None:
        try:
            return patches_at(part.box, geometry)
        except InvalidInputError as error:
            raise error.at(_BOX) from error
    found = patches_of(part.mask, geometry)
    if found.any():
        return found
    raise InvalidInputError(
        "The framing of this server cuts off all that the mask shows.", field=_MASK
    )


def _kept(features: Features) -> Metadata:
    geometry = features.geometry
    parts = parts_of(
        features.tokens, features.registers, geometry.rows, geometry.columns
    )
    return pooled(parts.patches, geometry).to_json()


def _ranked(
    others: list[Found],
    kept: Mapping[str, Metadata],
    look: Vector,
    request: SearchRequest,
) -> list[RegionFound]:
    hits: list[RegionFound] = []
    for each in others:
        if values := kept.get(each.asset.id):
            score, box = Regions.read(values).best(look)
            if score >= request.min_score:
                hits.append(RegionFound(Found(each.asset, score), box))
    return heapq.nsmallest(
        request.k, hits, key=lambda hit: (-hit.found.score, hit.found.asset.id)
    )
