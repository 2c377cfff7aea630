"""Where records, vectors and bytes are kept."""

from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from dinoserve.domain.assets import Asset, Filter, Metadata
from dinoserve.domain.paging import AssetQuery, Page
from dinoserve.domain.recipes import Recipe
from dinoserve.domain.vectors import Embedding, Vector


@dataclass(frozen=True, slots=True)
class AssetChanges:
    """What to change; None leaves a field, `clear_subject` makes the subject None."""

    tags: tuple[str, ...] | None = None
    metadata: Metadata | None = None
    subject: str | None = None
    clear_subject: bool = False


class AssetStore(Protocol):
    """Records of assets, each with the embeddings stored for it."""

    async def add(self, asset: Asset, embedding: Embedding | None) -> bool:
        """Store asset and embedding together; return True if the asset is new.

        An asset that exists keeps its record; the embedding is stored all the same.
        Its bytes are no garbage from then on. `asset.embeddings` is ignored.
        """
        ...

    async def get(self, ids: Collection[str]) -> dict[str, Asset]:
        """Return the assets by id. Absent: left out."""
        ...

    async def find(self, query: AssetQuery) -> Page:
        """Return a page. Order: newest first, then by descending id."""
        ...

    async def ids(self, collection: str, where: Filter) -> set[str]:
        """Return the ids of every asset of the collection that matches."""
        ...

    async def update(self, asset_id: str, changes: AssetChanges) -> Asset:
        """Return the asset after the change.

        Absent: AssetNotFoundError.
        """
        ...

    async def remove(self, asset_id: str) -> Asset:
        """Erase record and embeddings; return what was erased.

        If no other asset has the same bytes, they are marked in `GarbageLog` in the
        same transaction. Absent: AssetNotFoundError.
        """
        ...


class IndexEntry(NamedTuple):
    """One vector on its way into the index."""

    collection: str
    asset_id: str
    vector: Vector


class EmbeddingStore(Protocol):
    """Vectors by asset and recipe, and what the recipes are."""

    async def put(self, embedding: Embedding) -> None:
        """Store or replace. Absent asset: AssetNotFoundError."""
        ...

    async def vectors(self, ids: Collection[str], recipe: str) -> dict[str, Vector]:
        """Return float32 vectors by asset id. Absent: left out."""
        ...

    def scan(self, recipe: str) -> AsyncIterator[Sequence[IndexEntry]]:
        """Yield every vector of the recipe in batches of bounded size.

        Order: none promised. Vectors stored while it runs may be missing.
        """
        ...

    async def counts(
        self, collection: str | None = None, lacking: str | None = None
    ) -> dict[str, int]:
        """Return how many embeddings each recipe id has; none: left out.

        Only of this collection, and of assets that lack an embedding of `lacking`.
        """
        ...

    async def save_recipe(self, recipe: Recipe) -> None:
        """Keep the recipe's contents under its id; twice is the same as once."""
        ...

    async def recipes(self) -> list[Recipe]:
        """Return every recipe kept. Order: as first kept."""
        ...


class GarbageLog(Protocol):
    """Bytes that may belong to no asset, so that a crash leaves none behind.

    Bytes are marked before they are written and when their last asset goes; the
    mark is taken off by `AssetStore.add`, or by `clear` once the bytes are gone.
    """

    async def mark(self, sha256: str) -> None:
        """Note that bytes of this digest may soon exist without an asset."""
        ...

    async def unreferenced(self) -> list[str]:
        """Return the marked digests that no asset has."""
        ...

    async def clear(self, sha256: str) -> None:
        """Take the mark off. Absent: nothing happens."""
        ...

    async def ping(self) -> str:
        """Return name and version of the store; raise UnavailableError."""
        ...


class DocumentStore(AssetStore, EmbeddingStore, GarbageLog, Protocol):
    """The three roles that one database plays."""


class ObjectStore(Protocol):
    """Bytes under their SHA-256."""

    async def put(self, sha256: str, data: bytes) -> None:
        """Store the bytes; durable on return. Twice is the same as once.

        Raises:
            StorageFullError: nothing was stored.
        """
        ...

    async def size(self, sha256: str) -> int | None:
        """Return the number of bytes. Absent: None."""
        ...

    def read(self, sha256: str, start: int, stop: int) -> AsyncIterator[bytes]:
        """Yield the bytes [start, stop) in chunks of bounded size.

        Absent: UnavailableError, because a record said that they exist.
        """
        ...

    async def delete(self, sha256: str) -> None:
        """Remove the bytes and whatever a broken write left. Absent: no error."""
        ...

    async def ping(self) -> str:
        """Return name and version of the store; raise UnavailableError."""
        ...
