"""Reviews of who is who in groups of pictures, and groups that keep to them."""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from itertools import combinations
from typing import Final, NamedTuple

import numpy as np

from dinoserve.domain.groups import Labels
from dinoserve.domain.labelled_pairs import LabelledPair

MAX_REVIEWED: Final = 64
"""Assets of one review; every two of them are a labelled pair."""


class ReviewedPair(NamedTuple):
    """What somebody decided of two assets.

    Attributes:
        pair: the left id is less than the right one.
    """

    pair: LabelledPair
    decided_at: datetime


class Edge(NamedTuple):
    """Two places of a set that look alike, and their cosine."""

    left: int
    right: int
    score: float


def pairs_of(parts: Sequence[Sequence[str]]) -> list[LabelledPair]:
    """Return every two assets: the same within a part, different across parts."""
    placed = [(asset, at) for at, part in enumerate(parts) for asset in part]
    return [
        LabelledPair(min(left, right), max(left, right), same=at == other)
        for (left, at), (right, other) in combinations(placed, 2)
    ]


def contradiction(
    pairs: Collection[LabelledPair], reviewed: Collection[str]
) -> LabelledPair | None:
    """Return a pair that is different, and the same by way of others; None: none.

    Args:
        pairs: all that would be remembered.
        reviewed: assets; what contradicts itself among others is not looked for.
    """
    ids = sorted({key for pair in pairs for key in (pair.left, pair.right)})
    at = {key: place for place, key in enumerate(ids)}
    known = [(at[pair.left], at[pair.right], pair.same) for pair in pairs]
    labels: list[int] = kept_together(len(ids), [], known).tolist()
    groups = dict(zip(ids, labels, strict=True))
    touched = {groups[key] for key in reviewed}
    for pair in pairs:
        group = groups[pair.left]
        if not pair.same and group == groups[pair.right] and group in touched:
            return pair
    return None


def kept_together(
    count: int, edges: Iterable[Edge], decided: Iterable[tuple[int, int, bool]]
) -> Labels:
    """Return groups of places: int32 (count,), each named by its least place.

    What was decided to be the same is together. Then edges join groups, the most alike
    first, except where two members were decided to be different.

    Args:
        count: places.
        edges: that may join.
        decided: two places, and whether they show the same.

    Source:
        Klein, Kamvar & Manning, "From Instance-level Constraints to Space-Level
        Constraints" (2002): single linkage under must-link and cannot-link.
    """
    groups = _Groups(count)
    known = list(decided)
    for left, right, same in known:
        if same:
            groups.join(left, right)
    for left, right, same in known:
        if not same:
            groups.part(left, right)
    for edge in sorted(edges, key=lambda one: -one.score):
        if not groups.are_apart(edge.left, edge.right):
            groups.join(edge.left, edge.right)
    return groups.labels()


class _Groups:
    def __init__(self, count: int) -> None:
        self._of = list(range(count))
        self._members = [{at} for at in range(count)]
        self._others: list[set[int]] = [set() for _ in range(count)]

    def join(self, left: int, right: int) -> None:
        kept, gone = sorted((self._of[left], self._of[right]))
        if kept == gone:
            return
        for member in self._members[gone]:
            self._of[member] = kept
        self._members[kept] |= self._members[gone]
        self._others[kept] |= self._others[gone]

    def part(self, left: int, right: int) -> None:
        self._others[self._of[left]].add(right)
        self._others[self._of[right]].add(left)

    def are_apart(self, left: int, right: int) -> bool:
        others = self._others[self._of[left]]
        return not others.isdisjoint(self._members[self._of[right]])

    def labels(self) -> Labels:
        return np.array(self._of, np.int32)
