"""Reviewed pairs in a dictionary."""

from collections.abc import Mapping, Sequence

from dinoserve.domain.assets import Asset
from dinoserve.domain.character_reviews import ReviewedPair


class MemoryReviews:
    """`ports.ReviewStore` in a dictionary.

    Args:
        assets: records by id, as the document store has them.
    """

    def __init__(self, assets: Mapping[str, Asset]) -> None:
        self._assets = assets
        self._pairs: dict[tuple[str, str], ReviewedPair] = {}

    async def put(self, collection: str, reviewed: Sequence[ReviewedPair]) -> None:
        """Store each whose assets are of the collection."""
        for each in reviewed:
            sides = each.pair.left, each.pair.right
            if all(self._is_of(asset_id, collection) for asset_id in sides):
                self._pairs[sides] = each

    async def get(self, collection: str) -> list[ReviewedPair]:
        """Return all of a collection, by left id, then by right id."""
        return [
            each
            for _, each in sorted(self._pairs.items())
            if self._is_of(each.pair.left, collection)
        ]

    async def remove(self, collection: str) -> int:
        """Erase all of a collection; return how many there were."""
        found = await self.get(collection)
        for each in found:
            del self._pairs[each.pair.left, each.pair.right]
        return len(found)

    def forget(self, asset_id: str) -> None:
        """Erase the pairs that an asset is part of."""
        self._pairs = {
            sides: each for sides, each in self._pairs.items() if asset_id not in sides
        }

    def _is_of(self, asset_id: str, collection: str) -> bool:
        asset = self._assets.get(asset_id)
        return asset is not None and asset.collection == collection
