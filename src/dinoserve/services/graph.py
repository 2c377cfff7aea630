"""The graph: relations between images, characters and what else people name."""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple

from dinoserve.domain.graph_parts import Shown
from dinoserve.domain.graph_paths import By, Path, PathSearch
from dinoserve.domain.graph_walks import Bounds, Found, Spread, WalkCursor
from dinoserve.domain.relations import (
    Reach,
    Relation,
    RelationKey,
    Scope,
    node_of,
)
from dinoserve.errors import NodeNotFoundError
from dinoserve.ports import Clustering, DocumentStore, RelationStore
from dinoserve.services.graph_nodes import About, GraphNodes, absent
from dinoserve.services.graph_reading import GraphReading
from dinoserve.services.graph_stating import Stated, check, placed, stamped
from dinoserve.services.graph_walking import connect, relations_of, spread
from dinoserve.services.graph_whole import GraphParts, WholeGraph

MAX_SHOWN: Final = 2000
"""Relations that one page of neighbours shows."""


class Portion(NamedTuple):
    """Some of the nodes that a walk came to, with relations between them.

    Attributes:
        nodes: in the order of the walk.
        relations: that the walk saw; the later end of each is among the nodes. The
            strongest first.
        left_out: relations beyond `MAX_SHOWN`.
        about: what is kept of nodes that are assets or characters.
        next: where the next portion begins; None: this was the last.
        is_truncated: the walk met a bound; there may be more.
        served_by: what the walk was read from.
    """

    nodes: list[Found]
    relations: list[Relation]
    left_out: int
    about: Mapping[str, About]
    next: WalkCursor | None
    is_truncated: bool
    served_by: str


class Connection(NamedTuple):
    """The best path between two nodes.

    Attributes:
        path: None: there is none.
        relations: of the path, in its order.
        is_truncated: the search met a bound; there may be a better path, or one.
    """

    path: Path | None
    relations: list[Relation]
    about: Mapping[str, About]
    is_truncated: bool
    served_by: str


@dataclass(frozen=True, slots=True)
class GraphService:
    """Keeps relations, and walks along them.

    Attributes:
        documents: has the relations, and what they are between.
        reading: chooses which store a walk is read from.
        clustering: finds communities.
    """

    documents: DocumentStore
    reading: GraphReading
    clustering: Clustering
    now: Callable[[], datetime]

    async def put(self, stated: Sequence[Stated]) -> int:
        """Store relations, each in place of the one of the same key; return how many.

        All of them are stored, or none. Of several with one key the last counts.

        Raises:
            InvalidInputError: one cannot be kept; `field` is e.g. `relations[3].kind`.
            NodeNotFoundError: one is of an asset or character that is not there.
        """
        await asyncio.to_thread(check, stated)
        ends = dict.fromkeys(end for each in stated for end in each.key[:2])
        about = await self._nodes.about(ends)
        now = self.now()
        relations = {each.key: stamped(each, about, now) for each in stated}
        try:
            for node in ends:
                if node_of(node).kind in {"asset", "character"} and node not in about:
                    raise absent(node, "relations")
            await self.documents.relations.put(list(relations.values()))
        except NodeNotFoundError as error:
            raise placed(error, stated) from error
        self.reading.changed()
        return len(relations)

    async def remove(
        self, keys: Collection[RelationKey] = (), nodes: Collection[str] = ()
    ) -> None:
        """Erase these relations, and all of these nodes. Absent: nothing happens.

        What the nodes are, assets or characters, stays.
        """
        await self.documents.relations.remove(keys, nodes)
        self.reading.changed()

    async def neighbours(
        self,
        node: str,
        reach: Reach,
        depth: int,
        limit: int,
        after: WalkCursor | None = None,
    ) -> Portion:
        """Return nodes near this one, by depth, then falling strength, then id.

        Raises:
            NodeNotFoundError: no asset, no character, and in no relation.
        """
        await self._nodes.require(node, "node", self.documents.relations)

        async def walk(
            store: RelationStore,
        ) -> tuple[Spread, int, int, Mapping[RelationKey, Relation], int]:
            spread_out = await spread(store, [node], reach, Bounds(depth))
            first = after.place(spread_out.found) if after else 1
            first = max(first, 1)
            end = min(first + limit, len(spread_out.found))
            # Of the node to itself, with the first page.
            edges = spread_out.edges(0 if first == 1 else first, end)
            keys = [edge.key for edge in edges[:MAX_SHOWN]]
            found = await relations_of(store, keys)
            return spread_out, first, end, found, len(edges) - len(keys)

        (spread_out, first, end, found, left_out), by = await self.reading.read(walk)
        nodes = spread_out.found[first:end]
        is_more = end < len(spread_out.found) and bool(nodes)
        return Portion(
            nodes,
            list(found.values()),
            left_out,
            await self._nodes.about(each.node for each in nodes),
            WalkCursor(nodes[-1]) if is_more else None,
            spread_out.is_truncated,
            by,
        )

    async def subgraph(
        self, nodes: Sequence[str], reach: Reach, bounds: Bounds
    ) -> Portion:
        """Return these nodes, what is near them, and every relation among all of it.

        Raises:
            NodeNotFoundError: as `neighbours`, of any of them.
        """
        for at, node in enumerate(nodes):
            await self._nodes.require(node, f"node[{at}]", self.documents.relations)

        async def walk(
            store: RelationStore,
        ) -> tuple[Spread, Mapping[RelationKey, Relation]]:
            found = await spread(store, nodes, reach, bounds, closes=True)
            edges = found.edges(0, len(found.found))
            return found, await relations_of(store, [edge.key for edge in edges])

        (walked, relations), by = await self.reading.read(walk)
        return Portion(
            walked.found,
            list(relations.values()),
            0,
            await self._nodes.about(each.node for each in walked.found),
            None,
            walked.is_truncated,
            by,
        )

    async def path(
        self,
        ends: tuple[str, str],
        by: By,
        reach: Reach,
        max_hops: int | None = None,
    ) -> Connection:
        """Return the best path from the first node to the second.

        Raises:
            NodeNotFoundError: as `neighbours`, of either.
        """
        for node, name in zip(ends, ("source", "target"), strict=True):
            await self._nodes.require(node, name, self.documents.relations)

        async def walk(
            store: RelationStore,
        ) -> tuple[Path | None, bool, Mapping[RelationKey, Relation]]:
            search = await connect(store, PathSearch(ends, by, reach, max_hops))
            path = search.path
            keys = [edge.key for edge in path.edges] if path else []
            return path, search.is_truncated, await relations_of(store, keys)

        (path, is_truncated, relations), served_by = await self.reading.read(walk)
        return Connection(
            path,
            list(relations.values()),
            await self._nodes.about(path.nodes if path else ()),
            is_truncated,
            served_by,
        )

    async def components(self, scope: Scope, shown: Shown) -> GraphParts:
        """Return which nodes are connected, whatever the relations' directions.

        Raises:
            InvalidInputError: there are too many relations to look at.
        """
        return await self._whole.components(scope, shown)

    async def communities(self, scope: Scope, shown: Shown) -> GraphParts:
        """Return which nodes are related more among each other than to others.

        Raises:
            InvalidInputError: there are too many relations to look at.
            OverloadedError: too many callers wait for clusters.
        """
        return await self._whole.communities(scope, shown)

    @property
    def _nodes(self) -> GraphNodes:
        return GraphNodes(self.documents)

    @property
    def _whole(self) -> WholeGraph:
        return WholeGraph(self.reading, self.clustering, GraphNodes(self.documents))
