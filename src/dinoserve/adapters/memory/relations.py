"""Relations, and marks of them for followers, in dictionaries."""

import json
from collections.abc import (
    AsyncGenerator,
    Callable,
    Collection,
    Iterable,
    Mapping,
    Sequence,
)
from dataclasses import replace
from itertools import count
from typing import Final

import numpy as np

from dinoserve.domain.relations import (
    Edge,
    EdgeBlock,
    Node,
    Reach,
    Relation,
    RelationKey,
    Scope,
    node_of,
)
from dinoserve.errors import InvalidInputError, NodeNotFoundError
from dinoserve.ports import Mark

BATCH: Final = 4096


class MemoryRelations:
    """`ports.RelationStore` and `ports.RelationLog` in dictionaries.

    Args:
        is_there: tells whether an asset or character is kept.

    Raises:
        InvalidInputError: text that is not Unicode, in what is stored.
    """

    def __init__(self, is_there: Callable[[Node], bool]) -> None:
        self._is_there = is_there
        self._relations: dict[RelationKey, Relation] = {}
        # Of each node: where it is an end.
        self._ends: dict[str, set[RelationKey]] = {}
        self._marks: dict[str, dict[Mark, int]] = {}
        self._versions = count(1)

    async def put(self, relations: Sequence[Relation]) -> None:
        """Store each, in place of the one of the same key: all of them, or none."""
        copies = [_copy(each) for each in relations]
        for name in {end for each in copies for end in each.key[:2]}:
            self._require(name)
        for each in copies:
            self._relations[each.key] = each
            for end in each.key[:2]:
                self._ends.setdefault(end, set()).add(each.key)
        self._mark(Mark(each.key, None, 0) for each in copies)

    async def remove(
        self, keys: Collection[RelationKey] = (), nodes: Collection[str] = ()
    ) -> None:
        """Erase these relations, and every relation of these nodes."""
        there = [key for key in keys if key in self._relations]
        self._mark(Mark(key, None, 0) for key in there)
        self._erase(there)
        for node in nodes:
            self.forget(node)

    async def get(self, keys: Collection[RelationKey]) -> list[Relation]:
        """Return the relations, absent ones left out."""
        found = (self._relations.get(key) for key in set(keys))
        return [_copy(each) for each in found if each]

    async def touching(
        self, nodes: Collection[str], reach: Reach, limit: int
    ) -> list[Edge]:
        """Return relations that lead from these nodes, the strongest first."""
        meant = set(nodes)
        found = {key for node in meant for key in self._ends.get(node, ())}
        edges = [
            Edge(*key, self._relations[key].weight)
            for key in found
            if _leads(key, meant, reach)
            and _is_meant(self._relations[key], reach.kinds, reach.min_weight)
        ]
        edges.sort(key=lambda edge: (-edge.weight, edge.key))
        return edges[:limit]

    async def scan(self, scope: Scope) -> AsyncGenerator[EdgeBlock]:
        """Yield every relation of the scope, `BATCH` at a time."""
        found = [
            each
            for each in self._relations.values()
            if scope.collection in {None, each.collection}
            and _is_meant(each, scope.kinds, scope.min_weight)
        ]
        nodes: dict[str, int] = {}
        kinds: dict[str, int] = {}
        for start in range(0, len(found), BATCH):
            yield _block(found[start : start + BATCH], nodes, kinds)

    async def ping(self) -> str:
        """Return the name of the store."""
        return "memory"

    async def follow(self, follower: str) -> bool:
        """Mark for this follower from now on; tell whether it had been begun before."""
        is_known = follower in self._marks
        self._marks.setdefault(follower, {})
        return is_known

    async def unfollow(self, follower: str) -> None:
        """Forget the follower with its marks."""
        self._marks.pop(follower, None)

    async def followers(self, limit: int) -> Mapping[str, int]:
        """Return who follows, and how many marks each has, counted up to `limit`."""
        return {name: min(len(marks), limit) for name, marks in self._marks.items()}

    async def marked(self, follower: str, limit: int) -> list[Mark]:
        """Return marks, the oldest first, at most so many."""
        marks = self._marks.get(follower, {}).items()
        oldest = sorted(marks, key=lambda mark: mark[1])[:limit]
        return [subject._replace(version=version) for subject, version in oldest]

    async def settle(self, follower: str, marks: Collection[Mark]) -> list[Mark]:
        """Take marks off; return those that were taken off or renewed by others."""
        if follower not in self._marks:
            return []
        kept = self._marks[follower]
        others: list[Mark] = []
        for mark in marks:
            subject = mark._replace(version=0)
            if kept.get(subject) == mark.version:
                del kept[subject]
                continue
            others.append(mark)
            if subject not in kept:
                kept[subject] = next(self._versions)
        return others

    def forget(self, node: str) -> None:
        """Erase every relation of a node; mark what has none any more."""
        if keys := list(self._ends.get(node, ())):
            self._erase(keys)
            ends = dict.fromkeys(end for key in keys for end in key[:2])
            gone = [node, *(end for end in ends if end not in self._ends)]
            self._mark(Mark(None, each, 0) for each in gone)

    def mark_edited(self, node: str) -> None:
        """Mark that the record of a node says something else, if it has relations."""
        if node in self._ends:
            self._mark([Mark(None, node, 0, is_edited=True)])

    def _erase(self, keys: Iterable[RelationKey]) -> None:
        for key in keys:
            if self._relations.pop(key, None) is None:
                continue
            for end in key[:2]:
                ends = self._ends.get(end, set())
                ends.discard(key)
                if not ends:
                    self._ends.pop(end, None)

    def _mark(self, subjects: Iterable[Mark]) -> None:
        touched = list(subjects)
        for marks in self._marks.values():
            marks |= {each: next(self._versions) for each in touched}

    def _require(self, name: str) -> None:
        node = node_of(name)
        if node.kind in {"asset", "character"} and not self._is_there(node):
            raise NodeNotFoundError(
                f"No {node.kind} has the id {node.name}.", value=name
            )


def _leads(key: RelationKey, nodes: set[str], reach: Reach) -> bool:
    leads_out = reach.direction != "in" and key.source in nodes
    return leads_out or (reach.direction != "out" and key.target in nodes)


def _is_meant(relation: Relation, kinds: Collection[str], min_weight: float) -> bool:
    return relation.weight >= min_weight and (not kinds or relation.key.kind in kinds)


def _block(
    relations: Sequence[Relation], nodes: dict[str, int], kinds: dict[str, int]
) -> EdgeBlock:
    known_nodes, known_kinds = len(nodes), len(kinds)
    for each in relations:
        for end in each.key[:2]:
            nodes.setdefault(end, len(nodes))
        kinds.setdefault(each.key.kind, len(kinds))
    return EdgeBlock(
        list(nodes)[known_nodes:],
        list(kinds)[known_kinds:],
        np.array([nodes[each.key.source] for each in relations], np.int32),
        np.array([nodes[each.key.target] for each in relations], np.int32),
        np.array([kinds[each.key.kind] for each in relations], np.int32),
        np.array([each.weight for each in relations], np.float64),
    )


def _copy(relation: Relation) -> Relation:
    """Return the relation as JSON would carry it; nothing that changes is shared."""
    text = json.dumps(dict(relation.attributes), ensure_ascii=False)
    try:
        json.dumps([text, *relation.key], ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise InvalidInputError(
            "Text must be Unicode without lone surrogates."
        ) from error
    return replace(relation, attributes=json.loads(text))
