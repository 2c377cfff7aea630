"""Marks on bytes that may belong to no asset: `ports.GarbageLog` in SQLite."""

import sqlite3


def mark(connection: sqlite3.Connection, sha256: str) -> None:
    """Note that bytes of this digest may soon exist without an asset."""
    connection.execute("INSERT OR IGNORE INTO garbage VALUES (?)", (sha256,))


def mark_if_unreferenced(connection: sqlite3.Connection, sha256: str) -> None:
    """Mark the bytes unless an asset has them."""
    connection.execute(
        """INSERT OR IGNORE INTO garbage
        SELECT ?1 WHERE NOT EXISTS (SELECT 1 FROM asset WHERE sha256 = ?1)""",
        (sha256,),
    )


def unreferenced(connection: sqlite3.Connection) -> list[str]:
    """Return the marked digests that no asset has."""
    rows = connection.execute(
        """SELECT sha256 FROM garbage WHERE NOT EXISTS
        (SELECT 1 FROM asset WHERE asset.sha256 = garbage.sha256)"""
    )
    return [row[0] for row in rows]


def clear(connection: sqlite3.Connection, sha256: str) -> None:
    """Take the mark off, if there is one."""
    connection.execute("DELETE FROM garbage WHERE sha256 = ?", (sha256,))
