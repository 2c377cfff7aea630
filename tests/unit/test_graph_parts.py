"""Parts of a graph as columns."""

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from dinoserve.domain.graph_parts import (
    Edges,
    Part,
    Parts,
    Shown,
    joined,
    parts,
    undirected,
)
from dinoserve.domain.relations import EdgeBlock


def _places(values: Sequence[int]) -> NDArray[np.int32]:
    return np.array(values, np.int32)


def edges_of(*pairs: tuple[int, int, float]) -> Edges:
    source, target, weight = zip(*pairs, strict=True)
    count = max(*source, *target) + 1
    nodes = [f"tag:{node}" for node in range(count)]
    return Edges(nodes, _places(source), _places(target), np.array(weight))


def test_blocks_are_joined_in_their_order() -> None:
    none = np.empty(0, np.int32)
    first = EdgeBlock(
        ["a", "b"], ["k"], _places([0]), _places([1]), _places([0]), np.array([0.5])
    )
    second = EdgeBlock(
        ["c"], [], _places([2]), _places([0]), _places([0]), np.array([0.25])
    )

    edges = joined([first, second])

    assert edges.nodes == ["a", "b", "c"]
    assert edges.source.tolist() == [0, 2]
    assert edges.target.tolist() == [1, 0]
    assert edges.weight.tolist() == [0.5, 0.25]
    assert joined([]).source.dtype == none.dtype


def test_relations_there_and_back_are_one_edge_of_both_weights() -> None:
    edges = undirected(edges_of((0, 1, 0.5), (1, 0, 0.25), (1, 1, 1.0), (2, 1, 0.1)))

    assert edges.source.tolist() == [0, 1]
    assert edges.target.tolist() == [1, 2]
    assert edges.weight.tolist() == pytest.approx([0.75, 0.1])


def test_the_largest_parts_are_shown_with_their_most_connected_nodes() -> None:
    edges = edges_of((0, 1, 1.0), (2, 3, 1.0), (3, 4, 1.0), (5, 6, 1.0))
    labels = _places([7, 7, 2, 2, 2, 9, 9])

    found = parts(edges, labels, Shown(2, 2, 2))

    shown = [Part(3, ["tag:3", "tag:2"]), Part(2, ["tag:0", "tag:1"])]
    assert found == Parts(3, sorted(shown, key=lambda part: -part.size))


def test_parts_that_are_too_small_are_left_out() -> None:
    edges = edges_of((0, 1, 1.0), (2, 3, 1.0), (3, 4, 1.0))

    found = parts(edges, _places([0, 0, 1, 1, 1]), Shown(least=3))

    assert [part.size for part in found.shown] == [3]
    assert found.total == 1
