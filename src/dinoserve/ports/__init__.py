"""The seams of the service: what it needs from stores, engine and network.

A port is a role; an adapter in `adapters/` or `engine/` plays it. Every adapter of
a port passes the same contract suite in `tests/contracts`. Driver types and driver
errors never cross a port: adapters raise `UnavailableError` or `StorageFullError`
where their technology fails, `InvalidInputError` for text that is not Unicode. All
methods may be called concurrently from one event loop and never block it. Vectors
handed out are read-only. An acknowledgement means durable.
"""

from dinoserve.ports.cache import Cache, Entry, Kind, LocalCache, Seen, Slot
from dinoserve.ports.calibrations import (
    CalibrationPage,
    CalibrationQuery,
    CalibrationStore,
)
from dinoserve.ports.characters import (
    CharacterEdit,
    CharacterPage,
    CharacterQuery,
    CharacterStore,
    CheckPage,
    CheckQuery,
)
from dinoserve.ports.clustering import Clustering
from dinoserve.ports.engine import (
    BytesOnDisk,
    Embedded,
    Embedder,
    EngineLoad,
    Features,
    ImageBytes,
    ModelCard,
)
from dinoserve.ports.index import Nearest, SearchPath, Space, VectorIndex
from dinoserve.ports.jobs import (
    ChunkQuery,
    Edit,
    Handler,
    JobCursor,
    JobQuery,
    JobQueue,
    JobStore,
    JobUpkeep,
    Waiting,
)
from dinoserve.ports.knowledge import Knowledge
from dinoserve.ports.listing import ImageListing
from dinoserve.ports.network import ImageFetcher
from dinoserve.ports.objects import (
    Area,
    Contents,
    ObjectBytes,
    ObjectStore,
    SignedMethod,
    StoredObject,
)
from dinoserve.ports.pixels import Picture, PixelReader
from dinoserve.ports.relations import (
    Mark,
    RelationCopy,
    RelationLog,
    RelationSink,
    RelationStore,
)
from dinoserve.ports.rendering import EncodedImage, Painted, Redrawer, Renderer
from dinoserve.ports.reviews import ReviewStore
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
from dinoserve.ports.tables import TableWriter
from dinoserve.ports.traits import Trait, TraitStore
from dinoserve.ports.upkeep import DROP_BATCH, Upkeep

__all__ = [
    "CLAIM_S",
    "DROP_BATCH",
    "Area",
    "AssetChanges",
    "AssetStore",
    "BytesOnDisk",
    "Cache",
    "CalibrationPage",
    "CalibrationQuery",
    "CalibrationStore",
    "Change",
    "ChangeFeed",
    "CharacterEdit",
    "CharacterPage",
    "CharacterQuery",
    "CharacterStore",
    "CheckPage",
    "CheckQuery",
    "ChunkQuery",
    "Clustering",
    "Contents",
    "DocumentStore",
    "Edit",
    "Embedded",
    "Embedder",
    "EmbeddingStore",
    "EncodedImage",
    "EngineLoad",
    "Entry",
    "Features",
    "GarbageLog",
    "Handler",
    "ImageBytes",
    "ImageFetcher",
    "ImageListing",
    "IndexEntry",
    "JobCursor",
    "JobQuery",
    "JobQueue",
    "JobStore",
    "JobUpkeep",
    "Kind",
    "Knowledge",
    "LocalCache",
    "Mark",
    "ModelCard",
    "Nearest",
    "ObjectBytes",
    "ObjectStore",
    "Painted",
    "Picture",
    "PixelReader",
    "Reachable",
    "Redrawer",
    "RelationCopy",
    "RelationLog",
    "RelationSink",
    "RelationStore",
    "Renderer",
    "ReviewStore",
    "SearchPath",
    "Seen",
    "SignedMethod",
    "Slot",
    "Space",
    "StoredObject",
    "Stores",
    "Survey",
    "TableWriter",
    "Trait",
    "TraitStore",
    "Upkeep",
    "VectorIndex",
    "Waiting",
]
