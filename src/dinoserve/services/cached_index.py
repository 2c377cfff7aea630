"""An index that remembers what it found until its vectors change."""

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from dinoserve.domain.similarity import Hit
from dinoserve.domain.vectors import Matrix, Vector, to_bytes
from dinoserve.ports import Slot, Space, VectorIndex
from dinoserve.services.cached_values import hits_from_bytes, hits_to_bytes
from dinoserve.services.caching import TwoLevels


@dataclass(frozen=True, slots=True)
class CachedIndex:
    """Plays `VectorIndex`: hits from the cache, else the index.

    Attributes:
        index: what searches.
        levels: of this process alone: the index of another may be behind.
    """

    index: VectorIndex
    levels: TwoLevels

    @property
    def is_exact(self) -> bool:
        """Tell whether every search compares with every vector of its space."""
        return self.index.is_exact

    @property
    def reads_store(self) -> bool:
        """Tell whether it finds what the document store keeps by itself."""
        return self.index.reads_store

    async def upsert(self, space: Space, ids: Sequence[str], vectors: Matrix) -> None:
        """Add or replace rows. The next search sees them."""
        await self.index.upsert(space, ids, vectors)
        await self.levels.erase([_owner(space)])

    async def delete(self, space: Space, ids: Collection[str]) -> None:
        """Remove rows. Absent: nothing happens. The next search misses them."""
        await self.index.delete(space, ids)
        await self.levels.erase([_owner(space)])

    async def search(
        self,
        space: Space,
        query: Vector,
        k: int,
        among: Collection[str] | None,
        *,
        exact: bool = False,
    ) -> list[Hit]:
        """Return the k greatest cosines, best first, ties by asset id."""
        slot = Slot("hits", _owner(space), _name(query, k, among, exact=exact))
        [look] = await self.levels.read([slot])
        if look.value:
            return hits_from_bytes(look.value)
        hits = await self.index.search(space, query, k, among, exact=exact)
        await self.levels.write([(look, hits_to_bytes(hits))])
        return hits

    async def count(self, space: Space) -> int:
        """Return how many vectors the space holds. Absent: 0."""
        return await self.index.count(space)

    async def ping(self) -> str:
        """Return what the index is."""
        return await self.index.ping()


def _owner(space: Space) -> str:
    return f"{space.collection}/{space.recipe}"


def _name(query: Vector, k: int, among: Collection[str] | None, *, exact: bool) -> str:
    digest = hashlib.sha256(to_bytes(query))
    if among is not None:
        digest.update("".join(["|", *sorted(among)]).encode())
    return f"{k}/{digest.hexdigest()}" + ("/exact" if exact else "")
