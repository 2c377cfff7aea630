"""Stating relations: what somebody says of nodes becomes what is kept."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from dinoserve.domain.assets import Metadata
from dinoserve.domain.relations import (
    Relation,
    RelationKey,
    check_relation,
    node_of,
)
from dinoserve.errors import InvalidInputError, NodeNotFoundError
from dinoserve.services.graph_nodes import About, absent
from dinoserve.services.relating import SAID

MAX_RELATIONS: Final = 10_000
"""Relations that one request stores or erases."""


@dataclass(frozen=True, slots=True)
class Stated:
    """A relation as somebody states it; the service stamps it."""

    key: RelationKey
    weight: float = 1.0
    attributes: Metadata = field(default_factory=dict[str, object])
    recipe: str | None = None


def check(stated: Sequence[Stated]) -> None:
    """Pass if every relation may be kept.

    Raises:
        InvalidInputError: one may not; `field` is e.g. `relations[3].kind`.
    """
    for at, each in enumerate(stated):
        place = f"relations[{at}]"
        for end, name in zip(each.key[:2], ("source", "target"), strict=True):
            try:
                node_of(end)
            except InvalidInputError as error:
                raise error.at(f"{place}.{name}") from error
        try:
            check_relation(stamped(each, {}, datetime.min))  # noqa: DTZ901 - the time is not looked at
        except InvalidInputError as error:
            raise error.at(f"{place}.{error.extra.get('field', 'kind')}") from error


def stamped(each: Stated, about: Mapping[str, About], now: datetime) -> Relation:
    """Return the relation as it is kept.

    Args:
        each: as it was stated.
        about: of its ends that are assets or characters: tells the collection.
        now: when.
    """
    source, target, _ = each.key
    return Relation(
        each.key,
        each.weight,
        now,
        SAID,
        each.recipe,
        _collection(source, about) or _collection(target, about),
        each.attributes,
    )


def _collection(node: str, about: Mapping[str, About]) -> str | None:
    kind, _, name = node.partition(":")
    if kind == "collection":
        return name
    return about[node].collection if node in about else None


def placed(error: NodeNotFoundError, stated: Sequence[Stated]) -> NodeNotFoundError:
    """Return the error, told of the place that names the node."""
    node = error.extra.get("value")
    for at, each in enumerate(stated):
        for end, name in zip(each.key[:2], ("source", "target"), strict=True):
            if end == node:
                return absent(end, f"relations[{at}].{name}")
    return error
