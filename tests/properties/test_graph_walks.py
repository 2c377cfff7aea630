"""Walks against networkx, on random graphs."""

from itertools import pairwise
from math import prod
from typing import Any

import networkx as nx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dinoserve.domain.graph_walks import Bounds, Found, Spread, WalkCursor
from dinoserve.domain.relations import Direction, Reach
from walked import RandomGraph, graphs, touching

_DIRECTIONS: list[Direction] = ["out", "in", "any"]


def walked(graph: RandomGraph, start: str, reach: Reach, bounds: Bounds) -> Spread:
    walk = Spread([start], reach, bounds)
    while nodes := walk.wanted:
        walk.take(touching(graph, nodes, reach)[: walk.limit])
    return walk


def expected(
    graph: RandomGraph, start: str, direction: Direction, depth: int
) -> dict[str, tuple[int, float]]:
    """Depth and strength of every node near, by all shortest paths."""
    drawing: nx.DiGraph[Any] = nx.DiGraph()
    drawing.add_nodes_from(graph.nodes)
    for edge in graph.edges:
        ways = {"out": [1], "in": [-1], "any": [1, -1]}[direction]
        for way in ways:
            ends = (edge.source, edge.target)[::way]
            known: float = dict(drawing[ends[0]]).get(ends[1], {"weight": 0.0})[
                "weight"
            ]
            drawing.add_edge(*ends, weight=max(edge.weight, known))
    near: dict[str, tuple[int, float]] = {}
    lengths = nx.single_source_shortest_path_length(drawing, start, depth)
    for node, length in dict(lengths).items():
        paths = nx.all_shortest_paths(drawing, start, node)
        strengths = [
            prod(drawing[one][two]["weight"] for one, two in pairwise(path))
            for path in paths
        ]
        near[node] = length, max(strengths)
    return near


@pytest.mark.parametrize("direction", _DIRECTIONS)
@given(graph=graphs(), depth=st.integers(1, 5))
def test_a_walk_finds_what_networkx_finds(
    direction: Direction, graph: RandomGraph, depth: int
) -> None:
    start = graph.nodes[0]

    walk = walked(graph, start, Reach(direction=direction), Bounds(depth))

    near = expected(graph, start, direction, depth)
    assert {each.node: each.depth for each in walk.found} == {
        node: length for node, (length, _) in near.items()
    }
    for node, _, strength in walk.found:
        assert strength == pytest.approx(near[node][1])
    order = [(each.depth, -each.strength, each.node) for each in walk.found]
    assert order == sorted(order)
    assert not walk.is_truncated


@given(graph=graphs(), size=st.integers(1, 3), depth=st.integers(1, 3))
def test_pages_together_are_the_walk(graph: RandomGraph, size: int, depth: int) -> None:
    walk = walked(graph, graph.nodes[0], Reach(), Bounds(depth))

    seen: list[Found] = []
    edges = list(walk.edges(0, 1))
    first = 1
    while page := walk.found[first : first + size]:
        seen += page
        edges += walk.edges(first, first + size)
        cursor = WalkCursor.decode(WalkCursor(page[-1]).encode())
        first = cursor.place(walk.found)

    assert seen == walk.found[1:]
    assert len(edges) == len(set(edges))
    assert set(edges) == set(walk.edges(0, len(walk.found)))


@given(graph=graphs(), nodes=st.integers(1, 5), edges=st.integers(0, 10))
def test_a_walk_keeps_within_its_bounds_or_says_so(
    graph: RandomGraph, nodes: int, edges: int
) -> None:
    whole = walked(graph, graph.nodes[0], Reach(), Bounds(5))

    walk = walked(graph, graph.nodes[0], Reach(), Bounds(5, nodes, edges))

    assert len(walk.found) <= nodes
    assert len(walk.edges(0, nodes)) <= edges
    assert walk.is_truncated or walk.found == whole.found
