"""Relations that were found: kept as they are found now, beside those people say."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from dinoserve.domain.relations import Direction, Reach, Relation, RelationKey, node_of
from dinoserve.errors import NodeNotFoundError, UnavailableError
from dinoserve.ports import DocumentStore

SAID: Final = "user"
"""Origin of relations that somebody put: nothing that is found replaces them."""

_BATCH: Final = 1000
_MOST: Final = 1_000_000
_TRIES: Final = 5


class Replaced(NamedTuple):
    """How many relations were stored, new or changed, and how many erased."""

    put: int
    removed: int

    def plus(self, other: "Replaced") -> "Replaced":
        """Return both together."""
        return Replaced(self.put + other.put, self.removed + other.removed)


@dataclass(frozen=True, slots=True)
class Relating:
    """Brings relations in step with what was found; doing it twice changes nothing.

    Attributes:
        documents: the truth: what a cache believes to be there may be erased.
    """

    documents: DocumentStore

    async def present(
        self, nodes: Collection[str], kinds: Collection[str], direction: Direction
    ) -> list[Relation]:
        """Return the relations of these kinds that lead from these nodes."""
        reach = Reach(kinds, direction=direction)
        edges = await self.documents.relations.touching(nodes, reach, _MOST)
        return await self.of([edge.key for edge in edges])

    async def of(self, keys: Sequence[RelationKey]) -> list[Relation]:
        """Return these relations. Absent: left out."""
        found: list[Relation] = []
        for start in range(0, len(keys), _BATCH):
            found += await self.documents.relations.get(keys[start : start + _BATCH])
        return found

    async def replace(
        self,
        present: Sequence[Relation],
        wanted: Sequence[Relation],
        is_meant: Callable[[Relation], bool],
    ) -> Replaced:
        """Store what is wanted, and erase what is there beside it.

        What somebody said stays as it is. What is there already, with the same weight,
        recipe and attributes, is not stored again. New relations come before old ones
        go. A relation of something that was erased meanwhile is left out.

        Args:
            present: all that there is between the nodes in question.
            wanted: each key once.
            is_meant: whether a relation is to go if it is not wanted.
        """
        known = {each.key: each for each in present}
        said = {each.key for each in present if each.origin == SAID}
        keys = {each.key for each in wanted}
        changed = [
            each
            for each in wanted
            if each.key not in said and not _is_same(each, known.get(each.key))
        ]
        stale = [
            each.key
            for each in present
            if each.key not in keys | said and is_meant(each)
        ]
        stored = await self._put(changed)
        for start in range(0, len(stale), _BATCH):
            await self.documents.relations.remove(stale[start : start + _BATCH])
        return Replaced(stored, len(stale))

    async def _put(self, relations: Sequence[Relation]) -> int:
        stored = 0
        for start in range(0, len(relations), _BATCH):
            stored += await self._put_those_there(relations[start : start + _BATCH])
        return stored

    async def _put_those_there(self, relations: Sequence[Relation]) -> int:
        for _ in range(_TRIES):
            if not relations:
                return 0
            try:
                await self.documents.relations.put(relations)
            except NodeNotFoundError:
                relations = await self._there(relations)
            else:
                return len(relations)
        raise UnavailableError(
            "Assets are being erased faster than they are related; try again.",
            port="documents",
        )

    async def _there(self, relations: Sequence[Relation]) -> list[Relation]:
        """Return those of which both ends are still there."""
        nodes = {end for each in relations for end in each.key[:2]}
        named = {node: node_of(node) for node in nodes}
        assets = await self.documents.get(
            [node.name for node in named.values() if node.kind == "asset"]
        )
        characters = self.documents.characters
        gone = {
            key
            for key, (kind, name) in named.items()
            if (kind == "asset" and name not in assets)
            or (kind == "character" and not await characters.get(name))
        }
        return [each for each in relations if gone.isdisjoint(each.key[:2])]


def _is_same(relation: Relation, known: Relation | None) -> bool:
    return known is not None and (
        relation.weight,
        relation.recipe,
        relation.collection,
        dict(relation.attributes),
    ) == (known.weight, known.recipe, known.collection, dict(known.attributes))
