"""Relations for the tests of what keeps them."""

from dataclasses import replace
from typing import Any

from dinoserve.domain.relations import Edge, Relation, RelationKey, Scope
from dinoserve.ports import RelationStore
from records import NOON


def a_relation(
    source: str, target: str, kind: str = "near", weight: float = 0.5, **more: Any
) -> Relation:
    key = RelationKey(source, target, kind)
    return replace(Relation(key, weight, NOON, "user"), **more)


def an_edge(relation: Relation) -> Edge:
    return Edge(*relation.key, relation.weight)


async def scanned(relations: RelationStore, scope: Scope) -> list[Edge]:
    """Return every edge of the scope, sorted."""
    nodes: list[str] = []
    kinds: list[str] = []
    found: list[Edge] = []
    async for block in relations.scan(scope):
        nodes += block.nodes
        kinds += block.kinds
        columns = (block.source, block.target, block.kind, block.weight)
        for source, target, kind, weight in zip(*columns, strict=True):
            found.append(Edge(nodes[source], nodes[target], kinds[kind], float(weight)))
    assert len(set(nodes)) == len(nodes)
    return sorted(found)
