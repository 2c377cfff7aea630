"""Every vector of a recipe, read in one go that outlives its cursor."""

import logging
from collections.abc import AsyncGenerator, Sequence
from typing import Final

from pymongo.asynchronous.cursor import AsyncCursor

from dinoserve.adapters.mongo.database import Database
from dinoserve.adapters.mongo.records import Document, asset_of, embedding_id, unpacked
from dinoserve.adapters.mongo.schema import BY_RECIPE, Documents
from dinoserve.errors import UnavailableError
from dinoserve.ports import IndexEntry

_log = logging.getLogger(__name__)

# 8 MiB a batch of the widest DINOv3 vectors (4096 numbers).
BATCH: Final = 512
# So often in a row nothing comes, each time within what one call may take.
_FAILURES: Final = 3


async def scan(database: Database, recipe: str) -> AsyncGenerator[Sequence[IndexEntry]]:
    """Yield every vector of the recipe, `BATCH` at a time.

    A vector that is replaced meanwhile keeps its place. A cursor that dies, with the
    server or by its age, is followed by one that begins where it came to.

    Raises:
        UnavailableError: nothing came `_FAILURES` times in a row; or a cursor died
            that had not kept the order of ids, as those of shards together may not.
    """
    after: str | None = ""
    failures = 0
    while True:
        cursor = await database.run(_cursor, recipe, after or "")
        try:
            while entries := await database.run(_batch, cursor):
                after, failures = _place(after, entries), 0
                yield entries
        except UnavailableError:
            failures += 1
            if after is None or failures == _FAILURES:
                raise
            _log.warning("reading vectors broke off; going on after %r", after)
        else:
            return
        finally:
            await database.run(_end, cursor)


async def _cursor(
    database: Documents, recipe: str, after: str
) -> AsyncCursor[Document]:
    """Return a cursor over what comes after this asset id; nothing is read yet."""
    meant: Document = {"recipe": recipe}
    if after:
        meant["_id"] = {"$gt": embedding_id(after, recipe)}
    # The index gives them by their ids. Asked to sort, the test server would first
    # read and sort them all.
    return database.embeddings.find(meant).hint(BY_RECIPE).batch_size(BATCH)


async def _batch(_: Documents, cursor: AsyncCursor[Document]) -> list[IndexEntry]:
    return [
        IndexEntry(one["collection"], asset_of(one["_id"]), unpacked(one["vector"]))
        for one in await cursor.to_list(BATCH)
    ]


def _place(after: str | None, entries: Sequence[IndexEntry]) -> str | None:
    """Return the asset id to go on after; None: the order of ids was not kept."""
    if after is None:
        return None
    ids = [after, *(entry.asset_id for entry in entries)]
    return ids[-1] if ids == sorted(ids) else None


async def _end(_: Documents, cursor: AsyncCursor[Document]) -> None:
    """Let the server forget the cursor, however far it came."""
    await cursor.close()
