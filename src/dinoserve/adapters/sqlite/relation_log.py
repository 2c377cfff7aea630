"""What followers have yet to be told, in SQLite: `ports.RelationLog`."""

import sqlite3
from collections.abc import Collection, Mapping

from dinoserve.adapters.sqlite.database import Database
from dinoserve.adapters.sqlite.relation_writes import EDITED
from dinoserve.domain.relations import RelationKey
from dinoserve.ports import Mark


class SqliteRelationLog:
    """`ports.RelationLog` in the file of the assets; errors as `SqliteDocuments`.

    relation_writes.py and triggers make the marks. A number of a mark never comes
    twice.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def follow(self, follower: str) -> bool:
        """Mark for this follower from now on; tell whether it had been begun before."""
        return await self._database.write(_follow, follower)

    async def unfollow(self, follower: str) -> None:
        """Forget the follower with its marks."""
        await self._database.write(_unfollow, follower)

    async def followers(self, limit: int) -> Mapping[str, int]:
        """Return who follows, and how many marks each has, counted up to `limit`."""
        return await self._database.read(_followers, limit)

    async def marked(self, follower: str, limit: int) -> list[Mark]:
        """Return marks, the oldest first, at most so many."""
        return await self._database.read(_marked, follower, limit)

    async def settle(self, follower: str, marks: Collection[Mark]) -> list[Mark]:
        """Take marks off; return those that were taken off or renewed by others."""
        return await self._database.write(_settle, follower, marks)


def _follow(connection: sqlite3.Connection, follower: str) -> bool:
    begun = connection.execute(
        "INSERT OR IGNORE INTO relation_follower VALUES (?)", (follower,)
    )
    return begun.rowcount == 0


def _unfollow(connection: sqlite3.Connection, follower: str) -> None:
    connection.execute("DELETE FROM relation_follower WHERE name = ?", (follower,))
    connection.execute("DELETE FROM relation_mark WHERE follower = ?", (follower,))


def _followers(connection: sqlite3.Connection, limit: int) -> Mapping[str, int]:
    rows = connection.execute(
        """SELECT name, (SELECT count(*) FROM (SELECT 1 FROM relation_mark
            WHERE follower = name LIMIT ?)) FROM relation_follower ORDER BY name""",
        (limit,),
    )
    return dict(rows.fetchall())


def _marked(connection: sqlite3.Connection, follower: str, limit: int) -> list[Mark]:
    rows = connection.execute(
        """SELECT source, target, kind, version FROM relation_mark
        WHERE follower = ? ORDER BY version LIMIT ?""",
        (follower, limit),
    )
    return [_mark(*row) for row in rows]


def _mark(source: str, target: str, kind: str, version: int) -> Mark:
    if not target:
        return Mark(None, source, version, kind == EDITED)
    return Mark(RelationKey(source, target, kind), None, version)


def _settle(
    connection: sqlite3.Connection, follower: str, marks: Collection[Mark]
) -> list[Mark]:
    known = connection.execute(
        "SELECT 1 FROM relation_follower WHERE name = ?", (follower,)
    )
    if not known.fetchone():
        return []
    others = [mark for mark in marks if not _take_off(connection, follower, mark)]
    connection.executemany(
        # One that was renewed is there, and stays as it is.
        """INSERT OR IGNORE INTO relation_mark (follower, source, target, kind)
        VALUES (?, ?, ?, ?)""",
        [(follower, *_place(mark)) for mark in others],
    )
    return others


def _place(mark: Mark) -> tuple[str, str, str]:
    return mark.key or (mark.node or "", "", EDITED if mark.is_edited else "")


def _take_off(connection: sqlite3.Connection, follower: str, mark: Mark) -> bool:
    erased = connection.execute(
        "DELETE FROM relation_mark WHERE version = ? AND follower = ?",
        (mark.version, follower),
    )
    return erased.rowcount == 1
