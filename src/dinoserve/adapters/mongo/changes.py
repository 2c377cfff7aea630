"""What any process does to vectors, as it happens: `ports.ChangeFeed` in MongoDB."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Mapping
from typing import Any

from pymongo.errors import OperationFailure, PyMongoError

from dinoserve.adapters.mongo.records import asset_of, recipe_of, unpacked
from dinoserve.adapters.mongo.schema import Documents
from dinoserve.ports import Change

_log = logging.getLogger(__name__)
_PAUSE_S = 1.0
# An erasure is told before it is done: of what is gone only the id is left to tell.
_TOLD = [{"$match": {"operationType": {"$in": ["insert", "replace", "update"]}}}]


async def changes(database: Documents) -> AsyncGenerator[Change | None]:
    """Yield changes of vectors for ever, and None where some may have been missed.

    A stream that breaks off is taken up where it was.
    """
    token: Mapping[str, Any] | None = None
    while True:
        try:
            stream = await database.embeddings.watch(_TOLD, resume_after=token)
            async with stream:
                if token is None:
                    yield None
                async for event in stream:
                    token = event["_id"]
                    if change := _change(event):
                        yield change
            # The collection was dropped or renamed.
            token = None
        except PyMongoError as error:
            _log.warning("what other servers change is not seen for now: %s", error)
            # Whatever the server itself refuses to go on with, it will refuse again.
            if isinstance(error, OperationFailure):
                token = None
        await asyncio.sleep(_PAUSE_S)


def _change(event: Mapping[str, Any]) -> Change | None:
    key = event["documentKey"]["_id"]
    place = asset_of(key), recipe_of(key)
    if event["operationType"] == "update":
        erased = event["updateDescription"]["updatedFields"].get("erased")
        return Change(erased, *place, None) if erased else None
    document = event["fullDocument"]
    return Change(document["collection"], *place, unpacked(document["vector"]))
