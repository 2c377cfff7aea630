"""The bare stores in a loop: what they give without a server around them.

`python -m benchmarks.stored FOLDER PICTURES VECTORS [MONGODB]`: fills a database in
the folder, and one of that server, with so many vectors; then orders come in on
standard input.
"""

import asyncio
import secrets
import shutil
import sys
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from itertools import cycle
from pathlib import Path

import numpy as np
from benchmarks.pictures import Picture, read_pictures
from benchmarks.protocol import Sample, StoreOrder, answer_orders
from pymongo import AsyncMongoClient

from dinoserve.adapters.mongo import MongoDocuments
from dinoserve.adapters.mongo.records import Document, embedding_id, packed
from dinoserve.adapters.objects import LocalObjects
from dinoserve.adapters.sqlite import SqliteDocuments
from dinoserve.domain.assets import Asset, ImageInfo, asset_id
from dinoserve.domain.vectors import Embedding, Vector, normalise
from dinoserve.ports import EmbeddingStore

_NUMBERS = 384
_TOGETHER = 1000
_COLLECTION, _RECIPE = "default", "benchmark"


@dataclass(frozen=True, slots=True)
class Stored:
    """Where the stores are, and what is in them.

    Attributes:
        folder: of the database in a file, and of the objects.
        pictures: what is put.
        vectors: how many each database has.
        mongodb: URL of the other database; empty: there is none.
    """

    folder: Path
    pictures: Sequence[Picture]
    vectors: int
    mongodb: str

    async def fill(self) -> None:
        """Store the vectors in every database."""
        async with SqliteDocuments.open(self._file) as documents:
            for start in range(0, self.vectors, _TOGETHER):
                rows = self._rows(start)
                await asyncio.gather(*(documents.add(*row) for row in rows))
        if self.mongodb:
            await self._fill_mongodb()

    def measure(self, order: StoreOrder) -> Sample:
        """Do what the order says; return what came of it."""
        if order.store == "objects":
            return asyncio.run(self._put(order))
        return asyncio.run(self._scan(order))

    async def _fill_mongodb(self) -> None:
        async with MongoDocuments.open(self.mongodb):  # makes indexes and rules
            pass
        # Its own `add` would take minutes: a transaction for each asset.
        async with AsyncMongoClient[Document](self.mongodb) as client:
            collection = client.get_default_database().embeddings
            for start in range(0, self.vectors, _TOGETHER):
                rows = self._rows(start)
                await collection.insert_many([_document(vector) for _, vector in rows])

    async def _put(self, order: StoreOrder) -> Sample:
        folder = self.folder / "objects"
        folder.mkdir()
        objects = LocalObjects(folder / "objects")
        files = cycle(self.pictures)
        latencies_ms: list[float] = []

        async def put_until(end: float) -> None:
            while (begun := time.perf_counter()) < end:
                await objects.put(secrets.token_hex(32), next(files).fresh())
                latencies_ms.append((time.perf_counter() - begun) * 1000)

        cpu, start = time.process_time(), time.perf_counter()
        end = start + order.seconds
        await asyncio.gather(*(put_until(end) for _ in range(order.at_once)))
        sample = _sample(len(latencies_ms), latencies_ms, cpu, start)
        shutil.rmtree(folder)
        return sample

    async def _scan(self, order: StoreOrder) -> Sample:
        latencies_ms: list[float] = []
        done = 0
        async with self._open(order.store) as store:
            cpu, start = time.process_time(), time.perf_counter()
            now = start
            while now < start + order.seconds:
                async for batch in store.scan(_RECIPE):
                    done += len(batch)
                begun, now = now, time.perf_counter()
                latencies_ms.append((now - begun) * 1000)
            return _sample(done, latencies_ms, cpu, start)

    @asynccontextmanager
    async def _open(self, store: str) -> AsyncGenerator[EmbeddingStore]:
        if store == "mongodb":
            async with MongoDocuments.open(self.mongodb) as documents:
                yield documents
        else:
            async with SqliteDocuments.open(self._file) as documents:
                yield documents

    def _rows(self, start: int) -> list[tuple[Asset, Embedding]]:
        stop = min(start + _TOGETHER, self.vectors)
        return [_row(number) for number in range(start, stop)]

    @property
    def _file(self) -> Path:
        return self.folder / "documents.sqlite"


def _sample(
    done: int, latencies_ms: list[float], cpu_before: float, start: float
) -> Sample:
    return Sample(
        done=done,
        wall_s=time.perf_counter() - start,
        cpu_s=time.process_time() - cpu_before,
        latencies_ms=latencies_ms,
    )


def _row(number: int) -> tuple[Asset, Embedding]:
    digest = sha256(b"%d" % number).hexdigest()
    asset = Asset(
        id=asset_id(_COLLECTION, digest),
        collection=_COLLECTION,
        sha256=digest,
        filename="photo.jpg",
        image=ImageInfo("image/jpeg", 500, 375),
        size_bytes=48_213,
        created_at=datetime.now(UTC),
        tags=(),
        metadata={},
        subject=None,
    )
    return asset, Embedding(asset.id, _RECIPE, _vector(number))


def _vector(number: int) -> Vector:
    noise = np.random.default_rng(number)
    return normalise(noise.standard_normal(_NUMBERS, np.float32))


def _document(embedding: Embedding) -> Document:
    """Return what `MongoDocuments` stores of a vector."""
    return {
        "_id": embedding_id(embedding.asset_id, embedding.recipe),
        "recipe": embedding.recipe,
        "collection": _COLLECTION,
        "vector": packed(embedding.vector),
    }


if __name__ == "__main__":
    _folder, _pictures, _vectors, *_mongodb = sys.argv[1:]
    _stored = Stored(
        Path(_folder), read_pictures(Path(_pictures)), int(_vectors), "".join(_mongodb)
    )
    asyncio.run(_stored.fill())
    answer_orders(StoreOrder, _stored.measure)
