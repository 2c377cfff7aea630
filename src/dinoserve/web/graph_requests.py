"""What is asked of the graph."""

from collections.abc import Collection
from typing import Annotated, Self

from pydantic import Field, FiniteFloat, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from dinoserve.domain.graph_parts import Shown
from dinoserve.domain.graph_paths import MAX_HOPS, By
from dinoserve.domain.graph_walks import MAX_DEPTH, MAX_NODES
from dinoserve.domain.relations import (
    KIND_PATTERN,
    Direction,
    Reach,
    RelationKey,
    Scope,
    node_of,
)
from dinoserve.errors import InvalidInputError
from dinoserve.services.graph_stating import MAX_RELATIONS, Stated
from dinoserve.web.schemas import Body, CollectionText

MAX_NODE: int = 160
"""Characters of a node's id: more than the longest has."""

NodeText = Annotated[str, StringConstraints(min_length=1, max_length=MAX_NODE)]
KindText = Annotated[str, StringConstraints(pattern=KIND_PATTERN)]
Weight = Annotated[FiniteFloat, Field(gt=0, le=1)]
_RecipeText = Annotated[
    str, StringConstraints(min_length=1, max_length=128, pattern=r"^[!-~]+$")
]
_Kinds = Annotated[list[KindText], Field(max_length=50)]


class RelationKeyBody(Body):
    """Which relation: from where, to where, of which kind."""

    source: NodeText = Field(description="`kind:name`, e.g. `asset:9f…`, `tag:hero`.")
    target: NodeText
    kind: KindText

    def key(self) -> RelationKey:
        """Return which relation it is."""
        return RelationKey(self.source, self.target, self.kind)


class RelationBody(RelationKeyBody):
    """A relation as it is stated."""

    weight: Weight = Field(default=1.0, description="How strong, in (0, 1].")
    attributes: dict[str, object] = Field(default={})
    recipe: _RecipeText | None = Field(
        default=None, description="Of the vectors that it was found with."
    )

    def to_domain(self) -> Stated:
        """Return the relation."""
        return Stated(self.key(), self.weight, self.attributes, self.recipe)


class RelationsBody(Body):
    """Relations to store, each in place of the one of the same key."""

    relations: list[RelationBody] = Field(min_length=1, max_length=MAX_RELATIONS)


class ErasedBody(Body):
    """Relations to erase: some by their keys, or all of one node."""

    relations: list[RelationKeyBody] | None = Field(
        default=None, min_length=1, max_length=MAX_RELATIONS
    )
    node: NodeText | None = Field(
        default=None, description="All its relations go; an asset itself stays."
    )

    @model_validator(mode="after")
    def _one_choice(self) -> Self:
        if (self.relations is None) == (self.node is None):
            raise PydanticCustomError(
                "one_of", "give just one of `relations` and `node`"
            )
        return self

    def keys(self) -> list[RelationKey]:
        """Return which relations are meant.

        Raises:
            InvalidInputError: an end is no node.
        """
        found: list[RelationKey] = []
        for at, each in enumerate(self.relations or ()):
            check_node(each.source, f"relations[{at}].source")
            check_node(each.target, f"relations[{at}].target")
            found.append(each.key())
        return found

    def nodes(self) -> list[str]:
        """Return the node that is meant, if any; errors as `keys`."""
        return [check_node(self.node, "node")] if self.node is not None else []


class _ReachQuery(Body):
    kind: _Kinds = Field(default=[], description="Any of these; none: every kind.")
    min_weight: FiniteFloat = Field(default=0.0, ge=0, le=1)
    direction: Direction = Field(
        default="any",
        description="`out`: from source to target; `in`: against it; `any`: both ways.",
    )

    def reach(self) -> Reach:
        """Return along which relations a walk goes."""
        return Reach(_once(self.kind), self.min_weight, self.direction)


class NeighboursQuery(_ReachQuery):
    """How far to walk, and which page of it to show."""

    depth: int = Field(default=1, ge=1, le=MAX_DEPTH)
    limit: int = Field(default=50, ge=1, le=1000)
    cursor: str | None = Field(default=None, max_length=400)


class PathQuery(_ReachQuery):
    """Between which nodes, and which path is the best."""

    source: NodeText
    target: NodeText
    by: By = Field(
        default="strongest",
        description="`strongest`: the greatest product of weights; `fewest`: relations,"
        " and among those the strongest.",
    )
    max_depth: int | None = Field(
        default=None, ge=1, le=MAX_HOPS, description="Relations of the path at most."
    )


class SubgraphQuery(_ReachQuery):
    """Around which nodes, and how much."""

    node: list[NodeText] = Field(min_length=1, max_length=100)
    depth: int = Field(default=1, ge=0, le=MAX_DEPTH)
    limit: int = Field(default=1000, ge=1, le=MAX_NODES, description="Nodes at most.")


class PartsQuery(Body):
    """Which relations to look at, and how much to show."""

    collection: CollectionText | None = None
    kind: _Kinds = Field(default=[], description="Any of these; none: every kind.")
    min_weight: FiniteFloat = Field(default=0.0, ge=0, le=1)
    min_size: int = Field(default=2, ge=1, le=1_000_000)
    limit: int = Field(default=100, ge=1, le=1000, description="Parts at most.")
    members: int = Field(
        default=10, ge=1, le=1000, description="Nodes that are shown of each, at most."
    )

    @model_validator(mode="after")
    def _not_too_much(self) -> Self:
        if self.limit * self.members > MAX_NODES:
            raise PydanticCustomError(
                "too_many",
                "`limit` times `members` is {given}; {limit} nodes are the most",
                {"given": self.limit * self.members, "limit": MAX_NODES},
            )
        return self

    def scope(self) -> Scope:
        """Return which relations are meant."""
        return Scope(_once(self.kind), self.min_weight, self.collection)

    def shown(self) -> Shown:
        """Return how much is shown."""
        return Shown(self.min_size, self.limit, self.members)


def check_node(text: str, field: str) -> str:
    """Return the id if it is a node's, or raise InvalidInputError of the field."""
    try:
        node_of(text)
    except InvalidInputError as error:
        raise error.at(field) from error
    return text


def _once(kinds: list[str]) -> Collection[str]:
    return tuple(dict.fromkeys(kinds))
