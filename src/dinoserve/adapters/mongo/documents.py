"""`MongoDocuments`: the port's methods, each one call of the database."""

from collections.abc import AsyncGenerator, Collection, Sequence
from contextlib import asynccontextmanager
from typing import Self

from dinoserve.adapters.mongo import (
    assets,
    changes,
    embeddings,
    garbage,
    schema,
    upkeep,
)
from dinoserve.adapters.mongo.characters import MongoCharacters
from dinoserve.adapters.mongo.database import Database, connect, survey
from dinoserve.adapters.mongo.index import MongoIndex, prepare
from dinoserve.adapters.mongo.jobs import MongoJobs
from dinoserve.adapters.mongo.relation_log import MongoRelationLog
from dinoserve.adapters.mongo.relations import MongoRelations
from dinoserve.adapters.mongo.scanning import scan
from dinoserve.adapters.mongo.traits import MongoTraits
from dinoserve.domain.assets import Asset, Filter
from dinoserve.domain.paging import AssetQuery, Page
from dinoserve.domain.recipes import Recipe
from dinoserve.domain.vectors import Embedding, Vector
from dinoserve.ports import (
    AssetChanges,
    Change,
    CharacterStore,
    IndexEntry,
    JobStore,
    RelationLog,
    RelationStore,
    Survey,
    TraitStore,
    VectorIndex,
)


class MongoDocuments:
    """`ports.DocumentStore` in MongoDB; see there for what methods do.

    Every write is journaled by a majority of the replica set before it is
    acknowledged. Every call is answered within `database.ANSWER_S` seconds; a write
    may wait for its turn before, `database.TURN_S` seconds at most.

    Raises:
        UnavailableError: MongoDB failed or cannot be reached (every method). A write
            that was answered so may have happened.
        StorageFullError: disk or quota are full (every method that writes).
        InvalidInputError: text that is not Unicode, or a record above 16 MiB.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str) -> AsyncGenerator[Self]:
        """Open the database that a `mongodb://` or `mongodb+srv://` URL names.

        Collections and indexes that are missing are created.

        Raises:
            StartUpError: the server cannot be reached, is no replica set or refuses
                the user; or the database is newer than this code, and left untouched.
        """
        async with connect(url) as database:
            yield cls(database)

    @staticmethod
    async def survey(url: str) -> Survey:
        """Return what stands behind the URL; errors as `open`, nothing is changed."""
        return await survey(url)

    @property
    def jobs(self) -> JobStore:
        """The jobs, kept in the same database."""
        return MongoJobs(self._database)

    @property
    def characters(self) -> CharacterStore:
        """Characters and checks of them, kept in the same database."""
        return MongoCharacters(self._database)

    @property
    def traits(self) -> TraitStore:
        """What was measured of assets, kept in the same database."""
        return MongoTraits(self._database)

    @property
    def relations(self) -> RelationStore:
        """Relations between assets, characters and more, in the same database."""
        return MongoRelations(self._database)

    @property
    def relation_log(self) -> RelationLog:
        """What others have yet to be told of the relations."""
        return MongoRelationLog(self._database)

    async def add(self, asset: Asset, embedding: Embedding | None) -> bool:
        """Store asset and embedding together; return True if the asset is new."""
        return await self._database.transact(assets.add, asset, embedding)

    async def get(self, ids: Collection[str]) -> dict[str, Asset]:
        """Return the assets by id, absent ones left out."""
        return await self._database.run(assets.get, ids)

    async def find(self, query: AssetQuery) -> Page:
        """Return a page, newest first, then by descending id."""
        return await self._database.run(assets.find, query)

    async def ids(self, collection: str, where: Filter) -> set[str]:
        """Return the ids of every asset of the collection that matches."""
        return await self._database.run(assets.ids, collection, where)

    async def update(self, asset_id: str, changes: AssetChanges) -> Asset:
        """Return the asset after the change; absent: AssetNotFoundError."""
        return await self._database.transact(assets.update, asset_id, changes)

    async def remove(self, asset_id: str) -> Asset:
        """Erase and return the asset; absent: AssetNotFoundError."""
        return await self._database.transact(assets.remove, asset_id)

    async def put(self, embedding: Embedding) -> None:
        """Store or replace the embedding; absent asset: AssetNotFoundError."""
        await self._database.transact(embeddings.put, embedding)

    async def vectors(self, ids: Collection[str], recipe: str) -> dict[str, Vector]:
        """Return read-only float32 vectors by asset id, absent ones left out."""
        return await self._database.run(embeddings.vectors, ids, recipe)

    def scan(self, recipe: str) -> AsyncGenerator[Sequence[IndexEntry]]:
        """Yield every vector of the recipe, `scanning.BATCH` at a time."""
        return scan(self._database, recipe)

    async def counts(
        self, collection: str | None = None, lacking: str | None = None
    ) -> dict[str, int]:
        """Return how many embeddings each recipe id has; none: left out."""
        return await self._database.run(embeddings.counts, collection, lacking)

    async def save_recipe(self, recipe: Recipe) -> None:
        """Keep the recipe's contents under its id; twice is the same as once."""
        await self._database.transact(embeddings.save_recipe, recipe)

    async def recipes(self) -> list[Recipe]:
        """Return every recipe kept, as first kept."""
        return await self._database.run(embeddings.recipes)

    async def mark(self, sha256: str) -> bool:
        """Note that bytes may soon have no asset; False: they are being erased."""
        return await self._database.run(garbage.mark, sha256)

    async def condemn(self, sha256: str) -> None:
        """Mark the bytes, as long ago, unless marked or an asset has them."""
        await self._database.transact(garbage.condemn, sha256)

    async def unreferenced(self, older_s: float = 0) -> list[str]:
        """Return the digests that were marked so long ago and that no asset has."""
        return await self._database.run(garbage.unreferenced, older_s)

    async def referenced(self, digests: Collection[str]) -> set[str]:
        """Return those of these digests that some asset has."""
        return await self._database.run(garbage.referenced, digests)

    async def claim(self, sha256: str, older_s: float) -> bool:
        """Claim an old mark; False: there is none, or an asset has the bytes."""
        before = await self._database.run(garbage.limits, older_s)
        return await self._database.transact(garbage.claim, sha256, before)

    async def clear(self, sha256: str) -> None:
        """Take a claimed mark off; else nothing happens."""
        await self._database.run(garbage.clear, sha256)

    async def drop(self, recipe: str, keep: str, collection: str | None) -> list[str]:
        """Erase vectors of the recipe where `keep` has one too; return whose."""
        return await self._database.transact(upkeep.drop, recipe, keep, collection)

    async def size(self) -> int | None:
        """Return None: MongoDB uses space that became free by itself."""
        return None

    async def shrink(self) -> bool:
        """Return False: there is nothing to be done."""
        return False

    def changes(self) -> AsyncGenerator[Change | None]:
        """Yield changes of assets for ever, and None where some may be missed."""
        return self._database.follow(changes.changes)

    async def open_index(self, dimension: int, recent: VectorIndex) -> MongoIndex:
        """Return the index that MongoDB itself keeps of vectors of this dimension.

        It is made if it is missing, and waited for; see `index.prepare`.

        Args:
            dimension: numbers in a vector.
            recent: empty; holds what MongoDB may not have indexed yet.

        Raises:
            StartUpError: the server has no vector search, or its index is not ours.
        """
        await prepare(self._database, dimension)
        return MongoIndex(self._database, dimension, recent)

    async def ping(self) -> str:
        """Return e.g. `MongoDB 8.0.4, schema 1`, as the server tells."""
        number = await self._database.run(schema.version)
        return f"MongoDB {await self._database.server_version()}, schema {number}"
