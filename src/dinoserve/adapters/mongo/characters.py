"""Characters in MongoDB: `ports.CharacterStore` beside the assets.

Attributes and findings are JSON text, and times microseconds, for the reasons that
records.py gives.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from pymongo import ReplaceOne

from dinoserve.adapters.mongo import relation_log, relations, reviews
from dinoserve.adapters.mongo.calibrations import MongoCalibrations
from dinoserve.adapters.mongo.database import Database
from dinoserve.adapters.mongo.records import Document
from dinoserve.adapters.mongo.reviews import MongoReviews
from dinoserve.adapters.mongo.schema import Documents
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


class MongoCharacters:
    """`ports.CharacterStore` in the assets' database; errors as `MongoDocuments`.

    An edit that met another one of the same character is made again of what that one
    left.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    @property
    def calibrations(self) -> CalibrationStore:
        """What scores of checks mean."""
        return MongoCalibrations(self._database)

    @property
    def reviews(self) -> ReviewStore:
        """What was decided of pairs of assets."""
        return MongoReviews(self._database)

    async def edit(self, character_id: str, edit: CharacterEdit) -> Character:
        """Store and return what `edit` makes of the character."""
        return await self._database.transact(_edit, character_id, edit)

    async def get(self, character_id: str) -> Character | None:
        """Return the character. Absent: None."""
        return await self._database.run(_get, character_id)

    async def find(self, query: CharacterQuery) -> CharacterPage:
        """Return a page, newest first, then by descending id."""
        return await self._database.run(_find, query)

    async def remove(self, character_id: str) -> bool:
        """Erase the character with its checks; tell whether it was there."""
        return await self._database.transact(_remove, character_id)

    async def keep(self, checks: Sequence[Check]) -> None:
        """Store each whose character and assets are there."""
        if checks:
            await self._database.transact(_keep, checks)

    async def checks(self, query: CheckQuery) -> CheckPage:
        """Return a page, newest first, then by descending asset id."""
        return await self._database.run(_checks, query)


async def forget(database: Documents, asset_id: str) -> None:
    """Take an asset out of references, checks and reviews. Needs a transaction."""
    await reviews.forget(database, asset_id)
    await database.characters.update_many(
        {"references.asset_id": asset_id},
        {"$pull": {"references": {"asset_id": asset_id}}},
    )
    part = [{"asset_id": asset_id}, {"reference_id": asset_id}]
    await database.character_checks.delete_many({"$or": part})


async def _edit(
    database: Documents, character_id: str, edit: CharacterEdit
) -> Character:
    before = await _get(database, character_id)
    edited = edit(before)
    wanted = [each.asset_id for each in edited.references]
    known = await _held(database.assets, wanted)
    for asset_id in wanted:
        if asset_id not in known:
            raise AssetNotFoundError(f"No asset has the id {asset_id}.", value=asset_id)
    document = _character_document(edited)
    await database.characters.replace_one({"_id": character_id}, document, upsert=True)
    if before and replace(edited, references=before.references) != before:
        await relation_log.mark_edited(database, f"character:{character_id}")
    return edited


async def _held(documents: Any, ids: Collection[str]) -> set[str]:
    """Return which are there; each erased at the same moment meets this transaction."""
    some = {"_id": {"$in": list(ids)}}
    await documents.update_many(some, {"$inc": {"character_writes": 1}})
    return {found["_id"] async for found in documents.find(some, {"_id": True})}


async def _get(database: Documents, character_id: str) -> Character | None:
    found = await database.characters.find_one({"_id": character_id})
    return _character(found) if found else None


async def _find(database: Documents, query: CharacterQuery) -> CharacterPage:
    meant: Document = {}
    if query.collection is not None:
        meant["collection"] = query.collection
    cursor = database.characters.find(
        meant | _behind(query.after, "created_at", "_id"),
        sort=[("created_at", -1), ("_id", -1)],
        limit=query.limit + 1,  # one more tells whether there is a next page
    )
    found = [_character(each) async for each in cursor]
    page = found[: query.limit]
    is_last = len(found) <= query.limit
    return CharacterPage(
        page, None if is_last else Cursor(page[-1].created_at, page[-1].id)
    )


async def _remove(database: Documents, character_id: str) -> bool:
    erased = await database.characters.delete_one({"_id": character_id})
    await database.character_checks.delete_many({"character_id": character_id})
    await relations.forget(database, f"character:{character_id}")
    return erased.deleted_count == 1


async def _keep(database: Documents, checks: Sequence[Check]) -> None:
    ids = {key for each in checks for key in (each.asset_id, each.reference_id)}
    known = await _held(database.assets, ids)
    known |= await _held(database.characters, {each.character_id for each in checks})
    documents = [
        _check_document(each)
        for each in checks
        if {each.character_id, each.asset_id, each.reference_id} <= known
    ]
    if documents:
        await database.character_checks.bulk_write(
            [ReplaceOne({"_id": each["_id"]}, each, upsert=True) for each in documents]
        )


async def _checks(database: Documents, query: CheckQuery) -> CheckPage:
    meant: Document = {"character_id": query.character_id, "recipe": query.recipe}
    cursor = database.character_checks.find(
        meant | _behind(query.after, "checked_at", "asset_id"),
        sort=[("checked_at", -1), ("asset_id", -1)],
        limit=query.limit + 1,
    )
    found = [_check(each) async for each in cursor]
    page = found[: query.limit]
    is_last = len(found) <= query.limit
    return CheckPage(
        page, None if is_last else Cursor(page[-1].checked_at, page[-1].asset_id)
    )


def _behind(after: Cursor | None, time: str, key: str) -> Document:
    if after is None:
        return {}
    moment = to_microseconds(after.created_at)
    # A bound for the index; then, of that moment, lower ids.
    earlier = [{time: {"$lt": moment}}, {key: {"$lt": after.id}}]
    return {time: {"$lte": moment}, "$or": earlier}


def _character_document(character: Character) -> Document:
    return {
        "_id": character.id,
        "collection": character.collection,
        "name": character.name,
        "created_at": to_microseconds(character.created_at),
        "attributes": _text(character.attributes),
        "references": [
            {
                "asset_id": each.asset_id,
                "box": each.region.box and list(each.region.box),
                "mask": each.region.mask,
            }
            for each in character.references
        ],
    }


def _character(found: Mapping[str, Any]) -> Character:
    return Character(
        id=found["_id"],
        collection=found["collection"],
        name=found["name"],
        references=tuple(
            Reference(
                each["asset_id"],
                Region(each["box"] and Box(*each["box"]), each["mask"]),
            )
            for each in found["references"]
        ),
        created_at=from_microseconds(found["created_at"]),
        attributes=json.loads(found["attributes"]),
    )


def _check_document(check: Check) -> Document:
    return {
        "_id": f"{check.character_id}/{check.asset_id}/{check.recipe}",
        "character_id": check.character_id,
        "asset_id": check.asset_id,
        "recipe": check.recipe,
        "reference_id": check.reference_id,
        "checked_at": to_microseconds(check.checked_at),
        "findings": _text(check.findings),
    }


def _check(found: Mapping[str, Any]) -> Check:
    return Check(
        found["character_id"],
        found["asset_id"],
        found["recipe"],
        found["reference_id"],
        from_microseconds(found["checked_at"]),
        json.loads(found["findings"]),
    )


def _text(value: Metadata) -> str:
    return json.dumps(dict(value), ensure_ascii=False)
