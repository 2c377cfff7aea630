"""The graph as a whole: what is connected, and what forms communities."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from dinoserve.domain.graph_parts import (
    MAX_EDGES,
    MAX_FOR_COMMUNITIES,
    Edges,
    Parts,
    Shown,
    parts,
    undirected,
)
from dinoserve.domain.groups import Labels, components
from dinoserve.domain.relations import Scope
from dinoserve.ports import Clustering, RelationStore
from dinoserve.services.graph_nodes import About, GraphNodes
from dinoserve.services.graph_reading import GraphReading
from dinoserve.services.graph_walking import whole


class GraphParts(NamedTuple):
    """The parts of a graph, and what they were told by.

    Attributes:
        nodes: that the relations are between.
        relations: that were looked at.
        about: what is kept of shown nodes that are assets or characters.
        modularity: of the communities, at most 1; None: of components.
        served_by: what the relations were read from.
    """

    parts: Parts
    nodes: int
    relations: int
    about: Mapping[str, About]
    modularity: float | None
    served_by: str


@dataclass(frozen=True, slots=True)
class WholeGraph:
    """Looks at every relation of a scope at once."""

    reading: GraphReading
    clustering: Clustering
    nodes: GraphNodes

    async def components(self, scope: Scope, shown: Shown) -> GraphParts:
        """Return the connected components; see `GraphService.components`."""
        edges, by = await self._edges(scope, MAX_EDGES)
        count = len(edges.nodes)
        labels = await asyncio.to_thread(components, count, edges.source, edges.target)
        return await self._parts(edges, labels, shown, None, by)

    async def communities(self, scope: Scope, shown: Shown) -> GraphParts:
        """Return the communities; see `GraphService.communities`."""
        edges, by = await self._edges(scope, MAX_FOR_COMMUNITIES)
        merged = await asyncio.to_thread(undirected, edges)
        labels, modularity = await self.clustering.leiden(
            len(edges.nodes), (merged.source, merged.target), merged.weight
        )
        return await self._parts(edges, labels, shown, modularity, by)

    async def _edges(self, scope: Scope, most: int) -> tuple[Edges, str]:
        async def read(store: RelationStore) -> Edges:
            return await whole(store, scope, most)

        return await self.reading.read(read)

    async def _parts(
        self,
        edges: Edges,
        labels: Labels,
        shown: Shown,
        modularity: float | None,
        by: str,
    ) -> GraphParts:
        found = await asyncio.to_thread(parts, edges, labels, shown)
        nodes = [node for part in found.shown for node in part.members]
        return GraphParts(
            found,
            len(edges.nodes),
            len(edges.source),
            await self.nodes.about(nodes),
            modularity,
            by,
        )
