"""Embeddings and recipes in MongoDB: what is done for `ports.EmbeddingStore`."""

from collections.abc import Collection
from dataclasses import asdict

from dinoserve.adapters.mongo.records import (
    Document,
    asset_of,
    embedding_id,
    packed,
    reference,
    unpacked,
)
from dinoserve.adapters.mongo.schema import Documents
from dinoserve.domain.assets import Asset
from dinoserve.domain.recipes import Recipe
from dinoserve.domain.vectors import Embedding, Vector
from dinoserve.errors import AssetNotFoundError


async def put(database: Documents, embedding: Embedding) -> None:
    """Store or replace; absent asset: AssetNotFoundError. Needs a transaction."""
    others = {
        "$filter": {
            "input": "$embeddings",
            "cond": {"$ne": ["$$this.recipe", {"$literal": embedding.recipe}]},
        }
    }
    own = {"$literal": [reference(embedding)]}
    asset = await database.assets.find_one_and_update(
        {"_id": embedding.asset_id},
        [{"$set": {"embeddings": {"$concatArrays": [others, own]}}}],
        projection={"collection": True},
    )
    if asset is None:
        raise AssetNotFoundError(f"No asset has the id {embedding.asset_id}.")
    await put_vector(database, asset["collection"], embedding)


async def put_vector(
    database: Documents, collection: str, embedding: Embedding
) -> None:
    """Store or replace the vector alone, of an asset that names it already."""
    key = embedding_id(embedding.asset_id, embedding.recipe)
    await database.embeddings.replace_one(
        {"_id": key},
        {
            "_id": key,
            "recipe": embedding.recipe,
            "collection": collection,
            "vector": packed(embedding.vector),
        },
        upsert=True,
    )


async def remove(database: Documents, asset: Asset) -> None:
    """Erase the vectors of an asset. Needs a transaction."""
    keys = [embedding_id(asset.id, ref.recipe) for ref in asset.embeddings]
    # For `changes.py`, as the asset's own erasure.
    told = {"$set": {"erased": asset.collection}}
    await database.embeddings.update_many({"_id": {"$in": keys}}, told)
    await database.embeddings.delete_many({"_id": {"$in": keys}})


async def vectors(
    database: Documents, ids: Collection[str], recipe: str
) -> dict[str, Vector]:
    """Return float32 vectors by asset id, absent ones left out."""
    keys = [embedding_id(asset_id, recipe) for asset_id in ids]
    cursor = database.embeddings.find({"_id": {"$in": keys}}, {"vector": True})
    return {asset_of(one["_id"]): unpacked(one["vector"]) async for one in cursor}


async def counts(
    database: Documents, collection: str | None, lacking: str | None
) -> dict[str, int]:
    """Return how many embeddings each recipe id has."""
    meant: Document = {}
    if collection is not None:
        meant["collection"] = collection
    if lacking is not None:
        meant["embeddings.recipe"] = {"$ne": lacking}
    cursor = await database.assets.aggregate(
        [
            {"$match": meant},
            {"$unwind": "$embeddings"},
            {"$group": {"_id": "$embeddings.recipe", "count": {"$sum": 1}}},
        ]
    )
    return {one["_id"]: one["count"] async for one in cursor}


async def save_recipe(database: Documents, recipe: Recipe) -> None:
    """Keep the recipe under its id; twice is the same. Needs a transaction."""
    if await database.recipes.find_one({"_id": recipe.id}):
        return
    last = await database.recipes.find_one(sort=[("position", -1)])
    position = last["position"] + 1 if last else 1
    await database.recipes.insert_one(
        {"_id": recipe.id, "position": position, "contents": asdict(recipe)}
    )


async def recipes(database: Documents) -> list[Recipe]:
    """Return every recipe kept, as first kept."""
    cursor = database.recipes.find(sort=[("position", 1)])
    return [Recipe(**one["contents"]) async for one in cursor]
