"""The best path between two nodes, by a search from both ends."""

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal, NamedTuple, TypeAlias

from dinoserve.domain.graph_walks import goes
from dinoserve.domain.relations import Direction, Edge, Reach

By: TypeAlias = Literal["fewest", "strongest"]
Cost: TypeAlias = tuple[float, float]

MAX_HOPS: Final = 100
BATCH: Final = 16
"""Nodes whose relations are fetched together."""
MAX_EXPANDED: Final = 20_000
"""Nodes whose relations one search looks at."""
MAX_LOOKED: Final = 200_000
"""Relations that one search looks at."""

_AGAINST: Final[dict[Direction, Direction]] = {"out": "in", "in": "out", "any": "any"}


@dataclass(frozen=True, slots=True)
class Effort:
    """What one search may look at.

    Attributes:
        nodes: whose relations are looked at.
        edges: that are looked at.
        batch: nodes that are asked for together.
    """

    nodes: int = MAX_EXPANDED
    edges: int = MAX_LOOKED
    batch: int = BATCH


class Path(NamedTuple):
    """Nodes, and the relations between each and the next.

    Attributes:
        nodes: one more than there are relations.
        strength: the product of the weights, in [0, 1].
    """

    nodes: list[str]
    edges: list[Edge]
    strength: float


class Wanted(NamedTuple):
    """Relations that a search needs next.

    Attributes:
        limit: how many it needs at most: one more than it may look at.
    """

    nodes: list[str]
    reach: Reach
    limit: int


class _Label(NamedTuple):
    """A way to a node from the end that a side begins at."""

    cost: Cost
    hops: int
    node: str
    before: "_Label | None"
    edge: Edge | None


class _Side:
    """Dijkstra's search from one end."""

    def __init__(self, start: str, reach: Reach) -> None:
        first = _Label((0.0, 0.0), 0, start, None, None)
        self.reach = reach
        self.labels: dict[str, list[_Label]] = {start: [first]}
        self.ways: dict[str, list[tuple[str, Edge]]] = {}
        self.heap: list[tuple[Cost, str, int, _Label]] = [(first.cost, start, 0, first)]

    def drop_stale(self) -> None:
        """Leave a label at the top that nothing better replaced, or nothing."""
        while self.heap:
            label = self.heap[0][3]
            there = self.labels[label.node]
            if there[0] is label or any(each is label for each in there):
                return
            heapq.heappop(self.heap)

    def missing(self, batch: int) -> list[str]:
        """Return nodes to fetch before the best can be settled; none: it can be.

        The first entries of a heap are the best, or nearly so.
        """
        if self.heap[0][1] in self.ways:
            return []
        nodes = dict.fromkeys(entry[1] for entry in self.heap[: 2 * batch])
        return [node for node in nodes if node not in self.ways][:batch]

    def learn(self, nodes: Sequence[str], edges: Sequence[Edge]) -> None:
        """Keep the ways from these nodes, the best of each two nodes alone."""
        goes_out, goes_in = goes(self.reach)
        self.ways |= {node: [] for node in nodes}
        wanted = frozenset(nodes)
        for edge in edges:
            if goes_out and edge.source in wanted:
                self.ways[edge.source].append((edge.target, edge))
            if goes_in and edge.target in wanted:
                self.ways[edge.target].append((edge.source, edge))

    def push(self, label: _Label, *, counts_hops: bool) -> None:
        """Keep the label unless one that is as good is there."""
        if there := self.labels.get(label.node):
            if any(_is_as_good(each, label, counts_hops) for each in there):
                return
            others = [e for e in there if not _is_as_good(label, e, counts_hops)]
            self.labels[label.node] = [*others, label]
        else:
            self.labels[label.node] = [label]
        heapq.heappush(self.heap, (label.cost, label.node, len(self.heap), label))


class PathSearch:
    """Dijkstra's search from both ends, given the relations that it asks for.

    The cost of a relation is 1 (`fewest`; among paths of as many hops the strongest
    counts) or -log of its weight (`strongest`; among equals the shortest). Relations
    that go around in circles cost nothing but their looking at.

    Args:
        source: id of a node.
        target: id of another, or the same.
        by: what is best.
        reach: along which relations it goes, seen from the source.
        max_hops: of the path; None: as many as it takes.
        effort: what it may look at.

    Attributes:
        is_truncated: the effort was not enough to tell that there is no better path.

    Source:
        Dijkstra (1959) from both ends, which ends when the two least costs together are
        no less than the best path's (Nicholson 1966). With `max_hops`, a node keeps
        each way that is cheaper or has fewer hops than every other (Joksch 1966).
    """

    def __init__(
        self,
        ends: tuple[str, str],
        by: By,
        reach: Reach,
        max_hops: int | None = None,
        effort: Effort | None = None,
    ) -> None:
        self.is_truncated = False
        self._by = by
        self._max_hops = math.inf if max_hops is None else max_hops
        # Of the fewest hops, no way with more of them can be the better one.
        self._counts_hops = max_hops is not None and by == "strongest"
        self._effort = effort or Effort()
        against = replace(reach, direction=_AGAINST[reach.direction])
        self._sides = _Side(ends[0], reach), _Side(ends[1], against)
        self._asked: tuple[_Side, list[str]] | None = None
        self._looked = self._expanded = 0
        self._best: tuple[_Label, _Label] | None = None
        self._least: Cost = (math.inf, math.inf)
        if ends[0] == ends[1]:
            forward, backward = self._sides
            self._meet(forward, _first(forward), _first(backward))

    def wanted(self) -> Wanted | None:
        """Return which relations are needed next; None: it is over."""
        while not self._is_over():
            side = min(self._sides, key=lambda each: len(each.heap))
            if nodes := side.missing(self._effort.batch):
                return self._ask(side, nodes)
            self._settle(side)
        return None

    def take(self, edges: Sequence[Edge]) -> None:
        """Go on with what was wanted, the strongest first."""
        if self._asked is None:
            return
        side, nodes = self._asked
        left = self._effort.edges - self._looked
        self.is_truncated |= len(edges) > left
        side.learn(nodes, edges[:left])
        self._looked += min(len(edges), left)
        self._expanded += len(nodes)

    @property
    def path(self) -> Path | None:
        """The best path found; None: there is none."""
        if self._best is None:
            return None
        there, back = self._best
        edges: list[Edge] = []
        nodes: list[str] = []
        for label in _steps(there):
            nodes.append(label.node)
            edges += [label.edge] if label.edge else []
        nodes.reverse()
        edges.reverse()
        for label in _steps(back):
            nodes += [label.before.node] if label.before else []
            edges += [label.edge] if label.edge else []
        return Path(nodes, edges, math.prod(edge.weight for edge in edges))

    def _ask(self, side: _Side, nodes: list[str]) -> Wanted | None:
        left = self._effort.edges - self._looked
        if left <= 0 or self._expanded >= self._effort.nodes:
            self.is_truncated = True
            return None
        self._asked = side, nodes
        return Wanted(nodes, side.reach, left + 1)

    def _is_over(self) -> bool:
        for side in self._sides:
            side.drop_stale()
            if not side.heap:
                return True
        tops = _plus(*(side.heap[0][0] for side in self._sides))
        return tops >= self._least

    def _settle(self, side: _Side) -> None:
        label = heapq.heappop(side.heap)[3]
        if label.hops >= self._max_hops:
            return
        other = self._sides[side is self._sides[0]]
        # Where the other side has not been yet, it cannot come cheaper than this.
        top = other.heap[0][0] if other.heap else (0.0, 0.0)
        for node, edge in side.ways[label.node]:
            cost = _plus(label.cost, self._cost(edge))
            matches = other.labels.get(node, ())
            is_short = _plus(cost, top) < self._least
            if not matches and not is_short:
                continue
            more = _Label(cost, label.hops + 1, node, label, edge)
            for match in matches:
                self._meet(side, more, match)
            if is_short:
                side.push(more, counts_hops=self._counts_hops)

    def _meet(self, side: _Side, label: _Label, match: _Label) -> None:
        """Keep the path over these labels, if it is the best."""
        cost = _plus(label.cost, match.cost)
        if cost < self._least and label.hops + match.hops <= self._max_hops:
            is_forward = side is self._sides[0]
            self._best = (label, match) if is_forward else (match, label)
            self._least = cost

    def _cost(self, edge: Edge) -> Cost:
        weakness = -math.log(edge.weight)
        return (1.0, weakness) if self._by == "fewest" else (weakness, 1.0)


def _is_as_good(label: _Label, other: _Label, counts_hops: bool) -> bool:  # noqa: FBT001 - told of in `push`
    return label.cost <= other.cost and (not counts_hops or label.hops <= other.hops)


def _first(side: _Side) -> _Label:
    return side.heap[0][3]


def _plus(left: Cost, right: Cost) -> Cost:
    return left[0] + right[0], left[1] + right[1]


def _steps(label: _Label) -> list[_Label]:
    """Return the labels from this one to the first."""
    steps = [label]
    while steps[-1].before:
        steps.append(steps[-1].before)
    return steps
