"""A document store whose hot records and vectors need not be read again."""

import asyncio
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Collection,
    Sequence,
)
from collections.abc import (
    Set as AbstractSet,
)
from dataclasses import dataclass
from typing import TypeVar

from dinoserve.domain.assets import Asset, Filter
from dinoserve.domain.paging import AssetQuery, Page
from dinoserve.domain.recipes import Recipe
from dinoserve.domain.vectors import Embedding, Vector, from_bytes, to_bytes
from dinoserve.ports import (
    AssetChanges,
    CharacterStore,
    DocumentStore,
    IndexEntry,
    JobStore,
    RelationLog,
    RelationStore,
    Slot,
    TraitStore,
)
from dinoserve.services.cached_ids import ASSETS, CachedIds
from dinoserve.services.cached_values import asset_from_bytes, asset_to_bytes
from dinoserve.services.caching import TwoLevels
from dinoserve.services.making import Codec

_T = TypeVar("_T")
_VECTOR = Codec(to_bytes, from_bytes)
_RECORD = Codec(asset_to_bytes, asset_from_bytes)


@dataclass(frozen=True, slots=True)
class CachedDocuments:
    """Plays `DocumentStore`: records and vectors from the cache, else the store.

    A write is acknowledged after the cache has forgotten what it changed.

    Attributes:
        store: the truth.
        levels: where records and vectors are kept.
        trusts_records: `get` may answer from the cache. Not for whoever writes: what
            is stored must not hang on what a cache believes.
        sets: what filters leave; None: the store is asked every time.
    """

    store: DocumentStore
    levels: TwoLevels
    trusts_records: bool = True
    sets: CachedIds | None = None

    @property
    def jobs(self) -> JobStore:
        """Return the jobs; they are not cached."""
        return self.store.jobs

    @property
    def characters(self) -> CharacterStore:
        """Return characters and checks of them; they are not cached."""
        return self.store.characters

    @property
    def traits(self) -> TraitStore:
        """Return what was measured of assets; it is not cached."""
        return self.store.traits

    @property
    def relations(self) -> RelationStore:
        """Return relations between assets and more; they are not cached."""
        return self.store.relations

    @property
    def relation_log(self) -> RelationLog:
        """Return what others have yet to be told of the relations."""
        return self.store.relation_log

    async def add(self, asset: Asset, embedding: Embedding | None) -> bool:
        """Store asset and embedding together; return True if the asset is new."""
        return await self._change(self.store.add(asset, embedding), [asset.id])

    async def get(self, ids: Collection[str]) -> dict[str, Asset]:
        """Return the assets by id. Absent: left out."""
        if not self.trusts_records:
            return await self.store.get(ids)
        slots = [Slot("record", key) for key in ids]
        return await self._read(slots, _RECORD, self.store.get)

    async def find(self, query: AssetQuery) -> Page:
        """Return a page. Order: newest first, then by descending id."""
        return await self.store.find(query)

    async def ids(self, collection: str, where: Filter) -> AbstractSet[str]:
        """Return the ids of every asset of the collection that matches.

        What a filter leaves is the same frozenset until some record changes.
        """
        if self.sets is None or not where:
            return await self.store.ids(collection, where)

        async def load() -> AbstractSet[str]:
            return await self.store.ids(collection, where)

        return await self.sets.read(f"{collection}/{where!r}", load)

    async def update(self, asset_id: str, changes: AssetChanges) -> Asset:
        """Return the asset after the change. Absent: AssetNotFoundError."""
        return await self._change(self.store.update(asset_id, changes), [asset_id])

    async def remove(self, asset_id: str) -> Asset:
        """Erase record and embeddings, and what the cache has of record and bytes."""

        async def erase() -> Asset:
            erased = await self.store.remove(asset_id)
            await self.levels.erase([asset_id, erased.sha256])
            return erased

        return await self._change(erase(), [asset_id])

    async def put(self, embedding: Embedding) -> None:
        """Store or replace. Absent asset: AssetNotFoundError."""
        await self._change(self.store.put(embedding), [embedding.asset_id])

    async def vectors(self, ids: Collection[str], recipe: str) -> dict[str, Vector]:
        """Return float32 vectors by asset id. Absent: left out."""

        async def load(missing: Collection[str]) -> dict[str, Vector]:
            return await self.store.vectors(missing, recipe)

        slots = [Slot("vector", key, recipe) for key in ids]
        return await self._read(slots, _VECTOR, load)

    def scan(self, recipe: str) -> AsyncIterator[Sequence[IndexEntry]]:
        """Yield every vector of the recipe in batches of bounded size."""
        return self.store.scan(recipe)

    async def counts(
        self, collection: str | None = None, lacking: str | None = None
    ) -> dict[str, int]:
        """Return how many embeddings each recipe id has; none: left out."""
        return await self.store.counts(collection, lacking)

    async def save_recipe(self, recipe: Recipe) -> None:
        """Keep the recipe's contents under its id; twice is the same as once."""
        await self.store.save_recipe(recipe)

    async def recipes(self) -> list[Recipe]:
        """Return every recipe kept. Order: as first kept."""
        return await self.store.recipes()

    async def mark(self, sha256: str) -> bool:
        """Note that bytes may soon have no asset; False: they are being erased."""
        return await self.store.mark(sha256)

    async def condemn(self, sha256: str) -> None:
        """Mark the bytes, as long ago, unless marked or an asset has them."""
        await self.store.condemn(sha256)

    async def unreferenced(self, older_s: float = 0) -> list[str]:
        """Return the digests that were marked so long ago and that no asset has."""
        return await self.store.unreferenced(older_s)

    async def referenced(self, digests: Collection[str]) -> set[str]:
        """Return those of these digests that some asset has."""
        return await self.store.referenced(digests)

    async def claim(self, sha256: str, older_s: float) -> bool:
        """Claim an old mark; False: there is none, or an asset has the bytes."""
        return await self.store.claim(sha256, older_s)

    async def clear(self, sha256: str) -> None:
        """Take a claimed mark off; else nothing happens."""
        await self.store.clear(sha256)

    async def drop(self, recipe: str, keep: str, collection: str | None) -> list[str]:
        """Erase vectors, and what the cache has of their assets; return whose."""

        async def erase() -> list[str]:
            dropped = await self.store.drop(recipe, keep, collection)
            await self.levels.erase(dropped)
            return dropped

        return await self._change(erase(), [])

    async def size(self) -> int | None:
        """Return the bytes of the database; None: it keeps its space by itself."""
        return await self.store.size()

    async def shrink(self) -> bool:
        """Give some space back that nothing uses; tell whether there may be more."""
        return await self.store.shrink()

    async def ping(self) -> str:
        """Return name and version of the store; raise UnavailableError."""
        return await self.store.ping()

    async def _read(
        self,
        slots: Collection[Slot],
        codec: Codec[_T],
        load: Callable[[Collection[str]], Awaitable[dict[str, _T]]],
    ) -> dict[str, _T]:
        """Return values by owner; what the store does not have is noted as absent."""
        looks = await self.levels.read(slots)
        missed = [look for look in looks if look.value is None]
        found = {
            look.slot.owner: codec.decode(look.value) for look in looks if look.value
        }
        if missed:
            loaded = await load([look.slot.owner for look in missed])
            made = [(look, loaded.get(look.slot.owner)) for look in missed]
            await self.levels.write(
                [
                    (look, b"" if value is None else codec.encode(value))
                    for look, value in made
                ]
            )
            found |= loaded
        return found

    async def _change(self, work: Awaitable[_T], owners: Collection[str]) -> _T:
        """Finish the work and forget the owners, even if it fails or nobody waits."""

        async def whole() -> _T:
            try:
                return await work
            finally:
                await self.levels.erase(owners)
                await self.levels.local.erase([ASSETS])

        return await asyncio.shield(asyncio.ensure_future(whole()))
