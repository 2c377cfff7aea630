"""Traits in SQLite: `ports.TraitStore` over the table `trait`."""

import json
import sqlite3
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from typing import Final

from dinoserve.adapters.sqlite.chunks import chunks, marks
from dinoserve.adapters.sqlite.database import Database
from dinoserve.domain.assets import Metadata
from dinoserve.ports import Trait

# 8 MiB a batch of the largest values.
BATCH: Final = 128


class SqliteTraits:
    """`ports.TraitStore` in the file of the assets; errors as `SqliteDocuments`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def put(self, traits: Sequence[Trait]) -> None:
        """Store each of an asset that is there, in place of what was."""
        await self._database.write(_put, traits)

    async def get(self, ids: Collection[str], method: str) -> Mapping[str, Metadata]:
        """Return the values by asset id, absent ones left out."""
        return await self._database.read(_get, ids, method)

    async def of(self, asset_id: str) -> Sequence[Trait]:
        """Return every trait of an asset, by method."""
        return await self._database.read(_of, asset_id)

    async def scan(
        self, collection: str, method: str
    ) -> AsyncGenerator[Sequence[Trait]]:
        """Yield all of a collection by asset id, `BATCH` at a time."""
        after = ""
        while found := await self._database.read(_batch, collection, method, after):
            yield found
            after = found[-1].asset_id


def _put(connection: sqlite3.Connection, traits: Sequence[Trait]) -> None:
    connection.executemany(
        """INSERT INTO trait (asset_id, method, contents)
        SELECT id, ?, ? FROM asset WHERE id = ?
        ON CONFLICT (asset_id, method) DO UPDATE SET contents = excluded.contents""",
        [(one.method, _text(one.values), one.asset_id) for one in traits],
    )


def _get(
    connection: sqlite3.Connection, ids: Collection[str], method: str
) -> dict[str, Metadata]:
    found: dict[str, Metadata] = {}
    for chunk in chunks(ids):
        rows = connection.execute(
            f"""SELECT asset_id, contents FROM trait
            WHERE method = ? AND asset_id IN ({marks(len(chunk))})""",  # noqa: S608 - only question marks are put in
            [method, *chunk],
        )
        found |= {row[0]: json.loads(row[1]) for row in rows}
    return found


def _of(connection: sqlite3.Connection, asset_id: str) -> list[Trait]:
    rows = connection.execute(
        "SELECT method, contents FROM trait WHERE asset_id = ? ORDER BY method",
        (asset_id,),
    )
    return [Trait(asset_id, row[0], json.loads(row[1])) for row in rows]


def _batch(
    connection: sqlite3.Connection, collection: str, method: str, after: str
) -> list[Trait]:
    rows = connection.execute(
        """SELECT asset_id, contents FROM trait JOIN asset ON asset.id = asset_id
        WHERE method = ? AND asset_id > ? AND collection = ?
        ORDER BY asset_id LIMIT ?""",
        (method, after, collection, BATCH),
    )
    return [Trait(row[0], method, json.loads(row[1])) for row in rows]


def _text(values: Metadata) -> str:
    return json.dumps(dict(values), ensure_ascii=False)
