"""Reviewed pairs in MongoDB: `ports.ReviewStore` beside the assets.

Times are microseconds, for the reasons that records.py gives.
"""

from collections.abc import Sequence

from pymongo import ReplaceOne

from dinoserve.adapters.mongo.database import Database
from dinoserve.adapters.mongo.records import Document
from dinoserve.adapters.mongo.schema import Documents
from dinoserve.domain.character_reviews import ReviewedPair
from dinoserve.domain.labelled_pairs import LabelledPair
from dinoserve.domain.times import from_microseconds, to_microseconds


class MongoReviews:
    """`ports.ReviewStore` in the assets' database; errors as `MongoDocuments`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def put(self, collection: str, reviewed: Sequence[ReviewedPair]) -> None:
        """Store each whose assets are of the collection."""
        if reviewed:
            await self._database.transact(_put, collection, reviewed)

    async def get(self, collection: str) -> list[ReviewedPair]:
        """Return all of a collection, by left id, then by right id."""
        return await self._database.run(_get, collection)

    async def remove(self, collection: str) -> int:
        """Erase all of a collection; return how many there were."""
        return await self._database.run(_remove, collection)


async def forget(database: Documents, asset_id: str) -> None:
    """Erase the pairs that an asset is part of. Needs a transaction."""
    sides = [{"left_id": asset_id}, {"right_id": asset_id}]
    await database.reviewed_pairs.delete_many({"$or": sides})


async def _put(
    database: Documents, collection: str, reviewed: Sequence[ReviewedPair]
) -> None:
    ids = {key for each in reviewed for key in (each.pair.left, each.pair.right)}
    some = {"_id": {"$in": list(ids)}, "collection": collection}
    # A write, so that an erasure at the same moment meets this transaction.
    await database.assets.update_many(some, {"$inc": {"character_writes": 1}})
    known = {one["_id"] async for one in database.assets.find(some, {"_id": True})}
    documents = [
        _document(each, collection)
        for each in reviewed
        if {each.pair.left, each.pair.right} <= known
    ]
    if documents:
        await database.reviewed_pairs.bulk_write(
            [ReplaceOne({"_id": one["_id"]}, one, upsert=True) for one in documents]
        )


async def _get(database: Documents, collection: str) -> list[ReviewedPair]:
    meant = {"collection": collection}
    cursor = database.reviewed_pairs.find(meant, sort=[("left_id", 1), ("right_id", 1)])
    return [
        ReviewedPair(
            LabelledPair(one["left_id"], one["right_id"], one["same"]),
            from_microseconds(one["decided_at"]),
        )
        async for one in cursor
    ]


async def _remove(database: Documents, collection: str) -> int:
    erased = await database.reviewed_pairs.delete_many({"collection": collection})
    return erased.deleted_count


def _document(each: ReviewedPair, collection: str) -> Document:
    return {
        "_id": f"{each.pair.left}/{each.pair.right}",
        "left_id": each.pair.left,
        "right_id": each.pair.right,
        "collection": collection,
        "same": each.pair.same,
        "decided_at": to_microseconds(each.decided_at),
    }
