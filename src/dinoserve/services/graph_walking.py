"""Walking: a search asks, the store answers, until the search is over."""

import asyncio
from collections.abc import Callable, Collection, Sequence
from typing import Final

from dinoserve.domain.graph_parts import Edges, joined
from dinoserve.domain.graph_paths import PathSearch, Wanted
from dinoserve.domain.graph_walks import Bounds, Spread
from dinoserve.domain.relations import (
    Edge,
    EdgeBlock,
    Reach,
    Relation,
    RelationKey,
    Scope,
)
from dinoserve.errors import InvalidInputError
from dinoserve.ports import RelationStore

# About a millisecond of work; more is done in a thread.
_INLINE: Final = 1000
_BATCH: Final = 1000


async def spread(
    store: RelationStore,
    starts: Sequence[str],
    reach: Reach,
    bounds: Bounds,
    *,
    closes: bool = False,
) -> Spread:
    """Return what a walk from these nodes comes to.

    Args:
        store: where it goes.
        starts: ids of nodes.
        reach: along which relations.
        bounds: how far.
        closes: look for the relations among the furthest nodes, too.
    """
    walk = Spread(starts, reach, bounds)
    while nodes := walk.wanted:
        await _told(walk.take, await store.touching(nodes, reach, walk.limit))
    if closes and walk.last and not walk.is_truncated:
        await _told(walk.close, await store.touching(walk.last, reach, walk.limit))
    return walk


async def connect(store: RelationStore, search: PathSearch) -> PathSearch:
    """Return the search when it is over."""
    wanted = search.wanted()
    while wanted:
        edges = await store.touching(wanted.nodes, wanted.reach, wanted.limit)
        wanted = await _advanced(search, edges)
    return search


async def relations_of(
    store: RelationStore, keys: Sequence[RelationKey]
) -> dict[RelationKey, Relation]:
    """Return the relations by key, in the order of the keys. Absent: left out."""
    found: dict[RelationKey, Relation] = {}
    for start in range(0, len(keys), _BATCH):
        some = await store.get(keys[start : start + _BATCH])
        found |= {relation.key: relation for relation in some}
    return {key: found[key] for key in keys if key in found}


async def whole(store: RelationStore, scope: Scope, most: int) -> Edges:
    """Return every edge of the scope.

    Raises:
        InvalidInputError: there are more than `most`.
    """
    blocks: list[EdgeBlock] = []
    count = 0
    async for block in store.scan(scope):
        count += len(block.source)
        if count > most:
            raise InvalidInputError(
                f"There are more than {most} such relations. Ask for one"
                " `collection`, for fewer kinds (`kind`), or for a greater"
                " `min_weight`.",
                field="min_weight",
                limit=most,
            )
        blocks.append(block)
    return await asyncio.to_thread(joined, blocks)


async def _told(take: Callable[[Sequence[Edge]], None], edges: Sequence[Edge]) -> None:
    if len(edges) > _INLINE:
        await asyncio.to_thread(take, edges)
    else:
        take(edges)


async def _advanced(search: PathSearch, edges: Collection[Edge]) -> Wanted | None:
    def advance() -> Wanted | None:
        search.take(list(edges))
        return search.wanted()

    return await asyncio.to_thread(advance) if len(edges) > _INLINE else advance()
