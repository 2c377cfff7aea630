"""Relations as documents of ArangoDB."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np

from dinoserve.adapters.arango.queries import NODES
from dinoserve.domain.relations import EdgeBlock, Relation, RelationKey
from dinoserve.errors import InvalidInputError

Document = dict[str, Any]


def node_key(node: str) -> str:
    """Return the key of a node: SHA-256 of its id, hex; names may have any character.

    Raises:
        InvalidInputError: it is not Unicode.
    """
    return _digest(node)


def node_handle(node: str) -> str:
    """Return the id of a node's document."""
    return f"{NODES}/{node_key(node)}"


def relation_key(key: RelationKey) -> str:
    """Return the key of a relation: SHA-256 of its parts, hex."""
    # Neither ids of nodes nor kinds have a control character.
    return _digest("\0".join(key))


def node_document(node: str) -> Document:
    """Return a node: its key, `id` and `kind`."""
    return {"_key": node_key(node), "id": node, "kind": node.partition(":")[0]}


def relation_document(relation: Relation) -> Document:
    """Return a relation: its ends, and everything that is known of it.

    Attributes are JSON text: ArangoDB's numbers have 64 bits, and theirs may have more.
    """
    source, target, kind = relation.key
    attributes = json.dumps(dict(relation.attributes), ensure_ascii=False)
    _digest(attributes)
    return {
        "_key": relation_key(relation.key),
        "_from": node_handle(source),
        "_to": node_handle(target),
        "source": source,
        "target": target,
        "kind": kind,
        "weight": relation.weight,
        "created_at": relation.created_at.isoformat(),
        "origin": relation.origin,
        "recipe": relation.recipe,
        "collection": relation.collection,
        "attributes": attributes,
    }


def relation_of(document: Mapping[str, Any]) -> Relation:
    """Return the relation of a document, see `relation_document`."""
    return Relation(
        RelationKey(document["source"], document["target"], document["kind"]),
        # A number that is whole comes back without its point.
        float(document["weight"]),
        datetime.fromisoformat(document["created_at"]),
        document["origin"],
        document["recipe"],
        document["collection"],
        json.loads(document["attributes"]),
    )


class Numbering:
    """Numbers nodes and kinds of a scan as they appear, for blocks of columns."""

    def __init__(self) -> None:
        self._nodes: dict[str, int] = {}
        self._kinds: dict[str, int] = {}

    def block(self, rows: Sequence[Sequence[Any]]) -> EdgeBlock:
        """Return rows of (source, target, kind, weight) as columns."""
        nodes, kinds = self._nodes, self._kinds
        had_nodes, had_kinds = len(nodes), len(kinds)
        sources = [nodes.setdefault(row[0], len(nodes)) for row in rows]
        targets = [nodes.setdefault(row[1], len(nodes)) for row in rows]
        numbers = [kinds.setdefault(row[2], len(kinds)) for row in rows]
        return EdgeBlock(
            list(nodes)[had_nodes:],
            list(kinds)[had_kinds:],
            np.array(sources, np.int32),
            np.array(targets, np.int32),
            np.array(numbers, np.int32),
            np.array([row[3] for row in rows], np.float64),
        )


def _digest(text: str) -> str:
    try:
        return hashlib.sha256(text.encode()).hexdigest()
    except UnicodeEncodeError as error:
        raise InvalidInputError(
            "Text must be Unicode without lone surrogates."
        ) from error
