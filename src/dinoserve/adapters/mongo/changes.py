"""What any process does to assets, as it happens: `ports.ChangeFeed` in MongoDB."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Mapping
from typing import Any

from pymongo.errors import OperationFailure, PyMongoError

from dinoserve.adapters.cancellation import cancellable
from dinoserve.adapters.mongo.records import asset_of, recipe_of, unpacked
from dinoserve.adapters.mongo.schema import Documents
from dinoserve.errors import UnavailableError
from dinoserve.ports import Change, Space

_log = logging.getLogger(__name__)
_PAUSE_S = 1.0
# One stream of both collections keeps their order. An erasure is told before it is
# done: of what is gone only the id is left to tell. What nobody reads is left out, as
# an event may not be larger than a record.
_TOLD = [
    {
        "$match": {
            "$or": [
                {
                    "ns.coll": {"$in": ["assets", "embeddings"]},
                    "operationType": {"$ne": "delete"},
                },
                {"operationType": {"$in": ["dropDatabase", "invalidate"]}},
            ]
        }
    },
    {
        "$project": {
            "operationType": True,
            "ns.coll": True,
            "documentKey": True,
            "fullDocument.collection": True,
            "fullDocument.vector": True,
            "updateDescription.updatedFields.erased": True,
        }
    },
]


async def changes(database: Documents) -> AsyncGenerator[Change | None]:
    """Yield changes of assets for ever, and None where some may have been missed.

    A stream that breaks off is taken up where it was.

    Raises:
        UnavailableError: at the first only, if the server refuses to tell.
    """
    token: Mapping[str, Any] | None = None
    listened = False
    while True:
        try:
            stream = await database.watch(_TOLD, resume_after=token)
            async with stream:
                if token is None:
                    yield None
                listened = True
                try:
                    # Who iterates gives the driver the time of one answer for all
                    # its asking until something happens.
                    while stream.alive:
                        with cancellable():
                            event = await stream.try_next()
                        if event:
                            yield _change(event)
                finally:
                    token = stream.resume_token
            # The database was dropped.
            token = None
        except PyMongoError as error:
            # Whatever the server itself refuses to go on with, it will refuse again.
            if isinstance(error, OperationFailure) and not error.timeout:
                _require_told(error, listened=listened)
                token = None
            _log.warning("what other servers change is not seen for now: %s", error)
        await asyncio.sleep(_PAUSE_S)


def _require_told(error: OperationFailure, *, listened: bool) -> None:
    if listened:
        return
    raise UnavailableError(
        f"MongoDB refuses to tell of changes (error {error.code}). dinoserve needs"
        " change streams: switch them on, and give its user the role readWrite.",
        port="documents",
    ) from error


def _change(event: Mapping[str, Any]) -> Change | None:
    if "documentKey" not in event:  # a collection or all were dropped or renamed
        return None
    key = event["documentKey"]["_id"]
    updated = event.get("updateDescription", {}).get("updatedFields", {})
    erased = updated.get("erased")
    if event["ns"]["coll"] == "assets":
        return Change(key, erased)
    stored = event.get("fullDocument")
    if stored is None:
        space = Space(erased, recipe_of(key)) if erased else None
        return Change(asset_of(key), space=space)
    space = Space(stored["collection"], recipe_of(key))
    return Change(asset_of(key), space=space, vector=unpacked(stored["vector"]))
