"""The parts that a graph falls into: its edges as columns, and groups of its nodes."""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dinoserve.domain.groups import Labels
from dinoserve.domain.relations import EdgeBlock

_NO_PLACES: Final = np.empty(0, np.int32)
_NO_WEIGHTS: Final = np.empty(0, np.float64)

MAX_EDGES: Final = 2_000_000
"""Relations that are looked at as a whole while the caller waits."""

MAX_FOR_COMMUNITIES: Final = 1_000_000
"""The same for communities: they take 450 bytes of memory each."""


class Edges(NamedTuple):
    """Edges as columns.

    Attributes:
        nodes: ids.
        source: int32 (n,), places in `nodes`.
        target: int32 (n,), places in `nodes`.
        weight: float64 (n,), in (0, 1].
    """

    nodes: Sequence[str]
    source: NDArray[np.int32]
    target: NDArray[np.int32]
    weight: NDArray[np.float64]


class Part(NamedTuple):
    """Nodes that belong together.

    Attributes:
        size: how many they are.
        members: the most connected of them: by falling count of relations, ties by id.
    """

    size: int
    members: list[str]


class Parts(NamedTuple):
    """The parts of a graph.

    Attributes:
        total: parts that are large enough.
        shown: the largest of them, ties by their first node.
    """

    total: int
    shown: list[Part]


class Shown(NamedTuple):
    """How much of the parts is shown.

    Attributes:
        least: nodes of the smallest part.
        parts: at most.
        members: of each, at most.
    """

    least: int = 2
    parts: int = 100
    members: int = 100


def joined(blocks: Sequence[EdgeBlock]) -> Edges:
    """Return the edges of a whole scan."""
    nodes = [node for block in blocks for node in block.nodes]
    return Edges(
        nodes,
        np.concatenate([_NO_PLACES, *(block.source for block in blocks)]),
        np.concatenate([_NO_PLACES, *(block.target for block in blocks)]),
        np.concatenate([_NO_WEIGHTS, *(block.weight for block in blocks)]),
    )


def undirected(edges: Edges) -> Edges:
    """Return one edge for each two nodes that are related: of the sum of the weights.

    Relations of a node to itself are left out.
    """
    low = np.minimum(edges.source, edges.target).astype(np.int64)
    high = np.maximum(edges.source, edges.target).astype(np.int64)
    pairs, places = np.unique(low * len(edges.nodes) + high, return_inverse=True)
    weight = np.zeros(len(pairs))
    np.add.at(weight, places, edges.weight)
    low, high = np.divmod(pairs, max(len(edges.nodes), 1))
    kept = low != high
    low, high = low[kept].astype(np.int32), high[kept].astype(np.int32)
    return Edges(edges.nodes, low, high, weight[kept])


def parts(edges: Edges, labels: Labels, shown: Shown) -> Parts:
    """Return the nodes by what part they are in.

    Args:
        edges: of the graph.
        labels: int32 (nodes,): equal for what belongs together.
        shown: how much of it.
    """
    if not edges.nodes:
        return Parts(0, [])
    degrees = np.bincount(edges.source, minlength=len(edges.nodes))
    degrees += np.bincount(edges.target, minlength=len(edges.nodes))
    order: NDArray[np.intp] = np.lexsort((-degrees, labels))
    starts = np.flatnonzero(np.diff(labels[order], prepend=labels[order[0]] - 1))
    sizes = np.diff(starts, append=len(order))
    large = np.flatnonzero(sizes >= shown.least)
    chosen = large[np.argsort(-sizes[large], kind="stable")][: shown.parts]
    found = [
        _part(edges, degrees, order[starts[at] :][: sizes[at]], shown.members)
        for at in chosen
    ]
    found.sort(key=lambda part: (-part.size, part.members))
    return Parts(len(large), found)


def _part(
    edges: Edges, degrees: NDArray[np.intp], members: NDArray[np.intp], most: int
) -> Part:
    """Return the part; its members come with falling degrees."""
    last = degrees[members[min(most, len(members)) - 1]]
    # Those that are as connected as the last one shown: their ids decide.
    near = members[degrees[members] >= last]
    named = sorted((-int(degrees[at]), edges.nodes[int(at)]) for at in near)
    return Part(len(members), [name for _, name in named[:most]])
