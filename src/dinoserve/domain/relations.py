"""Relations between images, characters and what else people name: the graph."""

import json
import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal, NamedTuple, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from dinoserve.domain.assets import (
    ASSET_ID_PATTERN,
    COLLECTION_PATTERN,
    Metadata,
    check_metadata,
)
from dinoserve.errors import InvalidInputError

NodeKind: TypeAlias = Literal["asset", "character", "collection", "tag", "entity"]
Direction: TypeAlias = Literal["out", "in", "any"]

KIND_PATTERN: Final = r"^[a-z][a-z0-9_]{0,39}$"
MAX_NAME: Final = 128
MAX_ATTRIBUTES_BYTES: Final = 4096

OWN_KINDS: Final = frozenset(
    {
        "similar",
        "near_duplicate",
        "duplicate",
        "depicts",
        "derived_from",
        "same_shot",
    }
)
"""Kinds with a meaning of ours; every other kind is somebody's own."""

_PATTERNS: Final[Mapping[str, str]] = {
    "asset": ASSET_ID_PATTERN,
    "character": ASSET_ID_PATTERN,
    "collection": COLLECTION_PATTERN,
    "tag": rf"^[^\x00-\x1f\x7f]{{1,{MAX_NAME}}}$",
    "entity": rf"^[^\x00-\x1f\x7f]{{1,{MAX_NAME}}}$",
}


class Node(NamedTuple):
    """What relations are between.

    Attributes:
        kind: what it is.
        name: an id, of an asset or character; else a name.
    """

    kind: NodeKind
    name: str

    def __str__(self) -> str:
        """Return its id, e.g. `tag:hero`."""
        return f"{self.kind}:{self.name}"


def node_of(text: str) -> Node:
    """Return the node of this id.

    Raises:
        InvalidInputError: it is none: `kind:name`.
    """
    kind, colon, name = text.partition(":")
    for known in get_args(NodeKind):
        if kind == known and re.fullmatch(_PATTERNS[kind], name):
            return Node(known, name)
    kinds = ", ".join(get_args(NodeKind))
    wrong = "its name cannot be one" if colon and kind in _PATTERNS else "it is none"
    raise InvalidInputError(
        f"A node is named `kind:name`, with one of the kinds {kinds}; {wrong}:"
        f" {text[:80]!r}."
    )


class RelationKey(NamedTuple):
    """Which relation: there is one at most of each kind from one node to another.

    Attributes:
        source: id of the node that it goes from, e.g. `asset:9f…`.
        target: id of the node that it goes to.
        kind: matches `KIND_PATTERN`.
    """

    source: str
    target: str
    kind: str


@dataclass(frozen=True, slots=True)
class Relation:
    """A directed, weighted relation, and where it comes from.

    Attributes:
        weight: how strong, in (0, 1]; of `similar`: the cosine.
        created_at: when it was last put; aware, UTC, microseconds.
        origin: what put it, e.g. `user`, `check`, or `job:` and the id of a job.
        recipe: of the vectors that it was found with; None: of none.
        collection: of its source, else of its target; None: of neither.
        attributes: JSON, at most `MAX_ATTRIBUTES_BYTES`.
    """

    key: RelationKey
    weight: float
    created_at: datetime
    origin: str
    recipe: str | None = None
    collection: str | None = None
    attributes: Metadata = field(default_factory=dict[str, object])


class Edge(NamedTuple):
    """A relation without its stamps."""

    source: str
    target: str
    kind: str
    weight: float

    @property
    def key(self) -> RelationKey:
        """Return which relation it is."""
        return RelationKey(self.source, self.target, self.kind)


@dataclass(frozen=True, slots=True)
class Reach:
    """Along which relations a walk goes.

    Attributes:
        kinds: any of these; empty: all.
        min_weight: at least this.
        direction: `out`: from source to target; `in`: against it; `any`: both ways.
    """

    kinds: Collection[str] = ()
    min_weight: float = 0.0
    direction: Direction = "any"


@dataclass(frozen=True, slots=True)
class Scope:
    """Which relations of all.

    Attributes:
        kinds: any of these; empty: all.
        min_weight: at least this.
        collection: only of this one; None: of all, and of none.
    """

    kinds: Collection[str] = ()
    min_weight: float = 0.0
    collection: str | None = None


class EdgeBlock(NamedTuple):
    """Some edges of a scan as columns; nodes are numbered as they first appear.

    Attributes:
        nodes: ids of the nodes that no block before had; the first of all has number 0.
        kinds: that no block before had, numbered in the same way.
        source: int32 (n,), numbers of nodes.
        target: int32 (n,), numbers of nodes.
        kind: int32 (n,), numbers of kinds.
        weight: float64 (n,).
    """

    nodes: Sequence[str]
    kinds: Sequence[str]
    source: NDArray[np.int32]
    target: NDArray[np.int32]
    kind: NDArray[np.int32]
    weight: NDArray[np.float64]


def check_relation(relation: Relation) -> None:
    """Pass if the relation may be kept.

    Raises:
        InvalidInputError: which part of it may not, and what would be.
    """
    source, target, kind = relation.key
    for end in (source, target):
        node_of(end)
    if not re.fullmatch(KIND_PATTERN, kind):
        raise InvalidInputError(
            f"`kind` is {kind[:80]!r}; it must match {KIND_PATTERN}, e.g. `similar`.",
            field="kind",
            limit=KIND_PATTERN,
            value=kind[:80],
        )
    if not (math.isfinite(relation.weight) and 0 < relation.weight <= 1):
        raise InvalidInputError(
            f"`weight` is {relation.weight}; it must be more than 0 and at most 1.",
            field="weight",
            limit=1,
            value=str(relation.weight),
        )
    if source == target and kind in OWN_KINDS:
        raise InvalidInputError(
            f"{source} cannot be {kind!r} to itself: name another target, or a kind of"
            " your own.",
            field="target",
        )
    _check_attributes(relation.attributes)


def _check_attributes(attributes: Metadata) -> None:
    try:
        check_metadata(attributes)
    except InvalidInputError as error:
        raise error.at("attributes") from error
    size = len(json.dumps(dict(attributes), ensure_ascii=False).encode())
    if size > MAX_ATTRIBUTES_BYTES:
        raise InvalidInputError(
            f"`attributes` have {size} bytes as JSON; {MAX_ATTRIBUTES_BYTES} are the"
            " most.",
            field="attributes",
            limit=MAX_ATTRIBUTES_BYTES,
            value=size,
        )
