"""Paths against networkx, on random graphs."""

import math
from collections.abc import Iterator
from contextlib import suppress
from itertools import pairwise
from typing import Any

import networkx as nx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dinoserve.domain.graph_paths import By, Effort, Path, PathSearch
from dinoserve.domain.relations import Direction, Edge, Reach
from walked import RandomGraph, graphs, touching

_DIRECTIONS: list[Direction] = ["out", "in", "any"]


def found(
    graph: RandomGraph,
    ends: tuple[str, str],
    by: By,
    reach: Reach,
    max_hops: int | None = None,
) -> Path | None:
    search = PathSearch(ends, by, reach, max_hops, Effort(batch=2))
    while wanted := search.wanted():
        search.take(touching(graph, wanted.nodes, wanted.reach)[: wanted.limit])
    assert not search.is_truncated
    return search.path


def ways(edges: list[Edge], direction: Direction) -> Iterator[tuple[str, str, Edge]]:
    for edge in edges:
        if direction != "in":
            yield edge.source, edge.target, edge
        if direction != "out":
            yield edge.target, edge.source, edge


def drawn(graph: RandomGraph, direction: Direction) -> "nx.DiGraph[Any]":
    """The graph as networkx has it: of parallel relations the strongest."""
    drawing: nx.DiGraph[Any] = nx.DiGraph()
    drawing.add_nodes_from(graph.nodes)
    for source, target, edge in ways(graph.edges, direction):
        weakness = -math.log(edge.weight)
        known = drawing.get_edge_data(source, target, {"cost": math.inf})["cost"]
        drawing.add_edge(source, target, cost=min(weakness, known))
    return drawing


def _weight(drawing: Any, path: list[str]) -> float:
    return sum(drawing[one][two]["cost"] for one, two in pairwise(path))


def check_it_leads(path: Path, ends: tuple[str, str], direction: Direction) -> None:
    assert (path.nodes[0], path.nodes[-1]) == ends
    steps = list(pairwise(path.nodes))
    assert len(steps) == len(path.edges)
    for step, edge in zip(steps, path.edges, strict=True):
        assert step in [(one, other) for one, other, _ in ways([edge], direction)]


@pytest.mark.parametrize("direction", _DIRECTIONS)
@given(graph=graphs(), data=st.data())
def test_the_strongest_path_costs_what_networkx_says(
    direction: Direction, graph: RandomGraph, data: st.DataObject
) -> None:
    ends = (
        data.draw(st.sampled_from(graph.nodes)),
        data.draw(st.sampled_from(graph.nodes)),
    )
    path = found(graph, ends, "strongest", Reach(direction=direction))

    expected: float | None = None
    with suppress(nx.NetworkXNoPath):
        expected = nx.dijkstra_path_length(
            drawn(graph, direction), *ends, weight="cost"
        )
    if path is None:
        assert expected is None
        return
    check_it_leads(path, ends, direction)
    assert expected is not None
    assert path.strength == pytest.approx(math.exp(-expected))


@pytest.mark.parametrize("direction", _DIRECTIONS)
@given(graph=graphs(), data=st.data())
def test_the_path_of_fewest_hops_is_the_strongest_of_those(
    direction: Direction, graph: RandomGraph, data: st.DataObject
) -> None:
    ends = (
        data.draw(st.sampled_from(graph.nodes)),
        data.draw(st.sampled_from(graph.nodes)),
    )
    path = found(graph, ends, "fewest", Reach(direction=direction))

    drawing = drawn(graph, direction)
    if path is None:
        assert not nx.has_path(drawing, *ends)
        return
    check_it_leads(path, ends, direction)
    shortest = list(nx.all_shortest_paths(drawing, *ends))
    assert len(path.edges) == len(shortest[0]) - 1
    costs = [_weight(drawing, each) for each in shortest]
    assert path.strength == pytest.approx(math.exp(-min(costs)))


@given(graph=graphs(), data=st.data(), hops=st.integers(1, 4))
def test_a_path_of_few_hops_is_the_strongest_of_all_that_have_so_few(
    graph: RandomGraph, data: st.DataObject, hops: int
) -> None:
    ends = (
        data.draw(st.sampled_from(graph.nodes)),
        data.draw(st.sampled_from(graph.nodes)),
    )
    if ends[0] == ends[1]:
        return
    path = found(graph, ends, "strongest", Reach(direction="out"), hops)

    drawing = drawn(graph, "out")
    fitting = list(nx.all_simple_paths(drawing, *ends, cutoff=hops))
    if path is None:
        assert not fitting
        return
    assert len(path.edges) <= hops
    costs = [_weight(drawing, each) for each in fitting]
    assert path.strength == pytest.approx(math.exp(-min(costs)))


@given(graph=graphs())
def test_a_node_is_connected_with_itself_by_nothing(graph: RandomGraph) -> None:
    node = graph.nodes[0]

    path = found(graph, (node, node), "strongest", Reach())

    assert path == Path([node], [], 1.0)
