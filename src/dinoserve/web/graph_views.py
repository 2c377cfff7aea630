"""How the graph is shown."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal, Self

from pydantic import BaseModel, Field

from dinoserve.domain.graph_walks import Found
from dinoserve.domain.relations import Relation
from dinoserve.services.graph import Connection, Portion
from dinoserve.services.graph_nodes import About
from dinoserve.services.graph_whole import GraphParts

# Pixels: what a list shows.
_THUMBNAIL = 128


class NodeView(BaseModel):
    """A node; of an asset or character, what is kept of it."""

    id: str
    kind: str
    name: str | None = Field(
        description="Of the file or character, null if it has none; else its own."
    )
    collection: str | None
    thumbnail: str | None = Field(description="Path of a small picture of it.")

    @classmethod
    def of(cls, node: str, about: Mapping[str, About], **more: object) -> Self:
        """Return the view of a node."""
        kind, _, name = node.partition(":")
        known = about.get(node, About(None, "", None))
        is_named = kind not in {"asset", "character"}
        shown = {
            "id": node,
            "kind": kind,
            "name": name if is_named else known.name,
            "collection": known.collection or None,
            "thumbnail": _thumbnail(known.picture),
        }
        return cls.model_validate(shown | more)


class FoundView(NodeView):
    """A node that a walk came to."""

    depth: int = Field(description="Relations on the shortest ways to it.")
    strength: float = Field(
        description="The greatest product of weights along these, in [0, 1]."
    )


class RelationView(BaseModel):
    """A relation, and where it comes from."""

    source: str
    target: str
    kind: str
    weight: float
    attributes: dict[str, Any]
    created_at: datetime = Field(description="When it was last put.")
    origin: str
    recipe: str | None
    collection: str | None

    @classmethod
    def of(cls, relation: Relation) -> Self:
        """Return the view of a relation."""
        source, target, kind = relation.key
        return cls(
            source=source,
            target=target,
            kind=kind,
            weight=relation.weight,
            attributes=dict(relation.attributes),
            created_at=relation.created_at.astimezone(UTC),
            origin=relation.origin,
            recipe=relation.recipe,
            collection=relation.collection,
        )


class StoredAnswer(BaseModel):
    """How many relations are stored now of those that were given."""

    stored: int


class NeighboursAnswer(BaseModel):
    """Nodes by depth, then falling strength, then id; and relations among them."""

    node: str
    nodes: list[FoundView]
    relations: list[RelationView] = Field(
        description="That the walk went along or passed: each is on the page of its"
        " later end."
    )
    relations_left_out: int = Field(description="Of the page: the weakest.")
    truncated: bool = Field(description="A bound was met; there may be more.")
    served_by: str
    next_cursor: str | None

    @classmethod
    def of(cls, node: str, portion: Portion) -> Self:
        """Return the answer."""
        return cls(
            node=node,
            nodes=found_views(portion),
            relations=[RelationView.of(each) for each in portion.relations],
            relations_left_out=portion.left_out,
            truncated=portion.is_truncated,
            served_by=portion.served_by,
            next_cursor=portion.next.encode() if portion.next else None,
        )


class PathAnswer(BaseModel):
    """The best path; nodes without relations: the ends are one; no nodes: none."""

    found: bool
    nodes: list[NodeView]
    relations: list[RelationView] = Field(description="In the order of the path.")
    strength: float | None = Field(description="Product of the weights; null: no path.")
    truncated: bool = Field(
        description="The search met a bound: there may be a better path, or one."
    )
    served_by: str

    @classmethod
    def of(cls, connection: Connection) -> Self:
        """Return the answer."""
        path, about = connection.path, connection.about
        return cls(
            found=path is not None,
            nodes=[NodeView.of(node, about) for node in (path.nodes if path else ())],
            relations=[RelationView.of(each) for each in connection.relations],
            strength=path.strength if path else None,
            truncated=connection.is_truncated,
            served_by=connection.served_by,
        )


class PartView(BaseModel):
    """Nodes that belong together."""

    size: int
    nodes: list[NodeView] = Field(
        description="By falling count of relations, ties by id; not all of a large one."
    )


class PartsAnswer(BaseModel):
    """The parts that relations make of their nodes, the largest first."""

    nodes: int = Field(description="That the relations are between.")
    relations: int = Field(description="That were looked at.")
    count: int = Field(description="Parts of `min_size` or more.")
    served_by: str


class ComponentsAnswer(PartsAnswer):
    """What is connected, whatever the directions of relations."""

    components: list[PartView]

    @classmethod
    def of(cls, found: GraphParts) -> Self:
        """Return the answer."""
        return cls(components=_parts(found), **_counts(found))


class CommunitiesAnswer(PartsAnswer):
    """What is related more among each other than to others."""

    method: Literal["leiden"]
    modularity: float = Field(description="How much more, at most 1; 0: by chance.")
    communities: list[PartView]

    @classmethod
    def of(cls, found: GraphParts) -> Self:
        """Return the answer."""
        return cls(
            method="leiden",
            modularity=found.modularity or 0.0,
            communities=_parts(found),
            **_counts(found),
        )


def found_views(portion: Portion) -> list[FoundView]:
    """Return the views of what a walk came to."""
    return [_found(each, portion.about) for each in portion.nodes]


def _found(each: Found, about: Mapping[str, About]) -> FoundView:
    return FoundView.of(each.node, about, depth=each.depth, strength=each.strength)


def _parts(found: GraphParts) -> list[PartView]:
    return [
        PartView(
            size=part.size,
            nodes=[NodeView.of(node, found.about) for node in part.members],
        )
        for part in found.parts.shown
    ]


def _counts(found: GraphParts) -> dict[str, Any]:
    return {
        "nodes": found.nodes,
        "relations": found.relations,
        "count": found.parts.total,
        "served_by": found.served_by,
    }


def _thumbnail(asset_id: str | None) -> str | None:
    if asset_id is None:
        return None
    return f"/v1/assets/{asset_id}/content?width={_THUMBNAIL}&height={_THUMBNAIL}"
