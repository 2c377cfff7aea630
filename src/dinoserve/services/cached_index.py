"""An index that remembers what it found until its vectors change."""

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count

from dinoserve.domain.recent import Recent
from dinoserve.domain.vectors import Matrix, Vector, to_bytes
from dinoserve.ports import Nearest, Slot, Space, VectorIndex
from dinoserve.services.cached_values import nearest_from_bytes, nearest_to_bytes
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
    _names: Recent[frozenset[str], int] = field(
        default_factory=Recent[frozenset[str], int]
    )
    _numbers: Iterator[int] = field(default_factory=count)

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
    ) -> Nearest:
        """Return the k greatest cosines, best first, ties by asset id."""
        name = self._name(query, k, among, exact=exact)
        if name is None:
            return await self.index.search(space, query, k, among, exact=exact)
        slot = Slot("hits", _owner(space), name)
        [look] = await self.levels.read([slot])
        if look.value:
            return nearest_from_bytes(look.value)
        found = await self.index.search(space, query, k, among, exact=exact)
        await self.levels.write([(look, nearest_to_bytes(found))])
        return found

    async def retain(self, recipe: str, kept: Mapping[str, Collection[str]]) -> None:
        """Remove every row that is not named here; what was remembered goes too."""
        await self.index.retain(recipe, kept)
        await self.levels.erase([_owner(Space(name, recipe)) for name in kept])

    def _name(
        self, query: Vector, k: int, among: Collection[str] | None, *, exact: bool
    ) -> str | None:
        """Return what decides the hits; None: nothing that can be told cheaply."""
        name = f"{k}/{hashlib.sha256(to_bytes(query)).hexdigest()}"
        name += "/exact" if exact else ""
        if among is None:
            return name
        if not isinstance(among, frozenset):
            return None
        number = self._names.get(among)
        if number is None:
            number = next(self._numbers)
            self._names.put(among, number, len(among))
        return f"{name}/{number}"

    async def count(self, space: Space) -> int:
        """Return how many vectors the space holds. Absent: 0."""
        return await self.index.count(space)

    async def ping(self) -> str:
        """Return what the index is."""
        return await self.index.ping()


def _owner(space: Space) -> str:
    return f"{space.collection}/{space.recipe}"
