"""Marks on bytes that may belong to no asset: `ports.GarbageLog` in MongoDB.

`since` is when a mark was set or claimed, by the server's clock; the clocks of those
who ask it may differ.
"""

from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from pymongo.errors import DuplicateKeyError

from dinoserve.adapters.mongo.schema import Documents
from dinoserve.errors import UnavailableError
from dinoserve.ports import CLAIM_S

# Of bytes that no asset has any more: they may go at once.
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
_TOUCHED = {"$currentDate": {"since": True}}


class Limits(NamedTuple):
    """How old a mark, and another's claim, must be at least to be claimed."""

    marked: datetime
    claimed: datetime


async def limits(database: Documents, older_s: float) -> Limits:
    """Return the limits that lie so many seconds before the server's now."""
    now: datetime = (await database.client.admin.command("hello"))["localTime"]
    return Limits(
        marked=now - timedelta(seconds=older_s),
        claimed=now - timedelta(seconds=min(older_s, CLAIM_S)),
    )


async def mark(database: Documents, sha256: str) -> bool:
    """Set or renew the mark; False: the bytes are being erased."""
    if await _mark(database, sha256, {"claimed": False}):
        return True
    claimed = (await limits(database, CLAIM_S)).claimed
    return await _mark(database, sha256, {"since": {"$lte": claimed}})


async def condemn(database: Documents, sha256: str) -> None:
    """Mark the bytes, as long ago, unless an asset has them. Needs a transaction."""
    # Marked first: two transactions that each remove one of the last two assets
    # would else not meet, and neither would see the other's asset go.
    made = await database.garbage.update_one(
        {"_id": sha256},
        {"$setOnInsert": {"since": _LONG_AGO, "claimed": False}},
        upsert=True,
    )
    if made.upserted_id and await _is_referenced(database, sha256):
        await database.garbage.delete_one({"_id": sha256})


async def unreferenced(database: Documents, older_s: float) -> list[str]:
    """Return the digests that were marked so long ago and that no asset has."""
    marked = (await limits(database, older_s)).marked
    cursor = await database.garbage.aggregate(
        [
            {"$match": {"since": {"$lte": marked}}},
            {
                "$lookup": {
                    "from": "assets",
                    "localField": "_id",
                    "foreignField": "sha256",
                    "pipeline": [{"$limit": 1}, {"$project": {"_id": True}}],
                    "as": "owners",
                }
            },
            {"$match": {"owners": []}},
            {"$project": {"_id": True}},
        ]
    )
    return [found["_id"] async for found in cursor]


async def referenced(database: Documents, digests: Collection[str]) -> set[str]:
    """Return those of these digests that some asset has."""
    meant = {"sha256": {"$in": list(digests)}}
    cursor = database.assets.find(meant, {"sha256": True, "_id": False})
    return {found["sha256"] async for found in cursor}


async def claim(database: Documents, sha256: str, before: Limits) -> bool:
    """Claim an old mark; False: there is none, or an asset. Needs a transaction."""
    old = [
        {"claimed": False, "since": {"$lte": before.marked}},
        {"claimed": True, "since": {"$lte": before.claimed}},
    ]
    claimed = await database.garbage.update_one(
        {"_id": sha256, "$or": old}, {**_TOUCHED, "$set": {"claimed": True}}
    )
    if not claimed.matched_count:
        return False
    if await _is_referenced(database, sha256):
        await database.garbage.delete_one({"_id": sha256})
        return False
    return True


async def clear(database: Documents, sha256: str) -> None:
    """Take a claimed mark off, if there is one."""
    await database.garbage.delete_one({"_id": sha256, "claimed": True})


async def refer(database: Documents, sha256: str) -> None:
    """Take the mark off, as an asset has the bytes now. Needs a transaction.

    Raises:
        UnavailableError: the bytes are being erased.
    """
    mark = await database.garbage.find_one_and_delete({"_id": sha256})
    if mark and mark["claimed"]:
        raise UnavailableError(
            "The same bytes are being erased; try again.", port="documents"
        )


async def _mark(database: Documents, sha256: str, where: dict[str, object]) -> bool:
    try:
        await database.garbage.update_one(
            {"_id": sha256, **where},
            {**_TOUCHED, "$set": {"claimed": False}},
            upsert=True,
        )
    except DuplicateKeyError:
        return False
    return True


async def _is_referenced(database: Documents, sha256: str) -> bool:
    found = await database.assets.find_one({"sha256": sha256}, {"_id": True})
    return found is not None
