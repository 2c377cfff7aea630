"""MongoDB's vector search as a server uses it: rows are stored, and the index told."""

import asyncio
import math
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager

from pymongo import ReplaceOne

from dinoserve.adapters.exact_index import ExactIndex
from dinoserve.adapters.mongo.database import Database, connect
from dinoserve.adapters.mongo.index import MongoIndex, prepare
from dinoserve.adapters.mongo.records import embedding_id, packed
from dinoserve.adapters.mongo.schema import Documents
from dinoserve.domain.vectors import Matrix, Vector
from dinoserve.ports import Nearest, Space


class SearchedMongo:
    """Plays `VectorIndex`, with the document store's part done as well.

    The width that it is asked about first is that of the search index.

    Args:
        database: where rows are stored.
        settling_s: of `MongoIndex`; 0: MongoDB is asked for everything at once.
    """

    reads_store = True

    def __init__(self, database: Database, settling_s: float = math.inf) -> None:
        self._database = database
        self._settling_s = settling_s
        self._opened: MongoIndex | None = None
        self._opening = asyncio.Lock()

    async def opened(self, width: int) -> MongoIndex:
        async with self._opening:
            if self._opened is None:
                await prepare(self._database, width)
                self._opened = MongoIndex(
                    self._database, width, ExactIndex(), self._settling_s
                )
            return self._opened

    async def upsert(self, space: Space, ids: Sequence[str], vectors: Matrix) -> None:
        index = await self.opened(vectors.shape[1])
        # What cannot be is refused before it is stored.
        await index.upsert(space, ids, vectors)
        await self._database.run(store, space, ids, vectors)

    async def delete(self, space: Space, ids: Collection[str]) -> None:
        await self._database.run(erase, space, ids)
        if self._opened:
            await self._opened.delete(space, ids)

    async def search(
        self,
        space: Space,
        query: Vector,
        k: int,
        among: Collection[str] | None,
        *,
        exact: bool = False,
    ) -> Nearest:
        index = await self.opened(len(query))
        return await index.search(space, query, k, among, exact=exact)

    async def retain(self, recipe: str, kept: Mapping[str, Collection[str]]) -> None:
        await (await self.opened(1)).retain(recipe, kept)

    async def count(self, space: Space) -> int:
        return await (await self.opened(1)).count(space)

    async def ping(self) -> str:
        return await (await self.opened(1)).ping()


async def store(
    database: Documents, space: Space, ids: Sequence[str], vectors: Matrix
) -> None:
    """Store or replace these rows, as the document store would."""
    keys = [embedding_id(asset_id, space.recipe) for asset_id in ids]
    writes = [
        ReplaceOne(
            {"_id": key},
            {**space._asdict(), "vector": packed(vector)},
            upsert=True,
        )
        for key, vector in zip(keys, vectors, strict=True)
    ]
    if writes:
        await database.embeddings.bulk_write(writes)


async def erase(database: Documents, space: Space, ids: Collection[str]) -> None:
    """Erase these rows, as the document store would."""
    keys = [embedding_id(asset_id, space.recipe) for asset_id in ids]
    await database.embeddings.delete_many(
        {"_id": {"$in": keys}, "collection": space.collection}
    )


@asynccontextmanager
async def searched(
    url: str, settling_s: float = math.inf
) -> AsyncGenerator[SearchedMongo]:
    """Yield an index over the database that the URL names."""
    async with connect(url) as database:
        yield SearchedMongo(database, settling_s)
