"""What any process does to assets: `ports.ChangeFeed` over the table `change`.

Triggers write it in the transaction of the change itself, see `schema.py`. It names
what changed; how that is now is read when it is told.
"""

import asyncio
import logging
import sqlite3
from collections.abc import AsyncGenerator

from dinoserve.adapters.sqlite.database import Database
from dinoserve.domain.vectors import from_bytes
from dinoserve.errors import UnavailableError
from dinoserve.ports import Change, Space

_log = logging.getLogger(__name__)

_PAUSE_S = 0.1
# 8 MiB of the widest DINOv3 vectors (4096 numbers).
_BATCH = 512


async def changes(database: Database) -> AsyncGenerator[Change | None]:
    """Yield changes of assets for ever, and None where some may have been missed.

    Raises:
        UnavailableError: at the first only, if the log cannot be read.
    """
    seen = await database.read(_last)
    yield None
    while True:
        try:
            found = await database.read(_after, seen)
        except UnavailableError as error:
            _log.warning("what other processes change is not seen: %s", error.detail)
            found = []
        if found and found[0][0] > seen + 1:  # what comes between was trimmed
            yield None
        for seq, change in found:
            seen = seq
            yield change
        if not found:
            await asyncio.sleep(_PAUSE_S)


def _last(connection: sqlite3.Connection) -> int:
    (last,) = connection.execute("SELECT max(seq) FROM change").fetchone()
    return last or 0


def _after(connection: sqlite3.Connection, seen: int) -> list[tuple[int, Change]]:
    rows = connection.execute(
        """SELECT seq, change.asset_id, sha256, collection, change.recipe, vector
        FROM change LEFT JOIN embedding USING (asset_id, recipe)
        WHERE seq > ? ORDER BY seq LIMIT ?""",
        (seen, _BATCH),
    )
    return [(row[0], _change(*row[1:])) for row in rows]


def _change(
    asset_id: str,
    erased: str | None,
    collection: str | None,
    recipe: str | None,
    vector: bytes | None,
) -> Change:
    if collection is None or recipe is None:
        return Change(asset_id, erased)
    stored = None if vector is None else from_bytes(vector)
    return Change(asset_id, erased, Space(collection, recipe), stored)
