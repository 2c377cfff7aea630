"""The seams of the service: what it needs from stores, engine and network.

A port is a role; an adapter in `adapters/` or `engine/` plays it. Every adapter of
a port passes the same contract suite in `tests/contracts`. Driver types and driver
errors never cross a port: adapters raise `UnavailableError` or `StorageFullError`
where their technology fails, `InvalidInputError` for text that is not Unicode. All
methods may be called concurrently from one event loop and never block it. Vectors
handed out are read-only. An acknowledgement means durable.
"""

from dinoserve.ports.engine import Embedded, Embedder, EngineLoad, ModelCard
from dinoserve.ports.index import Space, VectorIndex
from dinoserve.ports.network import ImageFetcher
from dinoserve.ports.stores import (
    AssetChanges,
    AssetStore,
    DocumentStore,
    EmbeddingStore,
    GarbageLog,
    IndexEntry,
    ObjectStore,
)

__all__ = [
    "AssetChanges",
    "AssetStore",
    "DocumentStore",
    "Embedded",
    "Embedder",
    "EmbeddingStore",
    "EngineLoad",
    "GarbageLog",
    "ImageFetcher",
    "IndexEntry",
    "ModelCard",
    "ObjectStore",
    "Space",
    "VectorIndex",
]
