"""`SqliteDocuments`: the port's methods, each one trip to the database."""

import asyncio
import sqlite3
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Self

from dinoserve.adapters.sqlite import assets, embeddings, garbage, schema, upkeep
from dinoserve.adapters.sqlite.changes import changes
from dinoserve.adapters.sqlite.characters import SqliteCharacters
from dinoserve.adapters.sqlite.database import Database, survey
from dinoserve.adapters.sqlite.jobs import SqliteJobs
from dinoserve.adapters.sqlite.relation_log import SqliteRelationLog
from dinoserve.adapters.sqlite.relations import SqliteRelations
from dinoserve.adapters.sqlite.traits import SqliteTraits
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
)


class SqliteDocuments:
    """`ports.DocumentStore` in one SQLite file; see there for what methods do.

    Every write is committed and synced before it is acknowledged.

    Raises:
        UnavailableError: SQLite failed (every method).
        StorageFullError: the disk is full (every method that writes).
        InvalidInputError: text that is not Unicode (every method).
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    @classmethod
    @asynccontextmanager
    async def open(cls, path: Path) -> AsyncGenerator[Self]:
        """Open the file, creating it if absent, and close it at the end.

        Raises:
            DataFolderError: the file is damaged or newer than this code (it is left
                untouched), or cannot be opened.
        """
        database = await asyncio.to_thread(Database, path)
        try:
            yield cls(database)
        finally:
            await asyncio.to_thread(database.close)

    @staticmethod
    async def survey(path: Path) -> Survey:
        """Return what the file is, or would be; errors as `open`, it stays as it is."""
        return await asyncio.to_thread(survey, path)

    @property
    def jobs(self) -> JobStore:
        """The jobs, kept in the same file."""
        return SqliteJobs(self._database)

    @property
    def characters(self) -> CharacterStore:
        """Characters and checks of them, kept in the same file."""
        return SqliteCharacters(self._database)

    @property
    def traits(self) -> TraitStore:
        """What was measured of assets, kept in the same file."""
        return SqliteTraits(self._database)

    @property
    def relations(self) -> RelationStore:
        """Relations between assets, characters and more, kept in the same file."""
        return SqliteRelations(self._database)

    @property
    def relation_log(self) -> RelationLog:
        """What others have yet to be told of the relations."""
        return SqliteRelationLog(self._database)

    async def add(self, asset: Asset, embedding: Embedding | None) -> bool:
        """Store asset and embedding together; return True if the asset is new."""
        return await self._database.write(assets.add, asset, embedding)

    async def get(self, ids: Collection[str]) -> dict[str, Asset]:
        """Return the assets by id, absent ones left out."""
        return await self._database.read(assets.get, ids)

    async def find(self, query: AssetQuery) -> Page:
        """Return a page, newest first, then by descending id."""
        return await self._database.read(assets.find, query)

    async def ids(self, collection: str, where: Filter) -> set[str]:
        """Return the ids of every asset of the collection that matches."""
        return await self._database.read(assets.ids, collection, where)

    async def update(self, asset_id: str, changes: AssetChanges) -> Asset:
        """Return the asset after the change; absent: AssetNotFoundError."""
        return await self._database.write(assets.update, asset_id, changes)

    async def remove(self, asset_id: str) -> Asset:
        """Erase and return the asset; absent: AssetNotFoundError."""
        return await self._database.write(assets.remove, asset_id)

    async def put(self, embedding: Embedding) -> None:
        """Store or replace the embedding; absent asset: AssetNotFoundError."""
        await self._database.write(embeddings.put, embedding)

    async def vectors(self, ids: Collection[str], recipe: str) -> dict[str, Vector]:
        """Return read-only float32 vectors by asset id, absent ones left out."""
        return await self._database.read(embeddings.vectors, ids, recipe)

    async def scan(self, recipe: str) -> AsyncIterator[Sequence[IndexEntry]]:
        """Yield every vector of the recipe, `embeddings.BATCH` at a time."""
        read = self._database.read
        position = 0
        # A fixed end, or steady uploads would keep the scan running for ever.
        last = await read(embeddings.last_position, recipe)
        while rows := await read(embeddings.batch, recipe, position, last):
            yield [entry for _, entry in rows]
            position = rows[-1][0]

    async def counts(
        self, collection: str | None = None, lacking: str | None = None
    ) -> dict[str, int]:
        """Return how many embeddings each recipe id has; none: left out."""
        return await self._database.read(embeddings.counts, collection, lacking)

    async def save_recipe(self, recipe: Recipe) -> None:
        """Keep the recipe's contents under its id; twice is the same as once."""
        await self._database.write(embeddings.save_recipe, recipe)

    async def recipes(self) -> list[Recipe]:
        """Return every recipe kept, as first kept."""
        return await self._database.read(embeddings.recipes)

    async def mark(self, sha256: str) -> bool:
        """Note that bytes may soon have no asset; False: they are being erased."""
        return await self._database.write(garbage.mark, sha256)

    async def condemn(self, sha256: str) -> None:
        """Mark the bytes, as long ago, unless marked or an asset has them."""
        await self._database.write(garbage.condemn, sha256)

    async def unreferenced(self, older_s: float = 0) -> list[str]:
        """Return the digests that were marked so long ago and that no asset has."""
        return await self._database.read(garbage.unreferenced, older_s)

    async def referenced(self, digests: Collection[str]) -> set[str]:
        """Return those of these digests that some asset has."""
        return await self._database.read(garbage.referenced, digests)

    async def claim(self, sha256: str, older_s: float) -> bool:
        """Claim an old mark; False: there is none, or an asset has the bytes."""
        return await self._database.write(garbage.claim, sha256, older_s)

    async def clear(self, sha256: str) -> None:
        """Take a claimed mark off; else nothing happens."""
        await self._database.write(garbage.clear, sha256)

    async def drop(self, recipe: str, keep: str, collection: str | None) -> list[str]:
        """Erase vectors of the recipe where `keep` has one too; return whose."""
        return await self._database.write(upkeep.drop, recipe, keep, collection)

    async def size(self) -> int | None:
        """Return the bytes of the database; its file follows within a while."""
        return await self._database.read(upkeep.size)

    async def shrink(self) -> bool:
        """Give up to 4 MiB back that nothing uses; tell whether there is more."""
        return await self._database.write(upkeep.shrink)

    def changes(self) -> AsyncGenerator[Change | None]:
        """Yield changes of assets for ever, and None where some may be missed."""
        return changes(self._database)

    async def ping(self) -> str:
        """Return e.g. `SQLite 3.40.1, schema 1`, as read from the file."""
        number = await self._database.read(schema.version)
        return f"SQLite {sqlite3.sqlite_version}, schema {number}"
