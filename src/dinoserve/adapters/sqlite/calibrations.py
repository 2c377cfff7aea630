"""Calibrations of checks in SQLite: `ports.CalibrationStore` over one table."""

import json
import sqlite3
from collections.abc import Sequence
from typing import Any

from dinoserve.adapters.sqlite.database import Database
from dinoserve.domain.kept_calibrations import KeptCalibration, kept_from_json
from dinoserve.domain.paging import Cursor
from dinoserve.domain.times import from_microseconds, to_microseconds
from dinoserve.ports import CalibrationPage, CalibrationQuery

_SELECT = "SELECT collection, created_at, contents FROM calibration"


class SqliteCalibrations:
    """`ports.CalibrationStore` in the assets' file; errors as `SqliteDocuments`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def put(self, kept: KeptCalibration) -> None:
        """Store, in place of the one of the same id."""
        await self._database.write(_put, kept)

    async def get(self, calibration_id: str) -> KeptCalibration | None:
        """Return the calibration. Absent: None."""
        return await self._database.read(_get, calibration_id)

    async def find(self, query: CalibrationQuery) -> CalibrationPage:
        """Return a page, newest first, then by descending id."""
        return await self._database.read(_find, query)

    async def remove(self, calibration_id: str) -> bool:
        """Erase the calibration; tell whether it was there."""
        return await self._database.write(_remove, calibration_id)


def _put(connection: sqlite3.Connection, kept: KeptCalibration) -> None:
    made_for = kept.calibration.made_for
    connection.execute(
        """INSERT OR REPLACE INTO calibration
            (id, collection, recipe, score, created_at, contents)
        VALUES (?, ?, ?, ?, ?, ?)""",
        (
            kept.id,
            kept.collection,
            made_for.recipe,
            made_for.score,
            to_microseconds(kept.created_at),
            json.dumps(kept.calibration.as_json()),
        ),
    )


def _get(connection: sqlite3.Connection, calibration_id: str) -> KeptCalibration | None:
    rows = connection.execute(f"{_SELECT} WHERE id = ?", (calibration_id,))
    row = rows.fetchone()
    return _kept(row) if row else None


def _find(connection: sqlite3.Connection, query: CalibrationQuery) -> CalibrationPage:
    asked = {
        "collection": query.collection,
        "recipe": query.recipe,
        "score": query.score,
    }
    conditions: dict[str, list[Any]] = {
        f"{name} = ?": [value] for name, value in asked.items() if value is not None
    }
    if query.after is not None:
        moment = to_microseconds(query.after.created_at)
        conditions["(created_at, id) < (?, ?)"] = [moment, query.after.id]
    rows = connection.execute(
        f"{_SELECT} WHERE {' AND '.join(['true', *conditions])}"
        " ORDER BY created_at DESC, id DESC LIMIT ?",
        # One row more than asked for tells whether there is a next page.
        [*(value for some in conditions.values() for value in some), query.limit + 1],
    ).fetchall()
    page = [_kept(row) for row in rows[: query.limit]]
    is_last = len(rows) <= query.limit
    return CalibrationPage(
        page, None if is_last else Cursor(page[-1].created_at, page[-1].id)
    )


def _remove(connection: sqlite3.Connection, calibration_id: str) -> bool:
    erased = connection.execute(
        "DELETE FROM calibration WHERE id = ?", (calibration_id,)
    )
    return erased.rowcount == 1


def _kept(row: Sequence[Any]) -> KeptCalibration:
    created_at = from_microseconds(row[1])
    return kept_from_json(row[0], created_at, json.loads(row[2]))
