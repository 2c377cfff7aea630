"""Losses: records whose bytes are gone are found, and erased if that is wanted."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from dinoserve.domain.assets import Asset
from dinoserve.domain.digests import DigestTable
from dinoserve.domain.vectors import Embedding
from dinoserve.services.copying import pages
from dinoserve.services.orphans import OrphanService, Told, too_many

_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class Losses:
    """Assets whose originals are missing or have another size, of so many in all."""

    assets: Sequence[Asset]
    total: int

    @property
    def are_too_many(self) -> bool:
        """Tell whether this looks like the wrong object store; see `too_many`."""
        return too_many(len(self.assets), self.total)


@dataclass(frozen=True, slots=True)
class LossService:
    """Finds and erases assets without their originals, while others write."""

    orphans: OrphanService

    async def find(self, stored: DigestTable, told: Told) -> Losses:
        """Return the assets whose originals are lost, in one pass over all records.

        Args:
            stored: every original that was there a moment ago; what it lacks is asked
                for once more.
            told: of how many records were looked at.

        Raises:
            UnavailableError: a store failed.
        """
        lost: list[Asset] = []
        total = 0
        async for assets in pages(self.orphans.documents):
            sizes = stored.sizes([asset.sha256 for asset in assets])
            pairs = zip(assets, sizes, strict=True)
            doubtful = [asset for asset, size in pairs if size != asset.size_bytes]
            lost += await self._confirmed(doubtful)
            total += len(assets)
            told("records", total)
        return Losses(lost, total)

    async def erase(self, asset_id: str) -> bool:
        """Erase record and vectors of an asset whose original is lost at another look.

        Giving the same bytes again makes the same asset, without what was said of it.

        Returns:
            False: the original is there, or somebody erased the asset.
        """
        documents = self.orphans.documents
        asset = (await documents.get([asset_id])).get(asset_id)
        if asset is None or await self._is_there(asset):
            return False
        embeddings = await self._embeddings(asset)
        await documents.remove(asset.id)
        if await self._is_there(asset):
            # Given again between the look and the erasure, and acknowledged.
            await self._put_back(asset, embeddings)
            return False
        await self.orphans.remove("originals", asset.sha256)
        return True

    async def _confirmed(self, doubtful: Sequence[Asset]) -> list[Asset]:
        turns = asyncio.Semaphore(_AT_ONCE)

        async def is_lost(asset: Asset) -> bool:
            async with turns:
                return not await self._is_there(asset)

        lost = await asyncio.gather(*map(is_lost, doubtful))
        return [asset for asset, is_so in zip(doubtful, lost, strict=True) if is_so]

    async def _is_there(self, asset: Asset) -> bool:
        originals = self.orphans.areas["originals"]
        return await originals.size(asset.sha256) == asset.size_bytes

    async def _embeddings(self, asset: Asset) -> list[Embedding]:
        found: list[Embedding] = []
        for recipe in (ref.recipe for ref in asset.embeddings):
            vectors = await self.orphans.documents.vectors([asset.id], recipe)
            found += [Embedding(key, recipe, vectors[key]) for key in vectors]
        return found

    async def _put_back(self, asset: Asset, embeddings: Sequence[Embedding]) -> None:
        documents = self.orphans.documents
        await documents.add(asset, None)
        for embedding in embeddings:
            await documents.put(embedding)
