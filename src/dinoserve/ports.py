"""The seams of the service: what it needs from stores, engine and network.

A port is a role; an adapter in `adapters/` or `engine/` plays it. Every adapter of
a port passes the same contract suite in `tests/contracts`. Driver types and driver
errors never cross a port: adapters raise `UnavailableError` or `StorageFullError`
where their technology fails, `InvalidInputError` for text that is not Unicode. All
methods may be called concurrently from one event loop and never block it. Vectors
handed out are read-only. An acknowledgement means durable.
"""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from dinoserve.domain.assets import Asset, Filter, ImageInfo, Metadata
from dinoserve.domain.paging import AssetQuery, Page
from dinoserve.domain.recipes import Recipe
from dinoserve.domain.similarity import Hit
from dinoserve.domain.vectors import Embedding, Matrix, Vector


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

    async def counts(self) -> dict[str, int]:
        """Return how many embeddings each recipe id has."""
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


class Space(NamedTuple):
    """Where vectors may meet: one collection, one recipe."""

    collection: str
    recipe: str


class VectorIndex(Protocol):
    """Nearest vectors; a cache of the document store, never the truth."""

    async def upsert(self, space: Space, ids: Sequence[str], vectors: Matrix) -> None:
        """Add or replace rows: float32 (len(ids), d), unit length.

        The next search sees them.
        """
        ...

    async def delete(self, space: Space, ids: Collection[str]) -> None:
        """Remove rows. Absent: nothing happens. The next search misses them."""
        ...

    async def search(
        self, space: Space, query: Vector, k: int, among: Collection[str] | None
    ) -> list[Hit]:
        """Return the k greatest cosines, best first, ties by asset id.

        Args:
            space: only vectors of this space.
            query: float32 (d,), unit length.
            k: at least 1.
            among: only these asset ids; None means all.
        """
        ...

    async def count(self, space: Space) -> int:
        """Return how many vectors the space holds. Absent: 0."""
        ...


@dataclass(frozen=True, slots=True)
class Embedded:
    """What the engine made of one image.

    Attributes:
        vector: float32 (dimension,), unit length.
        image: what decoding told.
        tokens: tokens the model computed for it.
    """

    vector: Vector
    image: ImageInfo
    tokens: int


@dataclass(frozen=True, slots=True)
class ModelCard:
    """What is loaded and how.

    Attributes:
        kind: `dinov3_vit`, `dinov3_convnext` or `stub`.
        engine: `torch`, `openvino` or `stub`.
        note: what an operator must know about these weights; empty if nothing.
        licence: the licence the weights come under, as far as known.
    """

    recipe: Recipe
    kind: str
    engine: str
    device: str
    precision: str
    parameters: int
    note: str
    licence: str
    details: Mapping[str, object] = field(default_factory=dict[str, object])


class EngineLoad(NamedTuple):
    """How busy the engine is: images admitted, and how many it would admit."""

    waiting: int
    capacity: int


class Embedder(Protocol):
    """From encoded bytes to vectors."""

    @property
    def card(self) -> ModelCard:
        """Return what is loaded."""
        ...

    async def embed(self, images: Sequence[bytes]) -> list[Embedded]:
        """Return one result per image, in order.

        Raises:
            InvalidInputError: an image cannot be used; `field` is `images[i]`.
            OverloadedError: at once, when too many images wait.
            UnavailableError: the model failed on these images.
        """
        ...

    async def inspect(self, image: bytes) -> ImageInfo:
        """Decode fully, without the model; same errors as `embed`."""
        ...

    async def check(self) -> None:
        """Pass if the last forward worked or a real one works now.

        Raises:
            UnavailableError: the model does not compute.
        """
        ...

    def load(self) -> EngineLoad:
        """Return how busy the engine is now."""
        ...


class ImageFetcher(Protocol):
    """Bytes behind a URL."""

    async def fetch(self, url: str) -> bytes:
        """Return the body, within size and time.

        Raises:
            FetchDisabledError, FetchRefusedError: not here, or not there.
            FetchFailedError: no answer of status 200 in time and size.
            OverloadedError: no slot became free in time.
        """
        ...
