"""Characters in SQLite: `ports.CharacterStore` in the file of the assets."""

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from dinoserve.adapters.sqlite import assets, relation_writes
from dinoserve.adapters.sqlite.calibrations import SqliteCalibrations
from dinoserve.adapters.sqlite.database import Database
from dinoserve.adapters.sqlite.reviews import SqliteReviews
from dinoserve.domain.assets import Metadata
from dinoserve.domain.characters import Character, Check, Reference, Region
from dinoserve.domain.geometry import Box
from dinoserve.domain.paging import Cursor
from dinoserve.domain.times import from_microseconds, to_microseconds
from dinoserve.errors import AssetNotFoundError
from dinoserve.ports import (
    CalibrationStore,
    CharacterEdit,
    CharacterPage,
    CharacterQuery,
    CheckPage,
    CheckQuery,
    ReviewStore,
)

_SELECT = "SELECT id, collection, name, created_at, attributes FROM character"
_REFERENCES = """SELECT asset_id, box, mask FROM character_reference
    WHERE character_id = ? ORDER BY position"""


class SqliteCharacters:
    """`ports.CharacterStore` in one SQLite file; errors as `SqliteDocuments`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @property
    def calibrations(self) -> CalibrationStore:
        """What scores of checks mean."""
        return SqliteCalibrations(self._database)

    @property
    def reviews(self) -> ReviewStore:
        """What was decided of pairs of assets."""
        return SqliteReviews(self._database)

    async def edit(self, character_id: str, edit: CharacterEdit) -> Character:
        """Store and return what `edit` makes of the character."""
        return await self._database.write(_edit, character_id, edit)

    async def get(self, character_id: str) -> Character | None:
        """Return the character. Absent: None."""
        return await self._database.read(_get, character_id)

    async def find(self, query: CharacterQuery) -> CharacterPage:
        """Return a page, newest first, then by descending id."""
        return await self._database.read(_find, query)

    async def remove(self, character_id: str) -> bool:
        """Erase the character with its checks; tell whether it was there."""
        return await self._database.write(_remove, character_id)

    async def keep(self, checks: Sequence[Check]) -> None:
        """Store each whose character and assets are there."""
        await self._database.write(_keep, checks)

    async def checks(self, query: CheckQuery) -> CheckPage:
        """Return a page, newest first, then by descending asset id."""
        return await self._database.read(_checks, query)


def _edit(
    connection: sqlite3.Connection, character_id: str, edit: CharacterEdit
) -> Character:
    before = _get(connection, character_id)
    edited = edit(before)
    known = assets.get(connection, [each.asset_id for each in edited.references])
    for reference in edited.references:
        if reference.asset_id not in known:
            raise AssetNotFoundError(
                f"No asset has the id {reference.asset_id}.", value=reference.asset_id
            )
    connection.execute(
        """INSERT INTO character (id, collection, name, created_at, attributes)
        VALUES (?, ?, ?, ?, ?)
        ON CONFLICT (id) DO UPDATE SET collection = excluded.collection,
            name = excluded.name, created_at = excluded.created_at,
            attributes = excluded.attributes""",
        (
            edited.id,
            edited.collection,
            edited.name,
            to_microseconds(edited.created_at),
            _text(edited.attributes),
        ),
    )
    _put_references(connection, edited)
    if before and replace(edited, references=before.references) != before:
        relation_writes.mark_edited(connection, f"character:{character_id}")
    return edited


def _put_references(connection: sqlite3.Connection, character: Character) -> None:
    connection.execute(
        "DELETE FROM character_reference WHERE character_id = ?", (character.id,)
    )
    connection.executemany(
        "INSERT INTO character_reference VALUES (?, ?, ?, ?, ?)",
        [
            (character.id, at, each.asset_id, _box_text(each.region), each.region.mask)
            for at, each in enumerate(character.references)
        ],
    )


def _get(connection: sqlite3.Connection, character_id: str) -> Character | None:
    rows = connection.execute(f"{_SELECT} WHERE id = ?", (character_id,))
    row = rows.fetchone()
    return _character(connection, row) if row else None


def _find(connection: sqlite3.Connection, query: CharacterQuery) -> CharacterPage:
    conditions: dict[str, list[Any]] = {"true": []}
    if query.collection is not None:
        conditions["collection = ?"] = [query.collection]
    if query.after is not None:
        conditions["(created_at, id) < (?, ?)"] = _place(query.after)
    rows = connection.execute(
        f"{_SELECT} WHERE {' AND '.join(conditions)}"
        " ORDER BY created_at DESC, id DESC LIMIT ?",
        # One row more than asked for tells whether there is a next page.
        [*(value for some in conditions.values() for value in some), query.limit + 1],
    ).fetchall()
    page = [_character(connection, row) for row in rows[: query.limit]]
    is_last = len(rows) <= query.limit
    return CharacterPage(
        page, None if is_last else Cursor(page[-1].created_at, page[-1].id)
    )


def _remove(connection: sqlite3.Connection, character_id: str) -> bool:
    erased = connection.execute("DELETE FROM character WHERE id = ?", (character_id,))
    return erased.rowcount == 1


def _keep(connection: sqlite3.Connection, checks: Sequence[Check]) -> None:
    connection.executemany(
        """INSERT INTO character_check
            (character_id, asset_id, recipe, reference_id, checked_at, findings)
        SELECT character.id, asset.id, ?3, reference.id, ?5, ?6
        FROM character, asset, asset AS reference
        WHERE character.id = ?1 AND asset.id = ?2 AND reference.id = ?4
        ON CONFLICT (character_id, asset_id, recipe) DO UPDATE SET
            reference_id = excluded.reference_id, checked_at = excluded.checked_at,
            findings = excluded.findings""",
        [
            (
                each.character_id,
                each.asset_id,
                each.recipe,
                each.reference_id,
                to_microseconds(each.checked_at),
                _text(each.findings),
            )
            for each in checks
        ],
    )


def _checks(connection: sqlite3.Connection, query: CheckQuery) -> CheckPage:
    behind = "" if query.after is None else "AND (checked_at, asset_id) < (?, ?)"
    place = [] if query.after is None else _place(query.after)
    rows = connection.execute(
        f"""SELECT character_id, asset_id, recipe, reference_id, checked_at, findings
        FROM character_check WHERE character_id = ? AND recipe = ? {behind}
        ORDER BY checked_at DESC, asset_id DESC LIMIT ?""",  # noqa: S608 - only question marks are put in
        [query.character_id, query.recipe, *place, query.limit + 1],
    ).fetchall()
    page = [_check(row) for row in rows[: query.limit]]
    is_last = len(rows) <= query.limit
    return CheckPage(
        page, None if is_last else Cursor(page[-1].checked_at, page[-1].asset_id)
    )


def _check(row: Sequence[Any]) -> Check:
    return Check(
        row[0], row[1], row[2], row[3], from_microseconds(row[4]), json.loads(row[5])
    )


def _character(connection: sqlite3.Connection, row: Sequence[Any]) -> Character:
    references = connection.execute(_REFERENCES, (row[0],))
    return Character(
        id=row[0],
        collection=row[1],
        name=row[2],
        references=tuple(
            Reference(asset_id, Region(box and Box(*json.loads(box)), mask))
            for asset_id, box, mask in references
        ),
        created_at=from_microseconds(row[3]),
        attributes=json.loads(row[4]),
    )


def _box_text(region: Region) -> str | None:
    return json.dumps(region.box) if region.box else None


def _text(value: Metadata) -> str:
    # Not ASCII only, so that lone surrogates are refused when it is stored.
    return json.dumps(dict(value), ensure_ascii=False)


def _place(cursor: Cursor) -> list[Any]:
    return [to_microseconds(cursor.created_at), cursor.id]
