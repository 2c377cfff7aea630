"""Fingerprints of assets: made once of the decoded picture, and kept as traits."""

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from dinoserve.domain.assets import Asset
from dinoserve.domain.fingerprints import METHOD, Fingerprint, fingerprint
from dinoserve.ports import PixelReader, Trait
from dinoserve.services.assets import AssetService
from dinoserve.services.originals import unless_lost
from dinoserve.services.quality import Line


@dataclass(frozen=True, slots=True)
class FingerprintService:
    """Gives fingerprints; those of the same bytes are equal.

    Attributes:
        line: of pictures that are measured while callers wait.
    """

    assets: AssetService
    reader: PixelReader
    line: Line

    async def known(self, ids: Collection[str]) -> Mapping[str, Fingerprint]:
        """Return the fingerprints that are kept. Absent: left out."""
        kept = await self.assets.documents.traits.get(ids, METHOD)
        return {key: Fingerprint.read(values) for key, values in kept.items()}

    async def of(self, assets: Collection[Asset]) -> dict[str, Fingerprint]:
        """Return the fingerprint of every asset by id; those that lack one get it.

        Raises:
            AssetNotFoundError: one was erased meanwhile.
            OverloadedError: at once, when too many pictures wait to be measured.
            UnavailableError: an original cannot be read.
        """
        found = dict(await self.known([asset.id for asset in assets]))

        async def one(asset: Asset) -> None:
            async with self.line.turns:
                found[asset.id] = await self.make(asset)

        lacking = [asset for asset in assets if asset.id not in found]
        with self.line.hold(len(lacking)):
            tasks = [asyncio.create_task(one(asset)) for asset in lacking]
            try:
                await asyncio.gather(*tasks)
            finally:
                for task in tasks:  # after one failed, the others work for nobody
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
        return found

    async def make(self, asset: Asset) -> Fingerprint:
        """Return the fingerprint of an asset, made anew and kept; errors as `of`."""
        picture = await self.reader.pixels(await self.original(asset))
        made = await asyncio.to_thread(fingerprint, picture)
        trait = Trait(asset.id, METHOD, made.to_json())
        await self.assets.documents.traits.put([trait])
        return made

    async def original(self, asset: Asset) -> bytes:
        """Return the asset's bytes; errors as `AssetService.read`."""
        pieces = await self.assets.read(asset, 0, asset.size_bytes)
        return b"".join([piece async for piece in pieces])

    async def make_or_give_up(self, asset: Asset) -> None:
        """Make and keep a fingerprint.

        Raises:
            NotFoundError: the original is lost for good.
            DinoserveError: as `of`.
        """
        async with unless_lost(self.assets, asset.id):
            await self.make(asset)
