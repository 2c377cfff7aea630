"""Names of nodes and labels, and the numbers that stand for them in SQLite."""

import json
import sqlite3
from collections.abc import Collection, Generator, Mapping
from contextlib import contextmanager
from typing import Final, Literal, TypeAlias

Table: TypeAlias = Literal["relation_node", "relation_label"]

MAX_REMEMBERED: Final = 200_000
"""Names of nodes that are kept in memory: about 45 MB."""

_NUMBERS: Final = """SELECT name, id FROM {table}
    WHERE name IN (SELECT value FROM json_each(?))"""
_NAMES: Final = """SELECT id, name FROM {table}
    WHERE id IN (SELECT value FROM json_each(?))"""


def numbers(
    connection: sqlite3.Connection, table: Table, found: Collection[str]
) -> dict[str, int]:
    """Return the numbers of the names that the table has, by name."""
    rows = connection.execute(_NUMBERS.format(table=table), (as_list(found),))
    return dict(rows.fetchall())


def names(
    connection: sqlite3.Connection, table: Table, found: Collection[int]
) -> dict[int, str]:
    """Return the names of the numbers that the table has, by number."""
    rows = connection.execute(_NAMES.format(table=table), (as_list(found),))
    return dict(rows.fetchall())


class NodeNames:
    """Names of nodes by number, remembered: neither ever changes, nor comes again."""

    def __init__(self) -> None:
        self._names: dict[int, str] = {}

    def of(
        self, connection: sqlite3.Connection, found: Collection[int]
    ) -> Mapping[int, str]:
        """Return the names of these numbers at least. Any thread may ask."""
        known = self._names
        if new := [number for number in found if number not in known]:
            if len(known) > MAX_REMEMBERED:
                # Others may be reading what was.
                self._names = known = names(connection, "relation_node", found)
            else:
                known.update(names(connection, "relation_node", new))
        return known


def as_list(values: Collection[object]) -> str:
    """Return the values for `json_each`: any number of them in one statement."""
    # Not ASCII only, so that lone surrogates are refused.
    return json.dumps(list(values), ensure_ascii=False)


@contextmanager
def one_state(connection: sqlite3.Connection) -> Generator[None]:
    """Let all statements of the block see one state of the database."""
    connection.execute("BEGIN")
    try:
        yield
    finally:
        connection.execute("COMMIT")
