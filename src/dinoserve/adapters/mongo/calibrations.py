"""Calibrations of checks in MongoDB: `ports.CalibrationStore` beside the assets.

Contents are JSON text, and times microseconds, for the reasons that records.py gives.
"""

import json
from collections.abc import Mapping
from typing import Any

from dinoserve.adapters.mongo.database import Database
from dinoserve.adapters.mongo.records import Document
from dinoserve.adapters.mongo.schema import Documents
from dinoserve.domain.kept_calibrations import KeptCalibration, kept_from_json
from dinoserve.domain.paging import Cursor
from dinoserve.domain.times import from_microseconds, to_microseconds
from dinoserve.ports import CalibrationPage, CalibrationQuery


class MongoCalibrations:
    """`ports.CalibrationStore` in the assets' database; errors as `MongoDocuments`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def put(self, kept: KeptCalibration) -> None:
        """Store, in place of the one of the same id."""
        await self._database.run(_put, kept)

    async def get(self, calibration_id: str) -> KeptCalibration | None:
        """Return the calibration. Absent: None."""
        return await self._database.run(_get, calibration_id)

    async def find(self, query: CalibrationQuery) -> CalibrationPage:
        """Return a page, newest first, then by descending id."""
        return await self._database.run(_find, query)

    async def remove(self, calibration_id: str) -> bool:
        """Erase the calibration; tell whether it was there."""
        return await self._database.run(_remove, calibration_id)


async def _put(database: Documents, kept: KeptCalibration) -> None:
    document = _document(kept)
    await database.calibrations.replace_one({"_id": kept.id}, document, upsert=True)


async def _get(database: Documents, calibration_id: str) -> KeptCalibration | None:
    found = await database.calibrations.find_one({"_id": calibration_id})
    return _kept(found) if found else None


async def _find(database: Documents, query: CalibrationQuery) -> CalibrationPage:
    cursor = database.calibrations.find(
        _meant(query),
        sort=[("created_at", -1), ("_id", -1)],
        limit=query.limit + 1,  # one more tells whether there is a next page
    )
    found = [_kept(each) async for each in cursor]
    page = found[: query.limit]
    is_last = len(found) <= query.limit
    return CalibrationPage(
        page, None if is_last else Cursor(page[-1].created_at, page[-1].id)
    )


def _meant(query: CalibrationQuery) -> Document:
    asked = {
        "collection": query.collection,
        "recipe": query.recipe,
        "score": query.score,
    }
    meant: Document = {name: each for name, each in asked.items() if each is not None}
    if query.after is not None:
        moment = to_microseconds(query.after.created_at)
        # A bound for the index; then, of that moment, lower ids.
        meant["created_at"] = {"$lte": moment}
        earlier = {"created_at": {"$lt": moment}}
        meant["$or"] = [earlier, {"_id": {"$lt": query.after.id}}]
    return meant


async def _remove(database: Documents, calibration_id: str) -> bool:
    erased = await database.calibrations.delete_one({"_id": calibration_id})
    return erased.deleted_count == 1


def _document(kept: KeptCalibration) -> Document:
    made_for = kept.calibration.made_for
    return {
        "_id": kept.id,
        "collection": kept.collection,
        "recipe": made_for.recipe,
        "score": made_for.score,
        "created_at": to_microseconds(kept.created_at),
        "contents": json.dumps(kept.calibration.as_json()),
    }


def _kept(found: Mapping[str, Any]) -> KeptCalibration:
    created_at = from_microseconds(found["created_at"])
    return kept_from_json(
        found["collection"], created_at, json.loads(found["contents"])
    )
