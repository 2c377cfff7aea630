"""Taking out what is of no use: what a connection does for `ports.Upkeep`."""

import sqlite3

from dinoserve.adapters.sqlite.chunks import marks
from dinoserve.ports import DROP_BATCH

_INCREMENTAL = 2
# 4 MiB of SQLite's pages: up to 0.1 s, for which other writes wait.
_PAGES = 1024


def drop(
    connection: sqlite3.Connection, recipe: str, keep: str, collection: str | None
) -> list[str]:
    """Erase vectors of the recipe where `keep` has one too; return whose."""
    if recipe == keep:
        raise ValueError("the recipe that stays cannot be dropped")
    found = connection.execute(
        """SELECT asset_id, one.position, asset.collection FROM embedding AS one
        JOIN asset ON asset.id = asset_id
        WHERE recipe = :recipe
        AND (:collection IS NULL OR asset.collection = :collection)
        AND EXISTS (SELECT 1 FROM embedding AS other
            WHERE other.asset_id = one.asset_id AND other.recipe = :keep)
        LIMIT :limit""",
        {
            "recipe": recipe,
            "keep": keep,
            "collection": collection,
            "limit": DROP_BATCH,
        },
    ).fetchall()
    positions = [row[1] for row in found]
    connection.execute(
        f"DELETE FROM embedding WHERE position IN ({marks(len(positions))})",  # noqa: S608 - only question marks are put in
        positions,
    )
    # For `changes.py`. No trigger: at an asset's own erasure it is told already.
    connection.executemany(
        "INSERT INTO change (asset_id, collection, recipe) VALUES (?, ?, ?)",
        [(row[0], row[2], recipe) for row in found],
    )
    return [row[0] for row in found]


def size(connection: sqlite3.Connection) -> int:
    """Return the bytes of every page, those that nothing uses included."""
    return _number(connection, "page_count") * _number(connection, "page_size")


def shrink(connection: sqlite3.Connection) -> bool:
    """Cut some free pages off the end; tell whether there are more.

    A file that was begun without the table that this needs stays as it is.
    """
    if _number(connection, "auto_vacuum") != _INCREMENTAL:
        return False
    before = _number(connection, "freelist_count")
    for _ in range(min(before, _PAGES)):
        # Python takes a single step of it, however many pages it is told to free.
        connection.execute("PRAGMA incremental_vacuum(1)")
    return 0 < _number(connection, "freelist_count") < before


def _number(connection: sqlite3.Connection, pragma: str) -> int:
    return int(connection.execute(f"PRAGMA {pragma}").fetchone()[0])
