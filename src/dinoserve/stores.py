"""From settings to open stores: beside `wiring`, what names their adapters."""

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final, get_args

from dinoserve.adapters.data_folder import claim_folder
from dinoserve.adapters.exact_index import ExactIndex
from dinoserve.adapters.folder_listing import FolderListing
from dinoserve.adapters.mapped_index import Limits, MappedIndex
from dinoserve.adapters.memory import MemoryDocuments, MemoryObjects
from dinoserve.adapters.memory_cache import MemoryCache
from dinoserve.adapters.memory_queue import MemoryQueue
from dinoserve.adapters.mongo import MongoDocuments
from dinoserve.adapters.objects import open_pictures, open_place
from dinoserve.adapters.parquet import ParquetTables
from dinoserve.adapters.redis_cache import RedisCache
from dinoserve.adapters.redis_queue import RedisQueue
from dinoserve.adapters.sqlite import SqliteDocuments
from dinoserve.adapters.valkey_child import find_server, shared_server
from dinoserve.domain.jobs import Patience
from dinoserve.errors import StartUpError
from dinoserve.ports import (
    Area,
    ChangeFeed,
    DocumentStore,
    ImageListing,
    JobQueue,
    ObjectStore,
    Stores,
    Survey,
    TableWriter,
    VectorIndex,
)
from dinoserve.services.caching import CachePolicy, TwoLevels
from dinoserve.settings import Settings
from dinoserve.telemetry import Metrics

_log = logging.getLogger(__name__)

_MEMORY = "memory:"
_EMBEDDED = "embedded"
_QUEUE = "queue"
_INDEX = "index"
_DATABASE = "documents.sqlite"
# An upload holds its mark while it writes one object: a few minutes at most.
_GRACE_S: Final = 3600.0


@asynccontextmanager
async def open_stores(*places: Settings) -> AsyncGenerator[list[Stores]]:
    """Open the stores of each place, with the data folders held meanwhile.

    Raises:
        StartUpError: a folder is in use, a store cannot be opened, or two places have
            the same database.
    """
    databases = {
        (place.documents.get_secret_value(), _folder(place)) for place in places
    }
    if len(databases) < len(places):
        raise StartUpError("Both places have the same database.")
    async with AsyncExitStack() as stack:
        for folder in {place.data.resolve() for place in places if has_folder(place)}:
            stack.enter_context(claim_folder(folder, "alone"))
        yield [
            Stores(await open_documents(place, stack), await open_objects(place))
            for place in places
        ]


async def open_documents(settings: Settings, stack: AsyncExitStack) -> DocumentStore:
    """Return the document store; the stack closes it.

    Raises:
        StartUpError: the database is damaged, newer than this program, or cannot be
            reached.
    """
    if settings.documents.get_secret_value() == _MEMORY:
        return MemoryDocuments()
    if url := mongodb_url(settings):
        return await stack.enter_async_context(MongoDocuments.open(url))
    path = settings.data / _DATABASE
    return await stack.enter_async_context(SqliteDocuments.open(path))


async def survey_documents(settings: Settings) -> Survey:
    """Return what the database is and lacks; it stays as it is.

    Raises:
        StartUpError: as `open_documents`.
    """
    if settings.documents.get_secret_value() == _MEMORY:
        return Survey("memory", [])
    if url := mongodb_url(settings):
        return await MongoDocuments.survey(url)
    return await SqliteDocuments.survey(settings.data / _DATABASE)


async def migrate_documents(settings: Settings) -> None:
    """Bring the database up to date; it may be cut off and run again.

    Raises:
        StartUpError: as `open_documents`; or a server holds the data folder that the
            database lies in.
    """
    async with AsyncExitStack() as stack:
        if not mongodb_url(settings):
            stack.enter_context(claim_folder(settings.data, "alone"))
        await open_documents(settings, stack)


async def open_objects(settings: Settings, area: Area = "originals") -> ObjectStore:
    """Return the object store; there is nothing to close; errors as `open_place`."""
    if settings.objects == _MEMORY:
        return MemoryObjects()
    return await open_place(settings, area)


async def open_areas(settings: Settings) -> dict[Area, ObjectStore]:
    """Return the object store of every area; errors as `open_objects`."""
    areas: tuple[Area, ...] = get_args(Area)
    return {area: await open_objects(settings, area) for area in areas}


async def open_index(
    settings: Settings,
    documents: DocumentStore,
    dimension: int,
    metrics: Metrics,
    files: AsyncExitStack | None,
) -> VectorIndex:
    """Return where vectors of this dimension are searched, ready to be filled.

    Args:
        settings: say where and how.
        documents: where the vectors are kept.
        dimension: numbers in a vector.
        metrics: where is counted.
        files: closes it, where it may have files in the data folder; None: it may not.

    Raises:
        StartUpError: MongoDB's own index is wanted, and cannot be had; or the folder
            of the files cannot be used.
    """
    is_wanted = settings.index == "mongodb"
    if isinstance(documents, MongoDocuments) and settings.index != "memory":
        try:
            return await documents.open_index(dimension, ExactIndex())
        except StartUpError as error:
            if is_wanted:
                raise
            _log.info("vectors are searched in this process: %s", error.detail)
    elif is_wanted:
        raise StartUpError(
            "DINOSERVE_INDEX=mongodb needs the vectors in MongoDB: set"
            " DINOSERVE_DOCUMENTS=mongodb://…, or DINOSERVE_INDEX=memory."
        )
    if files is None or not has_folder(settings):
        return ExactIndex()
    limits = Limits(graph_from=settings.index_graph_from)
    folder = settings.data / _INDEX
    try:
        opened = MappedIndex.open(folder, limits, metrics)
        return await files.enter_async_context(opened)
    except OSError as error:
        raise StartUpError(f"{folder} cannot be used: {error.strerror}.") from error


async def open_cache(
    settings: Settings, metrics: Metrics, stack: AsyncExitStack
) -> TwoLevels | None:
    """Return the cache, None if there shall be none; errors as `RedisCache.open`."""
    shared = None
    if settings.redis:
        opened = RedisCache.open(settings.redis.get_secret_value(), metrics)
        shared = await stack.enter_async_context(opened)
    elif not settings.cache_bytes:
        return None
    policy = CachePolicy(
        ttl_s=settings.cache_ttl_s,
        changing_ttl_s=settings.cache_changing_ttl_s,
        absent_ttl_s=settings.cache_absent_ttl_s,
        local_ttl_s=settings.cache_local_ttl_s,
        max_value_bytes=settings.cache_max_value_bytes,
    )
    local = MemoryCache(settings.cache_bytes, metrics)
    return TwoLevels(local, shared, policy, metrics)


async def open_queue(
    settings: Settings, metrics: Metrics, stack: AsyncExitStack
) -> JobQueue:
    """Return what brings jobs to workers; the stack closes it.

    Raises:
        StartUpError: a Redis that cannot carry it, or the embedded one does not start.
    """
    url = settings.queue.get_secret_value()
    if url == _EMBEDDED:
        url = await _own_server(settings, stack)
    if url == _MEMORY:
        return MemoryQueue(metrics)
    patience = Patience(lease_s=settings.job_lease_s)
    return await stack.enter_async_context(RedisQueue.open(url, metrics, patience))


async def _own_server(settings: Settings, stack: AsyncExitStack) -> str:
    """Return the URL of the data folder's own server; `memory:` where none can be."""
    if not has_folder(settings):
        return _MEMORY
    if binary := await asyncio.to_thread(find_server):
        server = shared_server(settings.data / _QUEUE, binary)
        return await stack.enter_async_context(server)
    _log.warning(
        "there is no valkey-server and no redis-server here: jobs are carried in this"
        " process, and other workers get none. Install one, or set DINOSERVE_QUEUE."
    )
    return _MEMORY


def table_writer() -> TableWriter | None:
    """Return what writes tables. None: the extra that it needs is not installed."""
    return ParquetTables() if ParquetTables.is_installed() else None


def image_listings(settings: Settings) -> tuple[ImageListing, ImageListing | None]:
    """Return the pictures in folders that jobs may take, and those in the bucket.

    Errors as `open_pictures`.
    """
    limit = settings.max_image_bytes
    folders = FolderListing(settings.ingest_folders, limit)
    return folders, open_pictures(settings, limit)


def change_feed(documents: DocumentStore) -> ChangeFeed | None:
    """Return what tells of other processes; None where there can be none."""
    shared = (MongoDocuments, SqliteDocuments)
    return documents if isinstance(documents, shared) else None


def has_folder(settings: Settings) -> bool:
    """Tell whether anything outlasts the process, so that a data folder is needed."""
    return {settings.documents.get_secret_value(), settings.objects} != {_MEMORY}


def is_shared(settings: Settings) -> bool:
    """Tell whether several processes may change these stores at the same time."""
    return bool(mongodb_url(settings)) and settings.objects.startswith("s3:")


def check_kept(settings: Settings) -> None:
    """Pass if there are stores that a server left; nothing is made.

    Raises:
        StartUpError: they are in the memory of a server, or not there yet.
    """
    if _MEMORY in {settings.documents.get_secret_value(), settings.objects}:
        raise StartUpError("What is kept in memory is seen by its server only.")
    needed = [] if mongodb_url(settings) else [_DATABASE]
    needed += ["objects"] if settings.objects == "file:" else []
    for name in needed:
        if not (settings.data / name).exists():
            raise StartUpError(
                f"There is no {name} in {settings.data.absolute()}: start a server"
                " once, restore a backup, or set DINOSERVE_DATA."
            )


def mongodb_url(settings: Settings) -> str | None:
    """Return where MongoDB is, if it is what keeps the documents."""
    url = settings.documents.get_secret_value()
    return url if url.startswith("mongodb") else None


def grace_s(settings: Settings, *, alone: bool = False) -> float:
    """Return the age of a mark from which on its bytes may be erased.

    0 where one process alone has the database; else longer than any upload lasts.

    Args:
        settings: say where the database is.
        alone: this process has claimed the data folder so.
    """
    if settings.documents.get_secret_value() == _MEMORY:
        return 0.0
    return 0.0 if alone and not mongodb_url(settings) else _GRACE_S


def _folder(settings: Settings) -> object:
    # Two databases in memory are never the same.
    if settings.documents.get_secret_value() == _MEMORY:
        return object()
    return None if mongodb_url(settings) else settings.data.resolve()
