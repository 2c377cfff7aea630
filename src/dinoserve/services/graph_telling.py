"""Telling: what is marked of relations is done to a copy."""

from collections.abc import AsyncGenerator, Collection, Iterator
from dataclasses import dataclass
from typing import Final

from dinoserve.domain.relations import EdgeBlock, Reach, Relation, RelationKey, Scope
from dinoserve.ports import Mark, RelationCopy, RelationLog, RelationStore

# Relations that are marked at a time.
_NOTED: Final = 1000
# A node's relations are marked as a whole; the largest hub is far below this.
_EVERY_RELATION: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Telling:
    """Does to a copy what the marks of a follower say; doing it again changes nothing.

    Attributes:
        follower: under which the log marks for the copy.
        store: has the relations.
        log: beside the store.
        copy: is told.
    """

    follower: str
    store: RelationStore
    log: RelationLog
    copy: RelationCopy

    async def fill(self) -> None:
        """Mark everything that the store has, and what only the copy has.

        Draining then brings it in step, and goes on where it was cut off.

        Raises:
            UnavailableError: copy or store does not answer; it may be begun again.
        """
        await self.log.follow(self.follower)
        await self.copy.set_whole(is_whole=False)
        async for keys in _keys(self.store.scan(Scope())):
            await self.note(keys)
        async for keys in _keys(self.copy.scan(Scope())):
            there = {relation.key for relation in await self.store.get(keys)}
            await self.note(set(keys) - there)
        await self.copy.set_whole(is_whole=True)

    async def apply(self, marks: Collection[Mark]) -> None:
        """Make the copy have what the store has now of what is marked.

        Raises:
            UnavailableError: copy or store does not answer, or the copy refuses it.
        """
        gone = {mark.node for mark in marks if mark.node and not mark.is_edited}
        if gone:
            await self.copy.remove(nodes=gone)
            # What was put since is told next: a hub's are more than one batch.
            edges = await self.store.touching(gone, Reach(), _EVERY_RELATION)
            for some in _batches([edge.key for edge in edges]):
                await self.note(some)
        keys = {mark.key for mark in marks if mark.key is not None}
        now = {relation.key: relation for relation in await self.store.get(keys)}
        for mark in marks:
            if mark.node and mark.is_edited and (one := await self._one(mark.node)):
                now[one.key] = one
        if now:
            await self.copy.put(list(now.values()))
        if keys := keys - now.keys():
            await self.copy.remove(keys)

    async def _one(self, node: str) -> Relation | None:
        """Return a relation of the node: where it is put, the node is told with it."""
        while edges := await self.store.touching([node], Reach(), 1):
            if found := await self.store.get([edges[0].key]):
                return found[0]
        return None

    async def note(self, keys: Collection[RelationKey]) -> None:
        """Mark these relations; those that are marked stay so."""
        await self.log.settle(self.follower, [Mark(key, None, 0) for key in keys])


def _batches(keys: list[RelationKey]) -> Iterator[list[RelationKey]]:
    for start in range(0, len(keys), _NOTED):
        yield keys[start : start + _NOTED]


async def _keys(
    blocks: AsyncGenerator[EdgeBlock],
) -> AsyncGenerator[list[RelationKey]]:
    """Yield which relations a scan finds, in batches."""
    nodes: list[str] = []
    kinds: list[str] = []
    async for block in blocks:
        nodes += block.nodes
        kinds += block.kinds
        columns = (block.source.tolist(), block.target.tolist(), block.kind.tolist())
        keys = [
            RelationKey(nodes[source], nodes[target], kinds[kind])
            for source, target, kind in zip(*columns, strict=True)
        ]
        for some in _batches(keys):
            yield some
