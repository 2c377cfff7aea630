"""Copying: everything one set of stores has into another, as often as one likes."""

import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from dinoserve.domain.assets import Asset
from dinoserve.domain.paging import MAX_PAGE, AssetQuery
from dinoserve.domain.vectors import Embedding, Vector
from dinoserve.errors import UnavailableError
from dinoserve.ports import AssetChanges, DocumentStore, Stores, Trait

MISSING: Final = "the record is missing"
"""What `CopyService.difference` says of an asset that the target lacks."""


@dataclass(frozen=True, slots=True)
class CopyService:
    """Copies asset by asset; what is there already is left as it is.

    Nobody else may change the source meanwhile. The source is only read.
    """

    source: Stores
    target: Stores

    async def copy_recipes(self) -> None:
        """Keep every recipe of the source in the target, in the same order."""
        for recipe in await self.source.documents.recipes():
            await self.target.documents.save_recipe(recipe)

    async def copy(self, asset: Asset) -> bool:
        """Copy an asset of the source; return False if nothing was lacking.

        Its bytes go first and its record last, so that what is cut off leaves nothing
        half-visible: at most bytes with a garbage mark.

        Raises:
            UnavailableError: a store failed, or the source lost the bytes.
            StorageFullError: the target is full.
        """
        documents = self.target.documents
        there = (await documents.get([asset.id])).get(asset.id)
        lacking = await self._lacking_vectors(asset)
        traits = await self._lacking_traits(asset)
        has_bytes = await self._has_bytes(asset)
        is_same = there is not None and _record(there) == _record(asset)
        if is_same and has_bytes and not (lacking or traits):
            return False
        if not (there and has_bytes):
            await self._copy_bytes(asset, has_bytes=has_bytes)
        await documents.add(asset, lacking[0] if lacking else None)
        for embedding in lacking[1:]:
            await documents.put(embedding)
        if there:
            await documents.update(asset.id, _changes(asset))
        await documents.traits.put(traits)
        return True

    async def difference(self, asset: Asset) -> str | None:
        """Return in what the target differs from the source's asset; None: nothing.

        Record, vectors and traits are compared, and the bytes are read and digested.
        """
        there = (await self.target.documents.get([asset.id])).get(asset.id)
        if there is None:
            return MISSING
        if _record(there) != _record(asset):
            return "the record differs"
        if await self._lacking_vectors(asset):
            return "vectors are missing or differ"
        if await self._lacking_traits(asset):
            return "what was measured is missing or differs"
        return await self._difference_in_bytes(asset)

    async def _difference_in_bytes(self, asset: Asset) -> str | None:
        if not await self._has_bytes(asset):
            return "the bytes are missing or cut short"
        if await self._digest(asset) != asset.sha256:
            return "the bytes have another digest"
        return None

    async def _lacking_vectors(self, asset: Asset) -> list[Embedding]:
        lacking: list[Embedding] = []
        for recipe in (ref.recipe for ref in asset.embeddings):
            own = await _vector(self.source.documents, asset.id, recipe)
            there = await _vector(self.target.documents, asset.id, recipe)
            if own is not None and (there is None or not np.array_equal(own, there)):
                lacking.append(Embedding(asset.id, recipe, own))
        return lacking

    async def _lacking_traits(self, asset: Asset) -> list[Trait]:
        there = await self.target.documents.traits.of(asset.id)
        own = await self.source.documents.traits.of(asset.id)
        return [trait for trait in own if trait not in there]

    async def _has_bytes(self, asset: Asset) -> bool:
        return await self.target.objects.size(asset.sha256) == asset.size_bytes

    async def _copy_bytes(self, asset: Asset, *, has_bytes: bool) -> None:
        sha256, size_bytes = asset.sha256, asset.size_bytes
        if not await self.target.documents.mark(sha256):
            raise UnavailableError(
                "The target erases the same bytes; copy again.", port="objects"
            )
        if has_bytes:
            return
        if await self.source.objects.size(sha256) != size_bytes:
            raise UnavailableError(
                "The original is missing from the source, or cut short.", port="objects"
            )
        data = self.source.objects.read(sha256, 0, size_bytes)
        await self.target.objects.put(sha256, data)

    async def _digest(self, asset: Asset) -> str:
        digest = hashlib.sha256()
        objects = self.target.objects
        async for chunk in objects.read(asset.sha256, 0, asset.size_bytes):
            digest.update(chunk)
        return digest.hexdigest()


async def pages(documents: DocumentStore) -> AsyncIterator[list[Asset]]:
    """Yield every asset of the store, `MAX_PAGE` at a time, newest first."""
    query = AssetQuery(limit=MAX_PAGE)
    while True:
        page = await documents.find(query)
        yield page.assets
        if page.next is None:
            return
        query = replace(query, after=page.next)


def _record(asset: Asset) -> Asset:
    return replace(asset, embeddings=())


def _changes(asset: Asset) -> AssetChanges:
    return AssetChanges(
        tags=asset.tags,
        metadata=asset.metadata,
        subject=asset.subject,
        clear_subject=asset.subject is None,
    )


async def _vector(
    documents: DocumentStore, asset_id: str, recipe: str
) -> Vector | None:
    return (await documents.vectors([asset_id], recipe)).get(asset_id)
