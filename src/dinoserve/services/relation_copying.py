"""Copying relations: from one document store into another, as often as one likes."""

from collections.abc import AsyncGenerator, Sequence
from itertools import islice
from typing import Final

from dinoserve.domain.relations import EdgeBlock, Relation, RelationKey, Scope
from dinoserve.errors import NodeNotFoundError
from dinoserve.ports import DocumentStore, RelationStore

RELATION_DIFFERS: Final = "relations of it are missing or differ"
"""What is said of a node that the target lacks relations of."""

_BATCH: Final = 1000


async def copy_relations(source: DocumentStore, target: DocumentStore) -> None:
    """Copy every relation; after assets and characters.

    One whose asset or character is not in the target is left out there.

    Raises:
        UnavailableError: a store failed.
        StorageFullError: the target is full.
    """
    async for some in _relations(source.relations):
        try:
            await target.relations.put(some)
        except NodeNotFoundError:
            await _put_each(target.relations, some)


async def lacking_relations(source: DocumentStore, target: DocumentStore) -> list[str]:
    """Return ids of nodes from which relations are not in the target as here."""
    nodes: set[str] = set()
    async for some in _relations(source.relations):
        there = await target.relations.get([one.key for one in some])
        known = {one.key: one for one in there}
        nodes |= {one.key.source for one in some if known.get(one.key) != one}
    return sorted(nodes)


async def _put_each(target: RelationStore, relations: Sequence[Relation]) -> None:
    for one in relations:
        try:
            await target.put([one])
        except NodeNotFoundError:
            continue


async def _relations(store: RelationStore) -> AsyncGenerator[list[Relation]]:
    nodes: list[str] = []
    kinds: list[str] = []
    async for block in store.scan(Scope()):
        nodes += block.nodes
        kinds += block.kinds
        keys = iter(_keys(block, nodes, kinds))
        while some := list(islice(keys, _BATCH)):
            yield await store.get(some)


def _keys(
    block: EdgeBlock, nodes: Sequence[str], kinds: Sequence[str]
) -> list[RelationKey]:
    sources: list[int] = block.source.tolist()
    targets: list[int] = block.target.tolist()
    numbers: list[int] = block.kind.tolist()
    return [
        RelationKey(nodes[source], nodes[target], kinds[kind])
        for source, target, kind in zip(sources, targets, numbers, strict=True)
    ]
