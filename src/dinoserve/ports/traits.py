"""What was measured of assets, kept so that it is measured once."""

from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from typing import NamedTuple, Protocol

from dinoserve.domain.assets import Metadata


class Trait(NamedTuple):
    """What one method found of one asset.

    Attributes:
        method: name and version of what measured, e.g. `quality-1`: another version is
            another method. At most 80 characters of `[a-z0-9._:-]`.
        values: JSON, at most 64 KiB.
    """

    asset_id: str
    method: str
    values: Metadata


class TraitStore(Protocol):
    """Traits of assets; they go with the asset, whoever erases it."""

    async def put(self, traits: Sequence[Trait]) -> None:
        """Store each, in place of the one of same asset and method.

        Of an asset that is not there: nothing is stored.
        """
        ...

    async def get(self, ids: Collection[str], method: str) -> Mapping[str, Metadata]:
        """Return the values by asset id. Absent: left out."""
        ...

    async def of(self, asset_id: str) -> Sequence[Trait]:
        """Return every trait of an asset. Order: by method."""
        ...

    def scan(self, collection: str, method: str) -> AsyncGenerator[Sequence[Trait]]:
        """Yield all of a collection in batches. Order: by asset id."""
        ...
