"""Random graphs, and the relations that lead from their nodes."""

from collections.abc import Collection
from typing import NamedTuple

from hypothesis import strategies as st

from dinoserve.domain.relations import Edge, Reach


class RandomGraph(NamedTuple):
    """A few nodes, with relations of two kinds between them."""

    nodes: list[str]
    edges: list[Edge]


@st.composite
def graphs(draw: st.DrawFn) -> RandomGraph:
    """Draw a graph; it may have circles, loops, and nodes that nothing leads to."""
    nodes = [f"entity:{name}" for name in range(draw(st.integers(1, 9)))]
    ends = st.sampled_from(nodes)
    weights = st.sampled_from([0.1, 0.25, 0.5, 0.7, 0.71, 0.9, 1.0])
    keys = st.tuples(ends, ends, st.sampled_from(["likes", "knows"]))
    kept = draw(st.dictionaries(keys, weights, max_size=25))
    return RandomGraph(nodes, [Edge(*key, weight) for key, weight in kept.items()])


def touching(graph: RandomGraph, nodes: Collection[str], reach: Reach) -> list[Edge]:
    """Return the relations that lead from these nodes, the strongest first."""
    found = [
        edge
        for edge in graph.edges
        if (reach.direction != "in" and edge.source in nodes)
        or (reach.direction != "out" and edge.target in nodes)
    ]
    return sorted(found, key=lambda edge: (-edge.weight, edge.key))
