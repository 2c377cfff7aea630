"""Traits in MongoDB: `ports.TraitStore` beside the assets.

Values are JSON text, for the reasons that records.py gives.
"""

import json
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from typing import Any, Final

from pymongo import ReplaceOne

from dinoserve.adapters.mongo.database import Database
from dinoserve.adapters.mongo.records import Document
from dinoserve.adapters.mongo.schema import Documents
from dinoserve.domain.assets import Metadata
from dinoserve.ports import Trait

# 8 MiB a batch of the largest values.
BATCH: Final = 128


class MongoTraits:
    """`ports.TraitStore` in the assets' database; errors as `MongoDocuments`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def put(self, traits: Sequence[Trait]) -> None:
        """Store each of an asset that is there, in place of what was."""
        if traits:
            await self._database.transact(_put, traits)

    async def get(self, ids: Collection[str], method: str) -> Mapping[str, Metadata]:
        """Return the values by asset id, absent ones left out."""
        return await self._database.run(_get, ids, method)

    async def of(self, asset_id: str) -> Sequence[Trait]:
        """Return every trait of an asset, by method."""
        return await self._database.run(_of, asset_id)

    async def scan(
        self, collection: str, method: str
    ) -> AsyncGenerator[Sequence[Trait]]:
        """Yield all of a collection by asset id, `BATCH` at a time."""
        after = ""
        while found := await self._database.run(_batch, collection, method, after):
            yield found
            after = found[-1].asset_id


async def remove(database: Documents, asset_id: str) -> None:
    """Erase every trait of an asset. Needs a transaction."""
    await database.traits.delete_many({"asset_id": asset_id})


async def _put(database: Documents, traits: Sequence[Trait]) -> None:
    some = {"_id": {"$in": [trait.asset_id for trait in traits]}}
    # A write, so that an erasure at the same moment meets this transaction.
    await database.assets.update_many(some, {"$inc": {"trait_writes": 1}})
    found = database.assets.find(some, {"collection": True})
    collections = {one["_id"]: one["collection"] async for one in found}
    documents = [
        _document(trait, collections[trait.asset_id])
        for trait in traits
        if trait.asset_id in collections
    ]
    if documents:
        await database.traits.bulk_write(
            [ReplaceOne({"_id": one["_id"]}, one, upsert=True) for one in documents]
        )


def _document(trait: Trait, collection: str) -> Document:
    return {
        "_id": _key(trait.asset_id, trait.method),
        "asset_id": trait.asset_id,
        "collection": collection,
        "method": trait.method,
        "contents": json.dumps(dict(trait.values), ensure_ascii=False),
    }


async def _get(
    database: Documents, ids: Collection[str], method: str
) -> dict[str, Metadata]:
    keys = [_key(asset_id, method) for asset_id in ids]
    cursor = database.traits.find({"_id": {"$in": keys}})
    return {one["asset_id"]: json.loads(one["contents"]) async for one in cursor}


async def _batch(
    database: Documents, collection: str, method: str, after: str
) -> list[Trait]:
    meant = {"collection": collection, "method": method, "asset_id": {"$gt": after}}
    cursor = database.traits.find(meant, sort=[("asset_id", 1)], limit=BATCH)
    return [_trait(one) async for one in cursor]


async def _of(database: Documents, asset_id: str) -> list[Trait]:
    cursor = database.traits.find({"asset_id": asset_id}, sort=[("method", 1)])
    return [_trait(one) async for one in cursor]


def _trait(one: Mapping[str, Any]) -> Trait:
    return Trait(one["asset_id"], one["method"], json.loads(one["contents"]))


def _key(asset_id: str, method: str) -> str:
    return f"{asset_id}/{method}"
