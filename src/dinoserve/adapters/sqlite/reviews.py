"""Reviewed pairs in SQLite: `ports.ReviewStore` over one table."""

import sqlite3
from collections.abc import Sequence

from dinoserve.adapters.sqlite.database import Database
from dinoserve.domain.character_reviews import ReviewedPair
from dinoserve.domain.labelled_pairs import LabelledPair
from dinoserve.domain.times import from_microseconds, to_microseconds


class SqliteReviews:
    """`ports.ReviewStore` in the assets' file; errors as `SqliteDocuments`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def put(self, collection: str, reviewed: Sequence[ReviewedPair]) -> None:
        """Store each whose assets are of the collection."""
        await self._database.write(_put, collection, reviewed)

    async def get(self, collection: str) -> list[ReviewedPair]:
        """Return all of a collection, by left id, then by right id."""
        return await self._database.read(_get, collection)

    async def remove(self, collection: str) -> int:
        """Erase all of a collection; return how many there were."""
        return await self._database.write(_remove, collection)


def _put(
    connection: sqlite3.Connection, collection: str, reviewed: Sequence[ReviewedPair]
) -> None:
    connection.executemany(
        """INSERT OR REPLACE INTO reviewed_pair
            (left_id, right_id, collection, same, decided_at)
        SELECT one.id, other.id, one.collection, ?3, ?4
        FROM asset AS one, asset AS other
        WHERE one.id = ?1 AND other.id = ?2
            AND one.collection = ?5 AND other.collection = ?5""",
        [
            (
                each.pair.left,
                each.pair.right,
                each.pair.same,
                to_microseconds(each.decided_at),
                collection,
            )
            for each in reviewed
        ],
    )


def _get(connection: sqlite3.Connection, collection: str) -> list[ReviewedPair]:
    rows = connection.execute(
        """SELECT left_id, right_id, same, decided_at FROM reviewed_pair
        WHERE collection = ? ORDER BY left_id, right_id""",
        (collection,),
    )
    return [
        ReviewedPair(
            LabelledPair(row[0], row[1], bool(row[2])), from_microseconds(row[3])
        )
        for row in rows
    ]


def _remove(connection: sqlite3.Connection, collection: str) -> int:
    erased = connection.execute(
        "DELETE FROM reviewed_pair WHERE collection = ?", (collection,)
    )
    return erased.rowcount
