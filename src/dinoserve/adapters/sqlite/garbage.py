"""Marks on bytes that may belong to no asset: `ports.GarbageLog` in SQLite."""

import sqlite3
import time
from collections.abc import Collection

from dinoserve.adapters.sqlite.chunks import chunks, marks
from dinoserve.errors import UnavailableError
from dinoserve.ports import CLAIM_S


def mark(connection: sqlite3.Connection, sha256: str) -> bool:
    """Set or renew the mark; False: the bytes are being erased."""
    marked = connection.execute(
        """INSERT INTO garbage (sha256, since, claimed) VALUES (?1, ?2, 0)
        ON CONFLICT (sha256) DO UPDATE SET since = ?2, claimed = 0
        WHERE NOT claimed OR since <= ?3""",
        (sha256, _before(0), _before(CLAIM_S)),
    )
    return marked.rowcount == 1


def condemn(connection: sqlite3.Connection, sha256: str) -> None:
    """Mark the bytes, as long ago, unless an asset has them."""
    connection.execute(
        """INSERT OR IGNORE INTO garbage (sha256, since, claimed)
        SELECT ?1, 0, 0 WHERE NOT EXISTS (SELECT 1 FROM asset WHERE sha256 = ?1)""",
        (sha256,),
    )


def unreferenced(connection: sqlite3.Connection, older_s: float) -> list[str]:
    """Return the digests that were marked so long ago and that no asset has."""
    rows = connection.execute(
        """SELECT sha256 FROM garbage WHERE since <= ? AND NOT EXISTS
        (SELECT 1 FROM asset WHERE asset.sha256 = garbage.sha256)""",
        (_before(older_s),),
    )
    return [row[0] for row in rows]


def referenced(connection: sqlite3.Connection, digests: Collection[str]) -> set[str]:
    """Return those of these digests that some asset has."""
    found: set[str] = set()
    for chunk in chunks(digests):
        rows = connection.execute(
            f"SELECT sha256 FROM asset WHERE sha256 IN ({marks(len(chunk))})",  # noqa: S608 - only question marks are put in
            chunk,
        )
        found |= {row[0] for row in rows}
    return found


def claim(connection: sqlite3.Connection, sha256: str, older_s: float) -> bool:
    """Claim an old mark; False: there is none, or an asset has the bytes."""
    claimed = connection.execute(
        """UPDATE garbage SET since = ?, claimed = 1 WHERE sha256 = ?
        AND since <= CASE claimed WHEN 0 THEN ? ELSE ? END""",
        (_before(0), sha256, _before(older_s), _before(min(older_s, CLAIM_S))),
    )
    if claimed.rowcount == 0:
        return False
    referenced = connection.execute(
        """DELETE FROM garbage WHERE sha256 = ?1
        AND EXISTS (SELECT 1 FROM asset WHERE sha256 = ?1)""",
        (sha256,),
    )
    return referenced.rowcount == 0


def clear(connection: sqlite3.Connection, sha256: str) -> None:
    """Take a claimed mark off, if there is one."""
    connection.execute("DELETE FROM garbage WHERE sha256 = ? AND claimed", (sha256,))


def refer(connection: sqlite3.Connection, sha256: str) -> None:
    """Take the mark off, as an asset has the bytes now.

    Raises:
        UnavailableError: the bytes are being erased.
    """
    rows = connection.execute(
        "DELETE FROM garbage WHERE sha256 = ? RETURNING claimed", (sha256,)
    ).fetchall()
    if rows == [(1,)]:
        raise UnavailableError(
            "The same bytes are being erased; try again.", port="documents"
        )


def _before(age_s: float) -> int:
    """Return the time so many seconds ago, in microseconds since 1970 UTC."""
    return int((time.time() - age_s) * 1e6)
