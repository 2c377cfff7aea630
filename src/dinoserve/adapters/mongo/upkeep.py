"""Taking out what is of no use: what is done for `ports.Upkeep`."""

from dinoserve.adapters.mongo.records import Document, asset_of, embedding_id
from dinoserve.adapters.mongo.schema import BY_RECIPE, Documents
from dinoserve.ports import DROP_BATCH


async def drop(
    database: Documents, recipe: str, keep: str, collection: str | None
) -> list[str]:
    """Erase vectors of the recipe where `keep` has one too; return whose.

    Needs a transaction.
    """
    if recipe == keep:
        raise ValueError("the recipe that stays cannot be dropped")
    found = await _replaced(database, recipe, keep, collection)
    await database.assets.update_many(
        {"_id": {"$in": list(found)}}, {"$pull": {"embeddings": {"recipe": recipe}}}
    )
    for name in set(found.values()):
        keys = [embedding_id(key, recipe) for key in found if found[key] == name]
        # For `changes.py`, as an asset's erasure tells it.
        told = {"$set": {"erased": name}}
        await database.embeddings.update_many({"_id": {"$in": keys}}, told)
        await database.embeddings.delete_many({"_id": {"$in": keys}})
    return list(found)


async def _replaced(
    database: Documents, recipe: str, keep: str, collection: str | None
) -> dict[str, str]:
    """Return some assets with vectors of both recipes, and their collections."""
    meant: Document = {"recipe": recipe}
    if collection is not None:
        meant["collection"] = collection
    told = {"collection": True}
    # What was dropped before is not met again, as it would be among the assets.
    found = database.embeddings.find(meant, told, batch_size=DROP_BATCH)
    async with found.hint(BY_RECIPE) as cursor:
        while some := await cursor.to_list(DROP_BATCH):
            pairs = {asset_of(one["_id"]): one["collection"] for one in some}
            keys = [embedding_id(key, keep) for key in pairs]
            kept = database.embeddings.find({"_id": {"$in": keys}}, {"_id": True})
            if both := {asset_of(one["_id"]) async for one in kept}:
                return {key: pairs[key] for key in both}
    return {}
