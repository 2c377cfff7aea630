"""Relations in MongoDB: `ports.RelationStore` beside the assets.

Attributes are JSON text, and times microseconds, for the reasons that records.py
gives.
"""

import json
from collections.abc import AsyncGenerator, Collection, Generator, Mapping, Sequence
from typing import Any, Final

import numpy as np
from pymongo import ReplaceOne

from dinoserve.adapters.mongo import relation_log, schema
from dinoserve.adapters.mongo.database import Database
from dinoserve.adapters.mongo.records import Document
from dinoserve.adapters.mongo.relation_log import key_id, node_key
from dinoserve.adapters.mongo.schema import Documents
from dinoserve.domain.relations import (
    Edge,
    EdgeBlock,
    Reach,
    Relation,
    RelationKey,
    Scope,
    node_of,
)
from dinoserve.domain.times import from_microseconds, to_microseconds
from dinoserve.errors import NodeNotFoundError

# About 2 MB of documents at a time.
BATCH: Final = 10_000
# Ids that one statement looks for: some servers take each document through all of them.
IDS: Final = 200

_KEY: Final = ("source", "target", "kind")
_EDGE: Final = {**dict.fromkeys((*_KEY, "weight"), True), "_id": False}
_STRONGEST_FIRST: Final = [("weight", -1), ("source", 1), ("target", 1), ("kind", 1)]


class MongoRelations:
    """`ports.RelationStore` in the assets' database; errors as `MongoDocuments`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def put(self, relations: Sequence[Relation]) -> None:
        """Store each, in place of the one of the same key: all of them, or none."""
        if relations:
            await self._database.transact(_put, relations)

    async def remove(
        self, keys: Collection[RelationKey] = (), nodes: Collection[str] = ()
    ) -> None:
        """Erase these relations, and every relation of these nodes."""
        if keys or nodes:
            await self._database.transact(_remove, keys, nodes)

    async def get(self, keys: Collection[RelationKey]) -> list[Relation]:
        """Return the relations, absent ones left out."""
        return await self._database.run(_get, keys)

    async def touching(
        self, nodes: Collection[str], reach: Reach, limit: int
    ) -> list[Edge]:
        """Return relations that lead from these nodes, the strongest first."""
        ends = {"out": ["source"], "in": ["target"], "any": ["source", "target"]}
        found: set[Edge] = set()
        for end in ends[reach.direction]:
            meant = {end: {"$in": list(nodes)}, **_meant(reach.kinds, reach.min_weight)}
            found |= set(await self._database.run(_strongest, meant, limit))
        # What is among the strongest of both is among those of one.
        return sorted(found, key=lambda edge: (-edge.weight, edge.key))[:limit]

    async def scan(self, scope: Scope) -> AsyncGenerator[EdgeBlock]:
        """Yield every relation of the scope by its id, `BATCH` at a time."""
        meant = _meant(scope.kinds, scope.min_weight)
        if scope.collection is not None:
            meant["collection"] = scope.collection
        nodes: dict[str, int] = {}
        kinds: dict[str, int] = {}
        after = ""
        while found := await self._database.run(_batch, meant, after):
            yield _block(found, nodes, kinds)
            after = found[-1]["_id"]

    async def ping(self) -> str:
        """Return e.g. `MongoDB 8.0.4, schema 4`, as the server tells."""
        number = await self._database.run(schema.version)
        return f"MongoDB {await self._database.server_version()}, schema {number}"


async def forget(database: Documents, node: str) -> None:
    """Erase every relation of a node. Needs a transaction."""
    sides = {"$or": [{"source": node}, {"target": node}]}
    found = database.relations.find(sides, _EDGE)
    ends = {end async for one in found for end in (one["source"], one["target"])}
    if not ends:
        return
    await database.relations.delete_many(sides)
    gone = ends - await _ends(database, ends)
    await relation_log.mark(database, [node_key(end) for end in (node, *gone - {node})])


async def _ends(database: Documents, nodes: Collection[str]) -> set[str]:
    """Return which of the nodes have relations."""
    some = {"$in": list(nodes)}
    sources = await database.relations.distinct("source", {"source": some})
    return {*sources, *await database.relations.distinct("target", {"target": some})}


async def _put(database: Documents, relations: Sequence[Relation]) -> None:
    await _require(database, {end for one in relations for end in one.key[:2]})
    documents = {key_id(one.key): _document(one) for one in relations}
    await database.relations.bulk_write(
        [
            ReplaceOne({"_id": name}, one, upsert=True)
            for name, one in documents.items()
        ],
        ordered=False,
    )
    await relation_log.mark(database, list(dict.fromkeys(one.key for one in relations)))


async def _require(database: Documents, names: Collection[str]) -> None:
    nodes = [node_of(name) for name in names]
    for kind, kept in (("asset", database.assets), ("character", database.characters)):
        ids = [node.name for node in nodes if node.kind == kind]
        known: set[str] = set()
        for some in _among(ids):
            # A write, so that an erasure at the same moment meets this transaction.
            await kept.update_many(some, {"$inc": {"relation_writes": 1}})
            known |= {one["_id"] async for one in kept.find(some, {"_id": True})}
        for absent in (each for each in ids if each not in known):
            raise NodeNotFoundError(
                f"No {kind} has the id {absent}.", value=f"{kind}:{absent}"
            )


async def _remove(
    database: Documents, keys: Collection[RelationKey], nodes: Collection[str]
) -> None:
    known = {key_id(key): key for key in keys}
    there: list[RelationKey] = []
    for some in _among(list(known)):
        found = database.relations.find(some, {"_id": True})
        there += [known[one["_id"]] async for one in found]
        await database.relations.delete_many(some)
    if there:
        await relation_log.mark(database, there)
    for node in nodes:
        await forget(database, node)


async def _get(database: Documents, keys: Collection[RelationKey]) -> list[Relation]:
    return [
        _relation(one)
        for some in _among(list({key_id(key) for key in keys}))
        async for one in database.relations.find(some)
    ]


def _among(ids: Sequence[str]) -> Generator[Document]:
    """Yield filters that together mean the documents of these ids."""
    for start in range(0, len(ids), IDS):
        yield {"_id": {"$in": ids[start : start + IDS]}}


async def _strongest(database: Documents, meant: Document, limit: int) -> list[Edge]:
    found = database.relations.find(meant, _EDGE, sort=_STRONGEST_FIRST, limit=limit)
    return [
        Edge(one["source"], one["target"], one["kind"], one["weight"])
        async for one in found
    ]


async def _batch(database: Documents, meant: Document, after: str) -> list[Document]:
    found = database.relations.find(
        {**meant, "_id": {"$gt": after}},
        {**_EDGE, "_id": True},
        sort=[("_id", 1)],
        limit=BATCH,
    )
    return [one async for one in found]


def _meant(kinds: Collection[str], min_weight: float) -> Document:
    meant: Document = {"weight": {"$gte": min_weight}}
    return meant | ({"kind": {"$in": list(kinds)}} if kinds else {})


def _block(
    found: Sequence[Mapping[str, Any]], nodes: dict[str, int], kinds: dict[str, int]
) -> EdgeBlock:
    known_nodes, known_kinds = len(nodes), len(kinds)
    sources = [nodes.setdefault(one["source"], len(nodes)) for one in found]
    targets = [nodes.setdefault(one["target"], len(nodes)) for one in found]
    numbers = [kinds.setdefault(one["kind"], len(kinds)) for one in found]
    return EdgeBlock(
        list(nodes)[known_nodes:],
        list(kinds)[known_kinds:],
        np.array(sources, np.int32),
        np.array(targets, np.int32),
        np.array(numbers, np.int32),
        np.array([one["weight"] for one in found], np.float64),
    )


def _document(one: Relation) -> Document:
    return {
        "_id": key_id(one.key),
        **one.key._asdict(),
        "weight": float(one.weight),
        "created_at": to_microseconds(one.created_at),
        "origin": one.origin,
        "recipe": one.recipe,
        "collection": one.collection,
        "attributes": json.dumps(dict(one.attributes), ensure_ascii=False),
    }


def _relation(one: Mapping[str, Any]) -> Relation:
    return Relation(
        key=RelationKey(one["source"], one["target"], one["kind"]),
        weight=one["weight"],
        created_at=from_microseconds(one["created_at"]),
        origin=one["origin"],
        recipe=one["recipe"],
        collection=one["collection"],
        attributes=json.loads(one["attributes"]),
    )
