"""From settings to open stores: beside `wiring`, what names their adapters."""

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

from dinoserve.adapters.data_folder import claim_folder
from dinoserve.adapters.memory import MemoryDocuments, MemoryObjects
from dinoserve.adapters.mongo import MongoDocuments
from dinoserve.adapters.objects import open_place
from dinoserve.adapters.sqlite import SqliteDocuments
from dinoserve.errors import StartUpError
from dinoserve.ports import Area, ChangeFeed, DocumentStore, ObjectStore, Stores, Survey
from dinoserve.settings import Settings

_MEMORY = "memory:"
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
            stack.enter_context(claim_folder(folder))
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
            stack.enter_context(claim_folder(settings.data))
        await open_documents(settings, stack)


async def open_objects(settings: Settings, area: Area = "originals") -> ObjectStore:
    """Return the object store; there is nothing to close; errors as `open_place`."""
    if settings.objects == _MEMORY:
        return MemoryObjects()
    return await open_place(settings, area)


def change_feed(documents: DocumentStore) -> ChangeFeed | None:
    """Return what tells of other processes; None where there can be none."""
    return documents if isinstance(documents, MongoDocuments) else None


def has_folder(settings: Settings) -> bool:
    """Tell whether anything outlasts the process, so that a data folder is needed."""
    return {settings.documents.get_secret_value(), settings.objects} != {_MEMORY}


def mongodb_url(settings: Settings) -> str | None:
    """Return where MongoDB is, if it is what keeps the documents."""
    url = settings.documents.get_secret_value()
    return url if url.startswith("mongodb") else None


def grace_s(settings: Settings) -> float:
    """Return the age of a mark from which on its bytes may be erased.

    0 where one process alone has the database; else longer than any upload lasts.
    """
    return _GRACE_S if mongodb_url(settings) else 0.0


def _folder(settings: Settings) -> object:
    # Two databases in memory are never the same.
    if settings.documents.get_secret_value() == _MEMORY:
        return object()
    return None if mongodb_url(settings) else settings.data.resolve()
