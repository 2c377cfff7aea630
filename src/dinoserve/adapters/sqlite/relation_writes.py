"""Storing and erasing relations in SQLite: what a connection does.

Nodes are numbered, and what many relations have in common (kind, origin, recipe,
collection) as well: see schema.py, whose triggers erase what an asset or character
leaves, and nodes that no relation has any more.
"""

import json
import sqlite3
from collections.abc import Collection, Sequence
from typing import Any, Final

from dinoserve.adapters.sqlite.chunks import marks
from dinoserve.adapters.sqlite.relation_names import Table, as_list, numbers
from dinoserve.domain.assets import Metadata
from dinoserve.domain.relations import Relation, RelationKey, node_of
from dinoserve.domain.times import to_microseconds
from dinoserve.errors import NodeNotFoundError

EDITED: Final = "edited"
"""The kind that a mark of a node has whose record was changed; its target is empty."""

_KEPT = {
    "asset": "SELECT id FROM asset WHERE id IN (SELECT value FROM json_each(?))",
    "character": """SELECT id FROM character
        WHERE id IN (SELECT value FROM json_each(?))""",
}
# Looks at every relation: not done for less than a collection.
_FORGET_LABELS: Final = """WITH used AS MATERIALIZED (
        SELECT DISTINCT kind, origin, recipe, collection FROM relation)
    DELETE FROM relation_label WHERE id NOT IN (
        SELECT kind FROM used UNION SELECT origin FROM used
        UNION SELECT recipe FROM used WHERE recipe IS NOT NULL
        UNION SELECT collection FROM used WHERE collection IS NOT NULL)"""


def put(connection: sqlite3.Connection, relations: Sequence[Relation]) -> None:
    """Store each, in place of the one of the same key.

    Raises:
        NodeNotFoundError: an asset or character is not there.
    """
    nodes = _numbered_nodes(
        connection, {end for one in relations for end in one.key[:2]}
    )
    labels = _numbered_labels(connection, relations)
    connection.executemany(
        f"""INSERT INTO relation (source, target, kind, weight, created_at, origin,
            recipe, collection, attributes)
        VALUES ({marks(9)})
        ON CONFLICT (source, target, kind) DO UPDATE SET weight = excluded.weight,
            created_at = excluded.created_at, origin = excluded.origin,
            recipe = excluded.recipe, collection = excluded.collection,
            attributes = excluded.attributes""",  # noqa: S608 - only question marks are put in
        # Neighbours in the table are written together.
        sorted(
            (_row(one, nodes, labels) for one in relations), key=lambda row: row[:2]
        ),
    )
    _mark(connection, list(dict.fromkeys(one.key for one in relations)))


def remove(
    connection: sqlite3.Connection,
    keys: Collection[RelationKey],
    nodes: Collection[str],
) -> None:
    """Erase these relations, and every relation of these nodes.

    Of a collection, labels that no relation has any more go, too: its name is one.
    """
    for key in keys:
        erased = connection.execute(
            """DELETE FROM relation
            WHERE source = (SELECT id FROM relation_node WHERE name = ?)
            AND target = (SELECT id FROM relation_node WHERE name = ?)
            AND kind = (SELECT id FROM relation_label WHERE name = ?)""",
            key,
        )
        if erased.rowcount:
            _mark(connection, [key])
    connection.execute(
        "DELETE FROM relation_end WHERE name IN (SELECT value FROM json_each(?))",
        (as_list(nodes),),
    )
    if any(node_of(node).kind == "collection" for node in nodes):
        connection.execute(_FORGET_LABELS)


def mark_edited(connection: sqlite3.Connection, node: str) -> None:
    """Mark for every follower that the record of a node says something else.

    A node without relations is not marked.
    """
    connection.execute(
        """INSERT OR REPLACE INTO relation_mark (follower, source, target, kind)
        SELECT relation_follower.name, relation_node.name, '', ?
        FROM relation_follower JOIN relation_node WHERE relation_node.name = ?""",
        (EDITED, node),
    )


def _mark(connection: sqlite3.Connection, keys: Collection[RelationKey]) -> None:
    """Mark for every follower; triggers mark nodes."""
    followers = connection.execute("SELECT name FROM relation_follower").fetchall()
    for (follower,) in followers:
        connection.executemany(
            """INSERT OR REPLACE INTO relation_mark (follower, source, target, kind)
            VALUES (?, ?, ?, ?)""",
            [(follower, *key) for key in keys],
        )


def _numbered_nodes(
    connection: sqlite3.Connection, names: Collection[str]
) -> dict[str, int]:
    known = numbers(connection, "relation_node", names)
    # A node that is known has relations, so what it names is there.
    new = [name for name in names if name not in known]
    _require(connection, new)
    return known | _numbered_anew(connection, "relation_node", new)


def _numbered_labels(
    connection: sqlite3.Connection, relations: Sequence[Relation]
) -> dict[str | None, int | None]:
    texts = {
        text
        for one in relations
        for text in (one.key.kind, one.origin, one.recipe, one.collection)
        if text is not None
    }
    known = numbers(connection, "relation_label", texts)
    new = [text for text in texts if text not in known]
    known |= _numbered_anew(connection, "relation_label", new)
    return {None: None, **known}


def _numbered_anew(
    connection: sqlite3.Connection, table: Table, names: Collection[str]
) -> dict[str, int]:
    connection.executemany(
        f"INSERT INTO {table} (name) VALUES (?)",  # noqa: S608 - one of two tables
        [(name,) for name in names],
    )
    return numbers(connection, table, names) if names else {}


def _require(connection: sqlite3.Connection, names: Collection[str]) -> None:
    nodes = [node_of(name) for name in names]
    for kind, statement in _KEPT.items():
        ids = [node.name for node in nodes if node.kind == kind]
        rows = connection.execute(statement, (as_list(ids),))
        known = {row[0] for row in rows}
        for absent in (each for each in ids if each not in known):
            raise NodeNotFoundError(
                f"No {kind} has the id {absent}.", value=f"{kind}:{absent}"
            )


def _row(
    one: Relation, nodes: dict[str, int], labels: dict[str | None, int | None]
) -> tuple[Any, ...]:
    return (
        nodes[one.key.source],
        nodes[one.key.target],
        labels[one.key.kind],
        one.weight,
        to_microseconds(one.created_at),
        labels[one.origin],
        labels[one.recipe],
        labels[one.collection],
        _text(one.attributes) if one.attributes else None,
    )


def _text(attributes: Metadata) -> str:
    # Not ASCII only, so that lone surrogates are refused when it is stored.
    return json.dumps(dict(attributes), ensure_ascii=False)
