"""What followers have yet to be told, in MongoDB: `ports.RelationLog`.

A transaction that marks reads who follows. One that was begun before somebody follows
must not end after it unseen, so both write a guard: that of followers all of them,
that of marks one by chance, so that few of these meet each other.
"""

import hashlib
import secrets
import time
from collections.abc import Collection, Mapping
from typing import Final

from pymongo import UpdateOne

from dinoserve.adapters.mongo.database import Database
from dinoserve.adapters.mongo.records import Document
from dinoserve.adapters.mongo.schema import GUARDS, Documents
from dinoserve.domain.relations import RelationKey
from dinoserve.ports import Mark

_CHANCE_BITS: Final = 10
# The kind that a mark of a node has whose record was changed.
_EDITED: Final = "edited"


class MongoRelationLog:
    """`ports.RelationLog` in the assets' database; errors as `MongoDocuments`.

    A version is a time with some chance in it: it rises with every renewal, and comes
    never again once its mark was taken off.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def follow(self, follower: str) -> bool:
        """Mark for this follower from now on; tell whether it had been begun before."""
        return await self._database.transact(_follow, follower)

    async def unfollow(self, follower: str) -> None:
        """Forget the follower with its marks."""
        await self._database.transact(_unfollow, follower)

    async def followers(self, limit: int) -> Mapping[str, int]:
        """Return who follows, and how many marks each has, counted up to `limit`."""
        return await self._database.run(_followers, limit)

    async def marked(self, follower: str, limit: int) -> list[Mark]:
        """Return marks, the oldest first, at most so many."""
        return await self._database.run(_marked, follower, limit)

    async def settle(self, follower: str, marks: Collection[Mark]) -> list[Mark]:
        """Take marks off; return those that were taken off or renewed by others."""
        if not marks:
            return []
        return await self._database.transact(_settle, follower, marks)


def key_id(key: RelationKey) -> str:
    """Return the id of a relation's document: 32 hex digits."""
    # No name has a line break.
    return hashlib.sha256("\n".join(key).encode()).hexdigest()[:32]


async def mark(database: Documents, keys: Collection[RelationKey]) -> None:
    """Mark for every follower; a node by a key without target. Needs a transaction."""
    guard = {"_id": secrets.randbelow(GUARDS)}
    await database.relation_guards.update_one(guard, {"$inc": {"writes": 1}})
    followers = [one["_id"] async for one in database.relation_followers.find()]
    for follower in followers:
        await database.relation_marks.bulk_write(
            [_renewal(follower, key) for key in keys], ordered=False
        )


def node_key(node: str) -> RelationKey:
    """Return the key that a mark of a node is kept under."""
    return RelationKey(node, "", "")


async def mark_edited(database: Documents, node: str) -> None:
    """Mark a node whose record says something else. Needs a transaction.

    One without relations is not marked.
    """
    ends = {"$or": [{"source": node}, {"target": node}]}
    if await database.relations.find_one(ends, {"_id": True}):
        await mark(database, [RelationKey(node, "", _EDITED)])


async def _follow(database: Documents, follower: str) -> bool:
    await database.relation_guards.update_many({}, {"$inc": {"writes": 1}})
    one = {"_id": follower}
    if await database.relation_followers.find_one(one):
        return True
    await database.relation_followers.insert_one(one)
    return False


async def _unfollow(database: Documents, follower: str) -> None:
    await database.relation_guards.update_many({}, {"$inc": {"writes": 1}})
    await database.relation_followers.delete_one({"_id": follower})
    await database.relation_marks.delete_many({"follower": follower})


async def _followers(database: Documents, limit: int) -> Mapping[str, int]:
    names = [one["_id"] async for one in database.relation_followers.find()]
    count = database.relation_marks.count_documents
    return {name: await count({"follower": name}, limit=limit) for name in names}


async def _marked(database: Documents, follower: str, limit: int) -> list[Mark]:
    oldest = database.relation_marks.find(
        {"follower": follower}, sort=[("version", 1)], limit=limit
    )
    return [_mark(one) async for one in oldest]


async def _settle(
    database: Documents, follower: str, marks: Collection[Mark]
) -> list[Mark]:
    if not await database.relation_followers.find_one({"_id": follower}):
        return []
    kept = {_mark_id(follower, _key(one)): one for one in marks}
    found = database.relation_marks.find({"_id": {"$in": list(kept)}})
    versions = {one["_id"]: one["version"] async for one in found}
    mine = [name for name, one in kept.items() if versions.get(name) == one.version]
    await database.relation_marks.delete_many({"_id": {"$in": mine}})
    absent = [_key(one) for name, one in kept.items() if name not in versions]
    if absent:
        await database.relation_marks.bulk_write(
            [_renewal(follower, key) for key in absent], ordered=False
        )
    return [one for name, one in kept.items() if name not in set(mine)]


def _renewal(follower: str, key: RelationKey) -> UpdateOne:
    version = time.time_ns() // 1000 << _CHANCE_BITS | secrets.randbits(_CHANCE_BITS)
    # Of a mark that a faster clock made, one more than it had.
    after = {"$add": [{"$ifNull": ["$version", 0]}, 1]}
    fields: Document = {
        "follower": follower,
        "source": {"$literal": key.source},
        "target": {"$literal": key.target},
        "kind": key.kind,
        "version": {"$max": [version, after]},
    }
    return UpdateOne({"_id": _mark_id(follower, key)}, [{"$set": fields}], upsert=True)


def _mark_id(follower: str, key: RelationKey) -> str:
    return f"{follower}/{key_id(key)}"


def _key(one: Mark) -> RelationKey:
    return one.key or RelationKey(one.node or "", "", _EDITED if one.is_edited else "")


def _mark(one: Document) -> Mark:
    if not one["target"]:
        return Mark(None, one["source"], one["version"], one["kind"] == _EDITED)
    key = RelationKey(one["source"], one["target"], one["kind"])
    return Mark(key, None, one["version"])
