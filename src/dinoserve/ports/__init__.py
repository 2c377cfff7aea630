"""The seams of the service: what it needs from stores, engine and network.

A port is a role; an adapter in `adapters/` or `engine/` plays it. Every adapter of
a port passes the same contract suite in `tests/contracts`. Driver types and driver
errors never cross a port: adapters raise `UnavailableError` or `StorageFullError`
where their technology fails, `InvalidInputError` for text that is not Unicode. All
methods may be called concurrently from one event loop and never block it. Vectors
handed out are read-only. An acknowledgement means durable.
"""

from dinoserve.ports.cache import Cache, Entry, Kind, Seen, Slot
from dinoserve.ports.engine import Embedded, Embedder, EngineLoad, Features, ModelCard
from dinoserve.ports.index import Space, VectorIndex
from dinoserve.ports.network import ImageFetcher
from dinoserve.ports.objects import (
    Area,
    Contents,
    ObjectBytes,
    ObjectStore,
    SignedMethod,
    StoredObject,
)
from dinoserve.ports.rendering import Renderer
from dinoserve.ports.stores import (
    CLAIM_S,
    AssetChanges,
    AssetStore,
    Change,
    ChangeFeed,
    DocumentStore,
    EmbeddingStore,
    GarbageLog,
    IndexEntry,
    Reachable,
    Stores,
    Survey,
)

__all__ = [
    "CLAIM_S",
    "Area",
    "AssetChanges",
    "AssetStore",
    "Cache",
    "Change",
    "ChangeFeed",
    "Contents",
    "DocumentStore",
    "Embedded",
    "Embedder",
    "EmbeddingStore",
    "EngineLoad",
    "Entry",
    "Features",
    "GarbageLog",
    "ImageFetcher",
    "IndexEntry",
    "Kind",
    "ModelCard",
    "ObjectBytes",
    "ObjectStore",
    "Reachable",
    "Renderer",
    "Seen",
    "SignedMethod",
    "Slot",
    "Space",
    "StoredObject",
    "Stores",
    "Survey",
    "VectorIndex",
]
