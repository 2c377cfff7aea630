"""Stores in dictionaries: for tests and trials, gone when the process ends."""

import json
import re
from collections import Counter
from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import replace

import numpy as np

from dinoserve.domain.assets import Asset, EmbeddingRef, Filter, matches
from dinoserve.domain.paging import AssetQuery, Cursor, Page
from dinoserve.domain.recipes import Recipe
from dinoserve.domain.vectors import Embedding, Vector
from dinoserve.errors import AssetNotFoundError, InvalidInputError, UnavailableError
from dinoserve.ports import AssetChanges, IndexEntry

_BATCH = 512
_CHUNK_BYTES = 256 * 1024


class MemoryDocuments:
    """`ports.DocumentStore` in dictionaries; see there for what methods do.

    Raises:
        InvalidInputError: text that is not Unicode, in what is stored or looked for.
    """

    def __init__(self) -> None:
        self._assets: dict[str, Asset] = {}
        self._vectors: dict[str, dict[str, Vector]] = {}
        self._recipes: dict[str, Recipe] = {}
        self._marked: set[str] = set()

    async def add(self, asset: Asset, embedding: Embedding | None) -> bool:
        """Store asset and embedding together; return True if the asset is new."""
        is_new = asset.id not in self._assets
        if is_new:
            self._assets[asset.id] = _copy(asset)
            self._vectors[asset.id] = {}
        if embedding is not None:
            await self.put(embedding)
        self._marked.discard(asset.sha256)
        return is_new

    async def get(self, ids: Collection[str]) -> dict[str, Asset]:
        """Return the assets by id, absent ones left out."""
        return {key: self._read(key) for key in ids if key in self._assets}

    async def find(self, query: AssetQuery) -> Page:
        """Return a page, newest first, then by descending id."""
        _check_text(list(query.where.tags), dict(query.where.metadata))
        found = [asset for asset in self._assets.values() if _is_meant(asset, query)]
        found.sort(key=_place, reverse=True)
        page = [self._read(asset.id) for asset in found[: query.limit]]
        is_last = len(found) <= query.limit
        return Page(page, None if is_last else Cursor(page[-1].created_at, page[-1].id))

    async def ids(self, collection: str, where: Filter) -> set[str]:
        """Return the ids of every asset of the collection that matches."""
        _check_text(list(where.tags), dict(where.metadata))
        query = AssetQuery(collection, where)
        return {key for key, asset in self._assets.items() if _is_meant(asset, query)}

    async def update(self, asset_id: str, changes: AssetChanges) -> Asset:
        """Return the asset after the change; absent: AssetNotFoundError."""
        asset = self._require(asset_id)
        subject = asset.subject if changes.subject is None else changes.subject
        self._assets[asset_id] = _copy(
            replace(
                asset,
                tags=asset.tags if changes.tags is None else changes.tags,
                metadata=(
                    asset.metadata if changes.metadata is None else changes.metadata
                ),
                subject=None if changes.clear_subject else subject,
            )
        )
        return self._read(asset_id)

    async def remove(self, asset_id: str) -> Asset:
        """Erase and return the asset; absent: AssetNotFoundError."""
        self._require(asset_id)
        removed = self._read(asset_id)
        del self._assets[asset_id], self._vectors[asset_id]
        if not self._is_referenced(removed.sha256):
            self._marked.add(removed.sha256)
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

    async def mark(self, sha256: str) -> None:
        """Note that bytes of this digest may soon exist without an asset."""
        self._marked.add(sha256)

    async def unreferenced(self) -> list[str]:
        """Return the marked digests that no asset has."""
        return [sha256 for sha256 in self._marked if not self._is_referenced(sha256)]

    async def clear(self, sha256: str) -> None:
        """Take the mark off; absent: nothing happens."""
        self._marked.discard(sha256)

    async def ping(self) -> str:
        """Return the name of the store."""
        return "memory"

    def _require(self, asset_id: str) -> Asset:
        if asset_id not in self._assets:
            raise AssetNotFoundError(f"No asset has the id {asset_id}.")
        return self._assets[asset_id]

    def _read(self, asset_id: str) -> Asset:
        refs = tuple(
            EmbeddingRef(recipe, len(vector))
            for recipe, vector in sorted(self._vectors[asset_id].items())
        )
        return replace(_copy(self._assets[asset_id]), embeddings=refs)

    def _is_referenced(self, sha256: str) -> bool:
        return any(asset.sha256 == sha256 for asset in self._assets.values())


class MemoryObjects:
    """`ports.ObjectStore` in a dictionary; see there for what methods do."""

    def __init__(self) -> None:
        self._objects: dict[str, bytes] = {}

    async def put(self, sha256: str, data: bytes) -> None:
        """Store the bytes; twice is the same as once."""
        if not re.fullmatch(r"[0-9a-f]{64}", sha256):
            raise ValueError("a digest is 64 hex digits")
        self._objects[sha256] = data

    async def size(self, sha256: str) -> int | None:
        """Return the number of bytes. Absent: None."""
        data = self._objects.get(sha256)
        return None if data is None else len(data)

    async def read(self, sha256: str, start: int, stop: int) -> AsyncIterator[bytes]:
        """Yield the bytes [start, stop) in chunks of 256 KiB at most."""
        data = self._objects.get(sha256)
        if data is None or stop > len(data):
            raise UnavailableError("The image's bytes are missing.", port="objects")
        for begin in range(start, stop, _CHUNK_BYTES):
            yield data[begin : min(begin + _CHUNK_BYTES, stop)]

    async def delete(self, sha256: str) -> None:
        """Remove the bytes. Absent: no error."""
        self._objects.pop(sha256, None)

    async def ping(self) -> str:
        """Return the name of the store."""
        return "memory"


def _copy(asset: Asset) -> Asset:
    """Return the asset as JSON would carry it, sharing nothing that can change.

    Raises:
        InvalidInputError: text that is not Unicode.
    """
    metadata = dict(asset.metadata)
    _check_text(asset.tags, metadata, asset.subject, asset.filename)
    metadata = json.loads(json.dumps(metadata))
    return replace(asset, tags=tuple(asset.tags), metadata=metadata, embeddings=())


def _check_text(*values: object) -> None:
    try:
        json.dumps(values, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise InvalidInputError(
            "Text must be Unicode without lone surrogates."
        ) from error


def _is_meant(asset: Asset, query: AssetQuery) -> bool:
    return (
        query.collection in (None, asset.collection)
        and (query.created_from is None or asset.created_at >= query.created_from)
        and (query.created_until is None or asset.created_at < query.created_until)
        and (
            query.after is None
            or _place(asset) < (query.after.created_at, query.after.id)
        )
        and matches(asset, query.where)
    )


def _place(asset: Asset) -> tuple[object, str]:
    return (asset.created_at, asset.id)
