"""Walks outwards from nodes, level by level, and their pages."""

import base64
import binascii
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from dinoserve.domain.relations import Edge, Reach, node_of
from dinoserve.errors import InvalidInputError

MAX_DEPTH: Final = 5
MAX_NODES: Final = 10_000
"""Nodes that one walk finds."""
MAX_EDGES: Final = 50_000
"""Relations that one walk looks at."""


class Found(NamedTuple):
    """A node that a walk came to.

    Attributes:
        depth: relations on the shortest ways to it; 0: the walk began there.
        strength: the greatest product of weights along these, in [0, 1].
    """

    node: str
    depth: int
    strength: float


@dataclass(frozen=True, slots=True)
class Bounds:
    """How far a walk goes.

    Attributes:
        depth: in relations.
        nodes: that it finds at most, the strongest of a level first.
        edges: that it looks at at most, the strongest of a level first.
    """

    depth: int
    nodes: int = MAX_NODES
    edges: int = MAX_EDGES


class Spread:
    """A breadth-first search that is given the relations it asks for, level by level.

    Args:
        starts: ids of nodes.
        reach: along which relations it goes.
        bounds: how far.

    Attributes:
        found: the starts, then what was come to: by depth, then falling strength, then
            id.
        is_truncated: a bound was met; there may be more.
    """

    def __init__(self, starts: Sequence[str], reach: Reach, bounds: Bounds) -> None:
        self.found = [Found(node, 0, 1.0) for node in dict.fromkeys(starts)]
        self.is_truncated = False
        self._reach = reach
        self._bounds = bounds
        self._depth = 0
        self._frontier = {each.node: each.strength for each in self.found}
        self._ranks = {each.node: rank for rank, each in enumerate(self.found)}
        self._seen: dict[Edge, None] = {}

    @property
    def wanted(self) -> list[str]:
        """The nodes whose relations are needed next; none: it is over."""
        is_over = self._depth >= self._bounds.depth or self.is_truncated
        return [] if is_over else [*self._frontier]

    @property
    def limit(self) -> int:
        """How many relations are needed at most: one more than may be looked at."""
        return max(self._bounds.edges - len(self._seen), 0) + 1

    def take(self, edges: Sequence[Edge]) -> None:
        """Go on to the next level.

        Args:
            edges: those that lead from the nodes wanted, the strongest first.
        """
        edges = self._within_limit(edges)
        strengths = self._strengths(edges)
        self._seen |= dict.fromkeys(edges)
        self._depth += 1
        order = sorted(strengths.items(), key=lambda item: (-item[1], item[0]))
        room = self._bounds.nodes - len(self.found)
        self.is_truncated |= len(order) > room
        self._frontier = dict(order[:room])
        for node, strength in self._frontier.items():
            self._ranks[node] = len(self.found)
            self.found.append(Found(node, self._depth, strength))

    def close(self, edges: Sequence[Edge]) -> None:
        """Take the relations among the last nodes, and go no further."""
        self._seen |= dict.fromkeys(self._within_limit(edges))

    @property
    def last(self) -> list[str]:
        """The nodes that are furthest; nothing was asked about them yet."""
        return [*self._frontier]

    def edges(self, first: int, end: int) -> list[Edge]:
        """Return relations of which the later end is found at these places.

        So every relation that the walk saw between nodes it found belongs to just one
        page. Order: the strongest first.
        """
        kept = [edge for edge in self._seen if first <= self._rank(edge) < end]
        kept.sort(key=lambda edge: (-edge.weight, edge.key))
        return kept

    def _rank(self, edge: Edge) -> float:
        """Return where the later of its ends is found; beyond all: one was not."""
        return max(
            self._ranks.get(edge.source, math.inf),
            self._ranks.get(edge.target, math.inf),
        )

    def _within_limit(self, edges: Sequence[Edge]) -> Sequence[Edge]:
        if len(edges) < self.limit:
            return edges
        self.is_truncated = True
        return edges[: self.limit - 1]

    def _strengths(self, edges: Sequence[Edge]) -> dict[str, float]:
        goes_out, goes_in = goes(self._reach)
        frontier, ranks = self._frontier, self._ranks
        found: dict[str, float] = {}
        for source, target, _, weight in edges:
            if goes_out and source in frontier and target not in ranks:
                strength = frontier[source] * weight
                if strength > found.get(target, -1.0):
                    found[target] = strength
            if goes_in and target in frontier and source not in ranks:
                strength = frontier[target] * weight
                if strength > found.get(source, -1.0):
                    found[source] = strength
        return found


def goes(reach: Reach) -> tuple[bool, bool]:
    """Tell whether a walk goes from source to target, and from target to source."""
    return reach.direction != "in", reach.direction != "out"


class WalkCursor(NamedTuple):
    """The last node of the page before: continue strictly after it."""

    last: Found

    def encode(self) -> str:
        """Return the cursor as URL-safe text."""
        node, depth, strength = self.last
        raw = f"{depth}|{strength!r}|{node}".encode()
        return base64.urlsafe_b64encode(raw).decode().rstrip("=")

    @classmethod
    def decode(cls, text: str) -> "WalkCursor":
        """Return the cursor that a page gave out.

        Raises:
            InvalidInputError: no page of ours gave out this text.
        """
        try:
            raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()
            return cls(_found(raw))
        except (ValueError, binascii.Error, InvalidInputError) as error:
            raise InvalidInputError(
                "This cursor was not given out by this list; start without one.",
                field="cursor",
                value=text[:80],
            ) from error

    def place(self, found: Sequence[Found]) -> int:
        """Return the place of the first node behind it."""
        mark = _order(self.last)
        return sum(_order(each) <= mark for each in found)


def _found(raw: str) -> Found:
    depth, strength, node = raw.split("|", 2)
    node_of(node)
    found = Found(node, int(depth), float(strength))
    if not 0 <= found.strength <= 1:
        raise ValueError("no walk has such a strength")
    return found


def _order(found: Found) -> tuple[int, float, str]:
    return found.depth, -found.strength, found.node
