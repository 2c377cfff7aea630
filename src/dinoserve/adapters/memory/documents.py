"""Records, vectors and marks in dictionaries."""

import math
import time
from collections import Counter
from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from dinoserve.adapters.memory.characters import MemoryCharacters
from dinoserve.adapters.memory.jobs import MemoryJobs
from dinoserve.adapters.memory.records import check_text, copied, is_meant, place
from dinoserve.adapters.memory.relations import MemoryRelations
from dinoserve.adapters.memory.traits import MemoryTraits
from dinoserve.domain.assets import Asset, EmbeddingRef, Filter
from dinoserve.domain.paging import AssetQuery, Cursor, Page
from dinoserve.domain.recipes import Recipe
from dinoserve.domain.relations import Node
from dinoserve.domain.vectors import Embedding, Vector
from dinoserve.errors import AssetNotFoundError, UnavailableError
from dinoserve.ports import (
    CLAIM_S,
    DROP_BATCH,
    AssetChanges,
    CharacterStore,
    IndexEntry,
    JobStore,
    RelationLog,
    RelationStore,
    TraitStore,
)

_BATCH = 512


class MemoryDocuments:
    """`ports.DocumentStore` in dictionaries; see there for what methods do.

    Raises:
        InvalidInputError: text that is not Unicode, in what is stored or looked for.
    """

    def __init__(self) -> None:
        self._assets: dict[str, Asset] = {}
        self._vectors: dict[str, dict[str, Vector]] = {}
        self._recipes: dict[str, Recipe] = {}
        self._marks: dict[str, _Mark] = {}
        self._jobs = MemoryJobs()
        self._traits = MemoryTraits(self._assets)
        self._relations = MemoryRelations(self._has)
        self._characters = MemoryCharacters(self._assets, self._relations)

    @property
    def jobs(self) -> JobStore:
        """The jobs, kept beside the assets."""
        return self._jobs

    @property
    def characters(self) -> CharacterStore:
        """Characters and checks of them."""
        return self._characters

    @property
    def traits(self) -> TraitStore:
        """What was measured of assets, kept beside them."""
        return self._traits

    @property
    def relations(self) -> RelationStore:
        """Relations between assets, characters and what else is named."""
        return self._relations

    @property
    def relation_log(self) -> RelationLog:
        """What others have yet to be told of the relations."""
        return self._relations

    async def add(self, asset: Asset, embedding: Embedding | None) -> bool:
        """Store asset and embedding together; return True if the asset is new."""
        is_new, copy = asset.id not in self._assets, copied(asset)
        mark = self._marks.get(asset.sha256)
        if mark and mark.is_claimed:
            raise UnavailableError(
                "The same bytes are being erased; try again.", port="documents"
            )
        if is_new:
            self._assets[asset.id] = copy
            self._vectors[asset.id] = {}
        if embedding is not None:
            await self.put(embedding)
        self._marks.pop(asset.sha256, None)
        return is_new

    async def get(self, ids: Collection[str]) -> dict[str, Asset]:
        """Return the assets by id, absent ones left out."""
        return {key: self._read(key) for key in ids if key in self._assets}

    async def find(self, query: AssetQuery) -> Page:
        """Return a page, newest first, then by descending id."""
        check_text(list(query.where.tags), dict(query.where.metadata))
        found = [asset for asset in self._assets.values() if is_meant(asset, query)]
        found.sort(key=place, reverse=True)
        page = [self._read(asset.id) for asset in found[: query.limit]]
        is_last = len(found) <= query.limit
        return Page(page, None if is_last else Cursor(page[-1].created_at, page[-1].id))

    async def ids(self, collection: str, where: Filter) -> set[str]:
        """Return the ids of every asset of the collection that matches."""
        query = AssetQuery(collection, where)
        check_text(list(where.tags), dict(where.metadata))
        return {key for key, asset in self._assets.items() if is_meant(asset, query)}

    async def update(self, asset_id: str, changes: AssetChanges) -> Asset:
        """Return the asset after the change; absent: AssetNotFoundError."""
        asset = self._require(asset_id)
        subject = asset.subject if changes.subject is None else changes.subject
        changed = copied(
            replace(
                asset,
                tags=asset.tags if changes.tags is None else changes.tags,
                metadata=(
                    asset.metadata if changes.metadata is None else changes.metadata
                ),
                subject=None if changes.clear_subject else subject,
            )
        )
        self._assets[asset_id] = changed
        if changed != asset:
            self._relations.mark_edited(f"asset:{asset_id}")
        return self._read(asset_id)

    async def remove(self, asset_id: str) -> Asset:
        """Erase and return the asset; absent: AssetNotFoundError."""
        removed = self._read(self._require(asset_id).id)
        del self._assets[asset_id], self._vectors[asset_id]
        self._traits.remove(asset_id)
        self._characters.forget(asset_id)
        self._relations.forget(f"asset:{asset_id}")
        self._jobs.note_erasure(asset_id, removed.collection)
        await self.condemn(removed.sha256)
        return removed

    async def put(self, embedding: Embedding) -> None:
        """Store or replace the embedding; absent asset: AssetNotFoundError."""
        self._require(embedding.asset_id)
        vector = embedding.vector.astype(np.float32)
        vector.flags.writeable = False
        self._vectors[embedding.asset_id][embedding.recipe] = vector

    async def vectors(self, ids: Collection[str], recipe: str) -> dict[str, Vector]:
        """Return read-only float32 vectors by asset id, absent ones left out."""
        return {
            key: self._vectors[key][recipe]
            for key in ids
            if recipe in self._vectors.get(key, {})
        }

    async def scan(self, recipe: str) -> AsyncIterator[Sequence[IndexEntry]]:
        """Yield every vector of the recipe in batches of 512."""
        entries = [
            IndexEntry(self._assets[key].collection, key, vectors[recipe])
            for key, vectors in self._vectors.items()
            if recipe in vectors
        ]
        for start in range(0, len(entries), _BATCH):
            yield entries[start : start + _BATCH]

    async def counts(
        self, collection: str | None = None, lacking: str | None = None
    ) -> dict[str, int]:
        """Return how many embeddings each recipe id has; none: left out."""
        return Counter(
            recipe
            for asset_id, vectors in self._vectors.items()
            for recipe in vectors
            if collection in {None, self._assets[asset_id].collection}
            and lacking not in vectors
        )

    async def save_recipe(self, recipe: Recipe) -> None:
        """Keep the recipe's contents under its id; twice is the same as once."""
        self._recipes.setdefault(recipe.id, recipe)

    async def recipes(self) -> list[Recipe]:
        """Return every recipe kept, as first kept."""
        return list(self._recipes.values())

    async def mark(self, sha256: str) -> bool:
        """Note that bytes may soon have no asset; False: they are being erased."""
        mark = self._marks.get(sha256)
        if mark and mark.is_claimed and not mark.is_older(CLAIM_S):
            return False
        self._marks[sha256] = _Mark(time.monotonic())
        return True

    async def condemn(self, sha256: str) -> None:
        """Mark the bytes, as long ago, unless marked or an asset has them."""
        if not self._is_referenced(sha256):
            self._marks.setdefault(sha256, _Mark(-math.inf))

    async def unreferenced(self, older_s: float = 0) -> list[str]:
        """Return the digests that were marked so long ago and that no asset has."""
        return [
            sha256
            for sha256, mark in self._marks.items()
            if mark.is_older(older_s) and not self._is_referenced(sha256)
        ]

    async def referenced(self, digests: Collection[str]) -> set[str]:
        """Return those of these digests that some asset has."""
        return {each for each in digests if self._is_referenced(each)}

    async def claim(self, sha256: str, older_s: float) -> bool:
        """Claim an old mark; False: there is none, or an asset has the bytes."""
        mark = self._marks.get(sha256)
        if mark is None:
            return False
        if not mark.is_older(min(older_s, CLAIM_S) if mark.is_claimed else older_s):
            return False
        if self._is_referenced(sha256):
            del self._marks[sha256]
            return False
        self._marks[sha256] = _Mark(time.monotonic(), is_claimed=True)
        return True

    async def clear(self, sha256: str) -> None:
        """Take a claimed mark off; else nothing happens."""
        if sha256 in self._marks and self._marks[sha256].is_claimed:
            del self._marks[sha256]

    async def drop(self, recipe: str, keep: str, collection: str | None) -> list[str]:
        """Erase vectors of the recipe where `keep` has one too; return whose."""
        if recipe == keep:
            raise ValueError("the recipe that stays cannot be dropped")
        meant = [
            key
            for key, vectors in self._vectors.items()
            if {recipe, keep} <= vectors.keys()
            and collection in {None, self._assets[key].collection}
        ][:DROP_BATCH]
        for key in meant:
            del self._vectors[key][recipe]
        return meant

    async def size(self) -> int | None:
        """Return None: there is no file."""
        return None

    async def shrink(self) -> bool:
        """Return False: there is nothing to be done."""
        return False

    async def ping(self) -> str:
        """Return the name of the store."""
        return "memory"

    def _has(self, node: Node) -> bool:
        if node.kind == "character":
            return self._characters.has(node.name)
        return node.name in self._assets

    def _require(self, asset_id: str) -> Asset:
        if asset_id not in self._assets:
            raise AssetNotFoundError(f"No asset has the id {asset_id}.")
        return self._assets[asset_id]

    def _read(self, asset_id: str) -> Asset:
        refs = tuple(
            EmbeddingRef(recipe, len(vector))
            for recipe, vector in sorted(self._vectors[asset_id].items())
        )
        return replace(copied(self._assets[asset_id]), embeddings=refs)

    def _is_referenced(self, sha256: str) -> bool:
        return any(asset.sha256 == sha256 for asset in self._assets.values())


class _Mark(NamedTuple):
    since_s: float
    is_claimed: bool = False

    def is_older(self, age_s: float) -> bool:
        return self.since_s <= time.monotonic() - age_s
