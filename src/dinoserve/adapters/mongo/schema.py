"""The collections: what their documents must hold, their indexes, and migrations."""

import json
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, NamedTuple, TypeAlias

from pymongo import ASCENDING, DESCENDING, IndexModel
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import OperationFailure

from dinoserve.adapters.mongo.character_layout import CHARACTERS
from dinoserve.adapters.mongo.job_layout import JOBS
from dinoserve.adapters.mongo.layout import Layout
from dinoserve.adapters.mongo.records import searched
from dinoserve.adapters.mongo.relation_layout import RELATIONS
from dinoserve.errors import StartUpError

Documents: TypeAlias = AsyncDatabase[dict[str, Any]]
Migration: TypeAlias = Callable[[Documents], Awaitable[None]]

# Of the server's error_codes.yml.
_NAMESPACE_EXISTS = 48
_INDEX_CONFLICTS = {85, 86}

BY_RECIPE: Final = "by_recipe_and_id"
GUARDS: Final = 64
"""How many documents `relation_guards` has."""

_TEXT = {"bsonType": "string"}
_TEXT_OR_NULL = {"bsonType": ["string", "null"]}
_TEXTS = {"bsonType": "array", "items": _TEXT}
_INTEGER = {"bsonType": ["int", "long"]}
_INTEGER_OR_NULL = {"bsonType": ["int", "long", "null"]}


COLLECTIONS: Mapping[str, Layout] = {
    "assets": Layout(
        # created_at: microseconds since 1970 UTC. metadata: JSON. terms: see terms.py.
        {
            "_id": _TEXT,
            "collection": _TEXT,
            "sha256": _TEXT,
            "filename": _TEXT_OR_NULL,
            "media_type": _TEXT,
            "width": _INTEGER,
            "height": _INTEGER,
            "size_bytes": _INTEGER,
            "created_at": _INTEGER,
            "tags": _TEXTS,
            "metadata": _TEXT,
            "terms": _TEXTS,
            "subject": _TEXT_OR_NULL,
            "embeddings": {
                "bsonType": "array",
                "items": {
                    "bsonType": "object",
                    "required": ["dimension", "recipe"],
                    "properties": {"dimension": _INTEGER, "recipe": _TEXT},
                },
            },
        },
        (
            IndexModel([("created_at", -1), ("_id", -1)], name="by_time"),
            IndexModel(
                [("collection", 1), ("created_at", -1), ("_id", -1)],
                name="by_collection",
            ),
            IndexModel(
                [("terms", 1), ("collection", 1), ("created_at", -1), ("_id", -1)],
                name="by_term",
            ),
            IndexModel([("sha256", ASCENDING)], name="by_bytes"),
        ),
    ),
    "embeddings": Layout(
        # _id: asset/recipe. vector: a BSON binary vector of float32.
        {
            "_id": _TEXT,
            "recipe": _TEXT,
            "collection": _TEXT,
            "vector": {"bsonType": "binData"},
        },
        (IndexModel([("recipe", ASCENDING), ("_id", ASCENDING)], name=BY_RECIPE),),
    ),
    "traits": Layout(
        # _id: asset/method. contents: JSON.
        dict.fromkeys(("_id", "asset_id", "collection", "contents", "method"), _TEXT),
        (
            IndexModel([("asset_id", ASCENDING)], name="by_asset"),
            IndexModel(
                [("collection", 1), ("method", 1), ("asset_id", 1)],
                name="by_collection",
            ),
        ),
    ),
    **CHARACTERS,
    **RELATIONS,
    "recipes": Layout(
        {"_id": _TEXT, "position": _INTEGER, "contents": {"bsonType": "object"}},
        (IndexModel([("position", ASCENDING)], name="by_position", unique=True),),
    ),
    "garbage": Layout(
        {"_id": _TEXT, "since": {"bsonType": "date"}, "claimed": {"bsonType": "bool"}}
    ),
    **JOBS,
    "migrations": Layout(
        {"_id": _INTEGER, "name": _TEXT, "applied_at": {"bsonType": "date"}}
    ),
}


async def version(database: Documents) -> int:
    """Return how many migrations the database has seen."""
    last = await database.migrations.find_one(sort=[("_id", DESCENDING)])
    return int(last["_id"]) if last else 0


class Step(NamedTuple):
    """Something that a start does to the database, told and ready to be done."""

    told: str
    do: Callable[[], Awaitable[object]]


async def migrate(database: Documents) -> None:
    """Run the migrations that the database lacks, then see that its layout is whole.

    Each may be run again: one that was cut off is taken up at the next start.

    Raises:
        StartUpError: the database is newer than this code (it is left untouched), or
            has an index of ours with other keys.
    """
    for step in await migrations(database):
        await step.do()
    # An index that somebody dropped comes back.
    await lay_out(database)


async def migrations(database: Documents) -> list[Step]:
    """Return the migrations that the database lacks, in order.

    Raises:
        StartUpError: it is newer than this code.
    """
    seen = await version(database)
    if seen > len(MIGRATIONS):
        raise StartUpError(
            f"The database {database.name} was written by a newer dinoserve: its schema"
            f" is {seen}, this one knows {len(MIGRATIONS)}. Start the newer version."
        )
    return [
        Step(
            f"migration {number}, {migration.__name__}",
            partial(_run, database, number, migration),
        )
        for number, migration in enumerate(MIGRATIONS[seen:], seen + 1)
    ]


async def lay_out(database: Documents) -> None:
    """Create the collections and indexes that are missing; drop none."""
    for step in await differences(database):
        await step.do()


async def differences(database: Documents) -> list[Step]:
    """Return what makes the layout whole, in order.

    Raises:
        StartUpError: an index of ours has other keys.
    """
    cursor = await database.list_collections()
    options = {found["name"]: found.get("options", {}) async for found in cursor}
    steps: list[Step] = []
    for name, layout in COLLECTIONS.items():
        if name not in options:
            steps.append(Step(f"make {name}", partial(_create, database, name, layout)))
        elif options[name].get("validator") != layout.validator:
            rule = partial(database.command, "collMod", name)
            steps.append(
                Step(
                    f"change the rule of {name}",
                    partial(rule, validator=layout.validator),
                )
            )
        steps += await _missing(database, name)
    return steps


async def _missing(database: Documents, name: str) -> list[Step]:
    there = await database[name].index_information()
    steps: list[Step] = []
    for index in COLLECTIONS[name].indexes:
        own = index.document["name"]
        if own not in there:
            make = partial(_create_index, database, name, index)
            steps.append(Step(f"make the index {own} of {name}", make))
        elif there[own]["key"] != list(index.document["key"].items()):
            raise _conflict(database, name, own)
    return steps


async def _create(database: Documents, name: str, layout: Layout) -> None:
    try:
        await database.command("create", name, validator=layout.validator)
    except OperationFailure as error:
        # Another server of ours starts at the same moment.
        if error.code != _NAMESPACE_EXISTS:
            raise


async def _create_index(database: Documents, name: str, index: IndexModel) -> None:
    try:
        await database[name].create_indexes([index])
    except OperationFailure as error:
        # The same keys under another name.
        if error.code not in _INDEX_CONFLICTS:
            raise
        raise _conflict(database, name, error.details) from error


def _conflict(database: Documents, name: str, what: object) -> StartUpError:
    return StartUpError(
        f"The collection {database.name}.{name} has an index that is not as dinoserve"
        f" makes it. Drop that index and start again: {what}"
    )


async def _run(database: Documents, number: int, migration: Migration) -> None:
    await migration(database)
    done = {"name": migration.__name__, "applied_at": datetime.now(UTC)}
    await database.migrations.update_one(
        {"_id": number}, {"$setOnInsert": done}, upsert=True
    )


async def add_number_terms(database: Documents) -> None:
    """Give assets the terms that ranges look up."""
    cursor = database.assets.find({}, {"tags": True, "metadata": True})
    async for found in cursor:
        fields = searched(tuple(found["tags"]), json.loads(found["metadata"]))
        # One that was changed meanwhile got them by that.
        await database.assets.update_one(found, {"$set": {"terms": fields["terms"]}})


async def add_job_covers(database: Documents) -> None:
    """Let jobs that were there cover everything, if they made something."""
    made = {"covers": {"$exists": False}, "has_finish": True}
    kept = {"kind": {"$nin": ["compact", "reembed"]}, "state": {"$ne": "cancelled"}}
    await database.jobs.update_many(made | kept, {"$set": {"covers": [""]}})
    await database.jobs.update_many(
        {
            "has_leftovers": {"$exists": False},
            "has_finish": True,
            "state": {"$in": ["succeeded", "failed", "cancelled"]},
        },
        {"$set": {"has_leftovers": True}},
    )


async def add_relation_guards(database: Documents) -> None:
    """Make what transactions that mark relations, and followers, meet at."""
    for number in range(GUARDS):
        await database.relation_guards.update_one(
            {"_id": number}, {"$setOnInsert": {"writes": 0}}, upsert=True
        )


# Never edit one that was released: append another. Each may be run twice.
MIGRATIONS: tuple[Migration, ...] = (
    lay_out,
    add_number_terms,
    add_job_covers,
    add_relation_guards,
)
