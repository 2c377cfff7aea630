"""Subjects: what assets show, as characters are compared by it."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dinoserve.domain.character_checks import Origin, Subject, subject
from dinoserve.domain.characters import Reference
from dinoserve.domain.features import Mask, parts_of, seen
from dinoserve.domain.foreground import MAX_PATCHES, cut_out, patches_of
from dinoserve.domain.framing import Framing
from dinoserve.domain.geometry import Geometry
from dinoserve.domain.places import patches_at
from dinoserve.domain.vectors import Vector
from dinoserve.errors import InvalidInputError
from dinoserve.ports import Features
from dinoserve.services.characters import CharacterService
from dinoserve.services.embeddings import EmbeddingService
from dinoserve.services.sources import Kept, bytes_of, told_as


class Looked(NamedTuple):
    """An asset's subject, and the picture it was seen in, encoded."""

    subject: Subject
    image: bytes


class _Seen(NamedTuple):
    """What was computed of an asset."""

    vector: Vector
    features: Features
    image: bytes


@dataclass(frozen=True, slots=True)
class SubjectService:
    """Looks at assets; what was computed of them before comes from the cache."""

    characters: CharacterService
    embeddings: EmbeddingService

    async def look(
        self, shown: Mapping[str, Reference], framing: Framing | None = None
    ) -> dict[str, Looked]:
        """Return what was seen, by the names that were given; each asset once.

        Args:
            shown: assets, each with where the subject is, by what the caller calls
                them.
            framing: size and fit of the features; None is what embeddings are made
                with.

        Raises:
            AssetNotFoundError, NotEmbeddedError, RecipeMismatchError: an asset cannot
                be compared.
            InvalidInputError: regions or framing cannot be used.
            OverloadedError, UnavailableError: see `Embedder.features`.
        """
        # An asset that has two names is told of under the second.
        names = {each.asset_id: name for name, each in shown.items()}
        seen_of = await self._look(names, framing)
        return {
            name: Looked(
                await self._subject(each, seen_of[each.asset_id], name),
                seen_of[each.asset_id].image,
            )
            for name, each in shown.items()
        }

    async def _look(
        self, names: Mapping[str, str], framing: Framing | None
    ) -> dict[str, _Seen]:
        """Return vectors and features by asset id; each is computed once."""
        vectors = await self.embeddings.vectors_of(list(names))
        fields, sources = list(names.values()), [Kept(each) for each in names]
        images = await bytes_of(sources, fields, self.embeddings.assets)
        with told_as(fields):
            found = await self.embeddings.embedder.features(images, framing)
        _check_patches(found)
        return {
            key: _Seen(vectors[key], features, image)
            for key, features, image in zip(names, found, images, strict=True)
        }

    async def _subject(self, shown: Reference, looked: _Seen, name: str) -> Subject:
        pixels = None
        if png := shown.region.mask:
            pixels = await self.characters.mask(png, f"{name}.mask")
        try:
            return await asyncio.to_thread(_subject, shown, looked, pixels)
        except InvalidInputError as error:
            raise error.at(f"{name}.{error.extra['field']}") from error


def _check_patches(found: Sequence[Features]) -> None:
    most = max(each.geometry.rows * each.geometry.columns for each in found)
    if most > MAX_PATCHES:
        raise InvalidInputError(
            f"A check takes {MAX_PATCHES} patches of a picture; here are {most}.",
            field="size",
            limit=MAX_PATCHES,
            value=most,
        )


def _subject(
    shown: Reference, looked: _Seen, pixels: NDArray[np.bool_] | None
) -> Subject:
    features, geometry = looked.features, looked.features.geometry
    parts = parts_of(
        features.tokens, features.registers, geometry.rows, geometry.columns
    )
    origin: Origin = "found"
    if shown.region.box is not None:
        mask, origin = patches_at(shown.region.box, geometry), "box"
    elif pixels is not None:
        mask, origin = _masked(pixels, geometry), "mask"
    else:
        mask = cut_out(parts.patches, seen(geometry))
    return subject((looked.vector, parts.patches), mask, geometry, origin)


def _masked(pixels: NDArray[np.bool_], geometry: Geometry) -> Mask:
    mask = patches_of(pixels, geometry)
    if mask.any():
        return mask
    raise InvalidInputError(
        "The framing cuts off all that the mask shows. Try fit `squash`.", field="mask"
    )
