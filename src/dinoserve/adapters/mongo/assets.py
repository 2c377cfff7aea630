"""Assets in MongoDB: what is done for `ports.AssetStore`."""

from collections.abc import Collection

from pymongo import ReturnDocument

from dinoserve.adapters.mongo import (
    characters,
    embeddings,
    filters,
    garbage,
    job_upkeep,
    records,
    relation_log,
    relations,
    traits,
)
from dinoserve.adapters.mongo.records import Document
from dinoserve.adapters.mongo.schema import Documents
from dinoserve.domain.assets import Asset, Filter
from dinoserve.domain.paging import AssetQuery, Cursor, Page
from dinoserve.domain.times import to_microseconds
from dinoserve.domain.vectors import Embedding
from dinoserve.errors import AssetNotFoundError
from dinoserve.ports import AssetChanges

# Nothing that a record shows.
_UNREAD = {"terms": False}


async def add(database: Documents, asset: Asset, embedding: Embedding | None) -> bool:
    """Store asset and embedding; tell if the asset is new. Needs a transaction."""
    document = records.document(asset)
    if embedding is not None:
        document["embeddings"] = [records.reference(embedding)]
    stored = await database.assets.update_one(
        {"_id": asset.id}, {"$setOnInsert": document}, upsert=True
    )
    is_new = stored.upserted_id is not None
    if embedding is not None and is_new:
        await embeddings.put_vector(database, asset.collection, embedding)
    elif embedding is not None:
        await embeddings.put(database, embedding)
    await garbage.refer(database, asset.sha256)
    return is_new


async def get(database: Documents, ids: Collection[str]) -> dict[str, Asset]:
    """Return the assets by id, absent ones left out."""
    cursor = database.assets.find({"_id": {"$in": list(ids)}}, _UNREAD)
    return {found["_id"]: records.asset(found) async for found in cursor}


async def find(database: Documents, query: AssetQuery) -> Page:
    """Return a page, newest first, then by descending id."""
    # One more than asked for tells whether there is a next page.
    cursor = database.assets.find(
        _selection(query),
        _UNREAD,
        sort=[("created_at", -1), ("_id", -1)],
        limit=query.limit + 1,
    )
    assets = [records.asset(found) async for found in cursor]
    page = assets[: query.limit]
    last = page[-1] if len(assets) > query.limit else None
    return Page(page, Cursor(last.created_at, last.id) if last else None)


async def ids(database: Documents, collection: str, where: Filter) -> set[str]:
    """Return the ids of every asset of the collection that matches."""
    meant = _selection(AssetQuery(collection, where))
    cursor = database.assets.find(meant, {"_id": True})
    return {found["_id"] async for found in cursor}


async def update(database: Documents, asset_id: str, changes: AssetChanges) -> Asset:
    """Return the asset after the change; absent: AssetNotFoundError.

    Needs a transaction: terms are made of tags and metadata together.
    """
    asset = records.asset(
        _require(await database.assets.find_one({"_id": asset_id}, _UNREAD), asset_id)
    )
    subject = asset.subject if changes.subject is None else changes.subject
    fields = records.searched(
        asset.tags if changes.tags is None else changes.tags,
        asset.metadata if changes.metadata is None else changes.metadata,
    )
    fields["subject"] = None if changes.clear_subject else subject
    changed = await database.assets.find_one_and_update(
        {"_id": asset_id},
        {"$set": fields},
        _UNREAD,
        return_document=ReturnDocument.AFTER,
    )
    edited = records.asset(_require(changed, asset_id))
    if edited != asset:
        await relation_log.mark_edited(database, f"asset:{asset_id}")
    return edited


async def remove(database: Documents, asset_id: str) -> Asset:
    """Erase and return the asset; mark its bytes if no other asset has them.

    Absent: AssetNotFoundError. Needs a transaction.
    """
    # For `changes.py`: of an erasure alone it would be told the id only.
    told = [{"$set": {"erased": "$sha256"}}]
    found = await database.assets.find_one_and_update({"_id": asset_id}, told, _UNREAD)
    asset = records.asset(_require(found, asset_id))
    await database.assets.delete_one({"_id": asset_id})
    await embeddings.remove(database, asset)
    await traits.remove(database, asset.id)
    await characters.forget(database, asset.id)
    await relations.forget(database, f"asset:{asset.id}")
    await job_upkeep.note(database, asset)
    await garbage.condemn(database, asset.sha256)
    return asset


def _require(found: Document | None, asset_id: str) -> Document:
    if found is None:
        raise AssetNotFoundError(f"No asset has the id {asset_id}.")
    return found


def _selection(query: AssetQuery) -> Document:
    """Return the condition of a query."""
    meant = filters.conditions(query.where)
    if query.collection is not None:
        meant.append({"collection": query.collection})
    if query.created_from is not None:
        meant.append({"created_at": {"$gte": to_microseconds(query.created_from)}})
    if query.created_until is not None:
        meant.append({"created_at": {"$lt": to_microseconds(query.created_until)}})
    if query.after is not None:
        # A bound for the index; then, among assets of that moment, lower ids.
        moment = to_microseconds(query.after.created_at)
        meant.append({"created_at": {"$lte": moment}})
        earlier = {"created_at": {"$lt": moment}}
        meant.append({"$or": [earlier, {"_id": {"$lt": query.after.id}}]})
    return {"$and": meant} if meant else {}
