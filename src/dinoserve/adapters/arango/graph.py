"""Relations as documents and edges of ArangoDB."""

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Collection, Iterable, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any, Self

from dinoserve.adapters.arango import queries
from dinoserve.adapters.arango.address import Address
from dinoserve.adapters.arango.database import ArangoDatabase
from dinoserve.adapters.arango.failures import translate
from dinoserve.adapters.arango.records import (
    Numbering,
    node_document,
    node_handle,
    relation_document,
    relation_key,
    relation_of,
)
from dinoserve.adapters.arango.requests import BATCH, all_rows, insert
from dinoserve.domain.relations import (
    Edge,
    EdgeBlock,
    Reach,
    Relation,
    RelationKey,
    Scope,
)


class ArangoGraph:
    """`ports.RelationStore` and `ports.RelationCopy` over a database of ArangoDB.

    Nodes are vertices and relations edges, under keys that are digests of their names,
    so that names may have any character. What must be one is one transaction.

    Args:
        database: holds them.
        name: tells this place from others.

    Raises:
        InvalidInputError: text that is not Unicode, in what is stored.
        UnavailableError: the server does not answer, or not as asked.
    """

    def __init__(self, database: ArangoDatabase, name: str) -> None:
        self.database = database
        self.name = name

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str) -> AsyncGenerator[Self]:
        """Yield the graph; nothing is asked yet, and the server may be away.

        Args:
            url: `arangodb://USER:PASSWORD@HOST:PORT/DATABASE`; `arangodbs` for TLS.

        Raises:
            StartUpError: it is no such URL.
        """
        async with ArangoDatabase.open(Address.read(url)) as database:
            yield cls(database, cls.name_of(url))

    @staticmethod
    def name_of(url: str) -> str:
        """Return what tells the place from others: of host, port and database.

        Raises:
            StartUpError: it is no such URL.
        """
        address = Address.read(url)
        place = f"{address.host}/{address.database}"
        return f"arangodb-{hashlib.sha256(place.encode()).hexdigest()[:12]}"

    async def put(self, relations: Sequence[Relation]) -> None:
        """Store each, in place of the one of the same key: all of them, or none."""
        documents = await asyncio.to_thread(_documents, relations)

        async def work(transaction: Any) -> None:
            for collection, some in documents.items():
                await insert(transaction, collection, some)

        if relations:
            await self.database.write(work)

    async def remove(
        self, keys: Collection[RelationKey] = (), nodes: Collection[str] = ()
    ) -> None:
        """Erase these relations, every relation of these nodes, and lonely nodes."""
        chosen = {"keys": [relation_key(key) for key in keys]}
        handles = {"nodes": [node_handle(node) for node in nodes]}

        async def work(transaction: Any) -> None:
            ends = await _removed(transaction, queries.REMOVE_KEYS, chosen)
            ends |= await _removed(transaction, queries.REMOVE_NODES, handles)
            for some in _batches(sorted(ends.union(handles["nodes"]))):
                await all_rows(transaction, queries.PRUNE, {"nodes": some})

        if keys or nodes:
            await self.database.write(work)

    async def get(self, keys: Collection[RelationKey]) -> list[Relation]:
        """Return the relations, absent ones left out."""
        found: list[Relation] = []
        for some in _batches([relation_key(key) for key in set(keys)]):
            rows = await self.database.rows(queries.GET, {"keys": some})
            with translate():
                found += [relation_of(row) for row in rows]
        return found

    async def touching(
        self, nodes: Collection[str], reach: Reach, limit: int
    ) -> list[Edge]:
        """Return relations that lead from these nodes, the strongest first."""
        bound = {
            "nodes": [node_handle(node) for node in set(nodes)],
            "kinds": sorted(reach.kinds),
            "min_weight": reach.min_weight,
            "limit": limit,
        }
        if not nodes or limit < 1:
            return []
        rows = await self.database.rows(queries.TOUCHING[reach.direction], bound)
        with translate():
            return [Edge(row[0], row[1], row[2], float(row[3])) for row in rows]

    async def scan(self, scope: Scope) -> AsyncGenerator[EdgeBlock]:
        """Yield every relation of the scope, some thousand at a time."""
        bound = {
            "kinds": sorted(scope.kinds),
            "min_weight": scope.min_weight,
            "collection": scope.collection,
        }
        numbering = Numbering()
        async with aclosing(self.database.pages(queries.SCAN, bound)) as pages:
            async for rows in pages:
                with translate():
                    block = await asyncio.to_thread(numbering.block, rows)
                yield block

    async def ping(self) -> str:
        """Return name and version of the server; nothing is made there."""
        return f"ArangoDB {await self.database.version()}"

    async def is_whole(self) -> bool:
        """Tell whether everything was once put into it, since it was made."""
        return await self.database.rows(queries.IS_WHOLE, {}) == [True]

    async def set_whole(self, *, is_whole: bool) -> None:
        """Keep whether everything was put into it."""
        await self.database.rows(queries.SET_WHOLE, {"is_whole": is_whole})


def _documents(relations: Sequence[Relation]) -> dict[str, list[dict[str, Any]]]:
    """Return documents by collection; of relations of one key, the last."""
    last = {relation.key: relation for relation in relations}
    nodes = sorted({end for key in last for end in key[:2]})
    return {
        queries.NODES: [node_document(node) for node in nodes],
        queries.RELATIONS: [relation_document(each) for each in last.values()],
    }


async def _removed(
    transaction: Any, query: str, bound: dict[str, list[str]]
) -> set[str]:
    """Return the ends of what a query removes, where it is bound to anything."""
    [(name, values)] = bound.items()
    ends: set[str] = set()
    for some in _batches(values):
        for row in await all_rows(transaction, query, {name: some}):
            ends.update(row)
    return ends


def _batches(values: Sequence[str]) -> Iterable[Sequence[str]]:
    for start in range(0, len(values), BATCH):
        yield values[start : start + BATCH]
