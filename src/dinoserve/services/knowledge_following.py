"""Tells a knowledge graph elsewhere of our relations, and of what became of them."""

from collections.abc import (
    AsyncGenerator,
    Collection,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

from dinoserve.domain.assets import Asset
from dinoserve.domain.characters import Character
from dinoserve.domain.knowledge import (
    Entity,
    Facts,
    Pair,
    entity_name,
    entity_of,
    link_of,
    pair_of,
)
from dinoserve.domain.relations import (
    Edge,
    EdgeBlock,
    Node,
    Reach,
    Relation,
    RelationKey,
    Scope,
    node_of,
)
from dinoserve.ports import DocumentStore, Knowledge

_T = TypeVar("_T")

# Pairs of nodes told of at once: each fact costs the other side an embedding.
_BATCH = 16
# A node with fewer relations is read whole at once; no node has the larger number.
_FEW, _ALL = 1000, 2**31 - 1

_WHOLE = Entity("DINOSERVE:WHOLE", "mark", "All relations were told.", None)

_Records = Mapping[Node, Asset | Character | None]
_Known = dict[Pair, dict[RelationKey, Relation]]


@dataclass(frozen=True, slots=True)
class KnowledgeCopy:
    """Plays `RelationCopy`: relations become facts, as the document store has them now.

    The other side keeps one link of two nodes, however many relations they have, and
    erases nodes alone. So whatever changed of two nodes, the rest is told again.

    Attributes:
        documents: where the relations are kept, with assets and characters.
        knowledge: who is told.
    """

    documents: DocumentStore
    knowledge: Knowledge

    async def put(self, relations: Sequence[Relation]) -> None:
        """Tell of each, with its nodes and what else relates them.

        A relation of an asset or character that is gone is passed over: its erasure
        is told next.
        """
        given: _Known = {}
        for relation in relations:
            given.setdefault(pair_of(relation.key), {})[relation.key] = relation
        for pairs in _batches(given):
            known = {pair: await self._between(pair) | given[pair] for pair in pairs}
            await self._tell(known)

    async def remove(
        self, keys: Collection[RelationKey] = (), nodes: Collection[str] = ()
    ) -> None:
        """Tell that these are gone, and nodes that no relation has any more."""
        await self._forget(nodes)
        for pair in dict.fromkeys(map(pair_of, keys)):
            if left := await self._between(pair):
                await self._tell({pair: left})
            else:
                await self._part(pair)

    async def is_whole(self) -> bool:
        """Tell whether the other side has the mark that everything was told."""
        return await self.knowledge.has(_WHOLE.name)

    async def set_whole(self, *, is_whole: bool) -> None:
        """Keep the mark on the other side, or erase it there."""
        if is_whole:
            await self.knowledge.put(Facts([_WHOLE], []))
        else:
            await self.knowledge.forget([_WHOLE.name])

    async def scan(self, scope: Scope) -> AsyncGenerator[EdgeBlock]:  # noqa: ARG002 - the port's
        """Yield nothing: the other side answers questions and lists nothing."""
        return
        yield

    async def ping(self) -> str:
        """Return name and version of the other side; raise UnavailableError."""
        return await self.knowledge.ping()

    async def _part(self, pair: Pair) -> None:
        """Tell that nothing relates the two any more."""
        bare = [node for node in dict.fromkeys(pair) if not await self._first(node)]
        if bare:
            # What the other side has of two nodes goes with either.
            await self._forget(bare)
            return
        node, edges = await self._lesser(pair)
        await self._forget([node])
        for batch in _batches(edges):
            keys = [edge.key for edge in batch]
            await self.put(await self.documents.relations.get(keys))

    async def _between(self, pair: Pair) -> dict[RelationKey, Relation]:
        _, edges = await self._lesser(pair)
        keys = [edge.key for edge in edges if pair_of(edge.key) == pair]
        found = await self.documents.relations.get(keys)
        return {relation.key: relation for relation in found}

    async def _lesser(self, pair: Pair) -> tuple[str, list[Edge]]:
        """Return the node of the two with few relations, if one has, and them all."""
        for node in pair:
            edges = await self._first(node, _FEW)
            if len(edges) < _FEW:
                return node, edges
        return pair[0], await self._first(pair[0], _ALL)

    async def _first(self, node: str, limit: int = 1) -> list[Edge]:
        return await self.documents.relations.touching([node], Reach(), limit)

    async def _tell(self, known: _Known) -> None:
        nodes = {end: node_of(end) for pair in known for end in pair}
        records = await self._records(nodes.values())
        there = {end: node for end, node in nodes.items() if node in records}
        told = {pair: kept for pair, kept in known.items() if there.keys() >= {*pair}}
        ends = dict.fromkeys(end for pair in told for end in pair)
        entities = [entity_of(there[end], records[there[end]]) for end in ends]
        links = [link_of(pair, kept.values()) for pair, kept in told.items()]
        if links:
            await self.knowledge.put(Facts(entities, links))

    async def _records(self, nodes: Iterable[Node]) -> _Records:
        """Return the record of each node; None: it needs none; absent: left out."""
        nodes = list(nodes)
        ids = [node.name for node in nodes if node.kind == "asset"]
        assets = await self.documents.get(ids)
        found: dict[Node, Asset | Character | None] = {}
        for node in nodes:
            if node.kind == "asset":
                record = assets.get(node.name)
            elif node.kind == "character":
                record = await self.documents.characters.get(node.name)
            else:
                found[node] = None
                continue
            if record is not None:
                found[node] = record
        return found

    async def _forget(self, nodes: Collection[str]) -> None:
        if nodes:
            await self.knowledge.forget([entity_name(node_of(one)) for one in nodes])


def _batches(items: Iterable[_T]) -> Iterator[list[_T]]:
    rest = iter(items)
    while batch := list(islice(rest, _BATCH)):
        yield batch
