"""Relations in SQLite: `ports.RelationStore` in the file of the assets."""

import json
import sqlite3
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Final

from dinoserve.adapters.sqlite import relation_writes, schema
from dinoserve.adapters.sqlite.database import Database
from dinoserve.adapters.sqlite.relation_names import (
    NodeNames,
    as_list,
    names,
    numbers,
    one_state,
)
from dinoserve.adapters.sqlite.relation_scan import scan
from dinoserve.domain.relations import (
    Edge,
    EdgeBlock,
    Reach,
    Relation,
    RelationKey,
    Scope,
)
from dinoserve.domain.times import from_microseconds

_MEANT: Final = """weight >= :min_weight
    AND (:kinds IS NULL OR kind IN (SELECT value FROM json_each(:kinds)))"""
_OUT: Final = f"""SELECT source, target, kind, weight FROM relation
    WHERE source IN (SELECT value FROM json_each(:nodes)) AND {_MEANT}"""  # noqa: S608 - constants
_IN: Final = f"""SELECT source, target, kind, weight FROM relation
    WHERE target IN (SELECT value FROM json_each(:nodes)) AND {_MEANT}"""  # noqa: S608 - constants
_FOUND: Final[Mapping[str, str]] = {
    "out": _OUT,
    "in": _IN,
    # Between two of the nodes a relation is found from its source.
    "any": f"""{_OUT} UNION ALL {_IN}
        AND source NOT IN (SELECT value FROM json_each(:nodes))""",  # noqa: S608 - constants
}
_WEIGHT: Final = 3
# Names are looked up of few: a node may have a hundred thousand relations.
_STRONGEST: Final = """SELECT one.name, other.name, relation_label.name, weight
    FROM (SELECT * FROM ({found}) ORDER BY weight DESC LIMIT :limit)
    CROSS JOIN relation_node AS one ON one.id = source
    CROSS JOIN relation_node AS other ON other.id = target
    CROSS JOIN relation_label ON relation_label.id = kind
    ORDER BY weight DESC, 1, 2, 3"""
_TIED: Final = """SELECT one.name, other.name, relation_label.name, weight
    FROM ({found}) JOIN relation_node AS one ON one.id = source
    JOIN relation_node AS other ON other.id = target
    JOIN relation_label ON relation_label.id = kind
    WHERE weight = :tied ORDER BY 1, 2, 3 LIMIT :rest"""
_GET: Final = """SELECT one.name, other.name, kinds.name, weight, created_at,
        (SELECT name FROM relation_label WHERE id = origin),
        (SELECT name FROM relation_label WHERE id = recipe),
        (SELECT name FROM relation_label WHERE id = collection), attributes
    FROM (SELECT DISTINCT value FROM json_each(?)) AS wanted
    JOIN relation_node AS one ON one.name = json_extract(wanted.value, '$[0]')
    JOIN relation_node AS other ON other.name = json_extract(wanted.value, '$[1]')
    JOIN relation_label AS kinds ON kinds.name = json_extract(wanted.value, '$[2]')
    JOIN relation ON source = one.id AND target = other.id AND kind = kinds.id"""


class SqliteRelations:
    """`ports.RelationStore` in one SQLite file; errors as `SqliteDocuments`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._names = NodeNames()

    async def put(self, relations: Sequence[Relation]) -> None:
        """Store each, in place of the one of the same key: all of them, or none."""
        await self._database.write(relation_writes.put, relations)

    async def remove(
        self, keys: Collection[RelationKey] = (), nodes: Collection[str] = ()
    ) -> None:
        """Erase these relations, and every relation of these nodes."""
        await self._database.write(relation_writes.remove, keys, nodes)

    async def get(self, keys: Collection[RelationKey]) -> list[Relation]:
        """Return the relations, absent ones left out."""
        return await self._database.read(_get, keys)

    async def touching(
        self, nodes: Collection[str], reach: Reach, limit: int
    ) -> list[Edge]:
        """Return relations that lead from these nodes, the strongest first."""
        return await self._database.read(_touching, self._names, nodes, reach, limit)

    def scan(self, scope: Scope) -> AsyncGenerator[EdgeBlock]:
        """Yield every relation of the scope, `relation_scan.BATCH` at a time."""
        return scan(self._database, scope)

    async def ping(self) -> str:
        """Return e.g. `SQLite 3.40.1, schema 10`, as read from the file."""
        number = await self._database.read(schema.version)
        return f"SQLite {sqlite3.sqlite_version}, schema {number}"


def _get(
    connection: sqlite3.Connection, keys: Collection[RelationKey]
) -> list[Relation]:
    rows = connection.execute(_GET, (as_list(keys),))
    return [_relation(row) for row in rows]


def _touching(
    connection: sqlite3.Connection,
    known: NodeNames,
    nodes: Collection[str],
    reach: Reach,
    limit: int,
) -> list[Edge]:
    with one_state(connection):
        numbered = list(numbers(connection, "relation_node", nodes).values())
        meant = {
            "nodes": as_list(numbered),
            "kinds": _kinds(connection, reach.kinds),
            "min_weight": reach.min_weight,
            "limit": limit + 1,
        }
        rows = _few(connection, meant, reach, set(numbered))
        if len(rows) > limit:
            return _strongest(connection, meant, reach, limit)
        return _named(connection, known, rows)


def _few(
    connection: sqlite3.Connection,
    meant: Mapping[str, Any],
    reach: Reach,
    nodes: AbstractSet[int],
) -> list[tuple[int, int, int, float]]:
    """Return relations in any order: all, unless there are more than the limit."""
    rows: list[tuple[int, int, int, float]] = []
    if reach.direction != "in":
        rows += connection.execute(f"{_OUT} LIMIT :limit", meant)
    if reach.direction != "out":
        found = connection.execute(f"{_IN} LIMIT :limit", meant)
        # Between two of the nodes a relation was found from its source.
        again = nodes if reach.direction == "any" else frozenset[int]()
        rows += [row for row in found if row[0] not in again]
    return rows


def _named(
    connection: sqlite3.Connection,
    known: NodeNames,
    rows: list[tuple[int, int, int, float]],
) -> list[Edge]:
    """Return the relations, the strongest first, then by names."""
    ends = {end for row in rows for end in row[:2]}
    nodes = known.of(connection, ends)
    kinds = names(connection, "relation_label", {row[2] for row in rows})
    found = [
        Edge(nodes[source], nodes[target], kinds[kind], weight)
        for source, target, kind, weight in rows
    ]
    found.sort(key=lambda edge: (-edge[_WEIGHT], edge))
    return found


def _strongest(
    connection: sqlite3.Connection, meant: dict[str, Any], reach: Reach, limit: int
) -> list[Edge]:
    """Return as many as the limit, of more."""
    found = _FOUND[reach.direction]
    rows = connection.execute(_STRONGEST.format(found=found), meant).fetchall()
    weakest = rows[-1][_WEIGHT]
    rows = [row for row in rows if row[_WEIGHT] > weakest]
    # Of those that weigh as much, names decide.
    meant |= {"tied": weakest, "rest": limit - len(rows)}
    rows += connection.execute(_TIED.format(found=found), meant)
    return list(map(Edge._make, rows))


def _kinds(connection: sqlite3.Connection, kinds: Collection[str]) -> str | None:
    if not kinds:
        return None
    return as_list(numbers(connection, "relation_label", kinds).values())


def _relation(row: Sequence[Any]) -> Relation:
    return Relation(
        key=RelationKey(*row[:3]),
        weight=row[3],
        created_at=from_microseconds(row[4]),
        origin=row[5],
        recipe=row[6],
        collection=row[7],
        attributes=json.loads(row[8]) if row[8] else {},
    )
