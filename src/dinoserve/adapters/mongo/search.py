"""The search index of the vectors, and the questions that it answers.

It needs MongoDB's search process beside the server: Atlas, or `mongot` with MongoDB 8.2
or newer. That process follows the database a moment behind. What it finds is read from
the database again, so scores are of the vectors as they are now, and not its own.
"""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from typing import Any, Final

import numpy as np
from pymongo.errors import OperationFailure
from pymongo.operations import SearchIndexModel
from pymongo.read_concern import ReadConcern

from dinoserve.adapters.mongo.records import (
    Document,
    asset_of,
    embedding_id,
    packed,
    unpacked,
)
from dinoserve.adapters.mongo.schema import Documents
from dinoserve.domain.similarity import Hit, nearest_rows
from dinoserve.domain.vectors import Vector
from dinoserve.errors import StartUpError
from dinoserve.ports import Space

# What `$vectorSearch` takes as `numCandidates` at most, and as `limit` therefore.
MOST_CANDIDATES: Final = 10_000
# What MongoDB's documentation advises as the least for a good recall.
_CANDIDATES_PER_HIT = 20
# IndexAlreadyExists, of the server's error_codes.yml.
_ALREADY_THERE = 68
_MAX_TOLD = 200
# The stage refuses any other; what was acknowledged is on the primary all the same.
_LOCAL = ReadConcern("local")


def index_name(dimension: int) -> str:
    """Return the name of the index over vectors of so many numbers."""
    return f"vectors_{dimension}"


async def find_index(database: Documents, dimension: int) -> Mapping[str, Any] | None:
    """Return what the server tells of the index; None: it has none of this name.

    Raises:
        StartUpError: it has no vector search, or refuses the user.
    """
    try:
        cursor = await database.embeddings.list_search_indexes(index_name(dimension))
        found = await cursor.to_list()
    except OperationFailure as error:
        raise _refusal(error) from error
    return found[0] if found else None


async def create_index(database: Documents, dimension: int) -> None:
    """Ask for the index; the server builds it afterwards.

    Raises:
        StartUpError: as `find_index`.
    """
    name = index_name(dimension)
    model = SearchIndexModel(_definition(dimension), name, "vectorSearch")
    try:
        await database.embeddings.create_search_index(model)
    except OperationFailure as error:
        # Another server of ours starts at the same moment.
        if error.code != _ALREADY_THERE:
            raise _refusal(error) from error


def check_index(found: Mapping[str, Any], dimension: int) -> None:
    """Pass if the index is as `create_index` makes it, whatever the server added.

    Raises:
        StartUpError: it is not; nothing was changed.
    """
    there = found.get("latestDefinition", {}).get("fields", [])
    for wanted in _definition(dimension)["fields"]:
        if not any(wanted.items() <= field.items() for field in there):
            raise StartUpError(
                f"The search index {found['name']} of the collection `embeddings` is"
                f" not as dinoserve makes it: it lacks {wanted}. Drop that search index"
                " and start again, or set DINOSERVE_INDEX=memory."
            )


def _definition(dimension: int) -> Document:
    vector = {
        "type": "vector",
        "path": "vector",
        "numDimensions": dimension,
        "similarity": "cosine",
    }
    filters = [{"type": "filter", "path": path} for path in ("collection", "recipe")]
    return {"fields": [vector, *filters]}


def _refusal(error: OperationFailure) -> StartUpError:
    told = (error.details or {}).get("errmsg", str(error))[:_MAX_TOLD]
    return StartUpError(
        f"MongoDB does not search vectors here (error {error.code}: {told}). It needs"
        " Atlas, or mongot beside MongoDB 8.2 or newer; DINOSERVE_INDEX=memory searches"
        " without it."
    )


async def nearest(
    database: Documents, space: Space, query: Vector, limit: int, *, exact: bool
) -> list[Hit]:
    """Return the `limit` nearest that the index knows of, best first.

    Args:
        database: whose embeddings.
        space: only vectors of this space.
        query: float32 (d,), of the index's dimension.
        limit: 1 to `MOST_CANDIDATES`.
        exact: compare with every vector that is indexed.
    """
    cursor = await _search(database, space, query, limit, exact=exact)
    return await _scored(cursor, query, limit)


async def nearest_ids(
    database: Documents, space: Space, query: Vector, limit: int
) -> list[str]:
    """Return the asset ids of the `limit` nearest, as the index orders them."""
    cursor = await _search(
        database, space, query, limit, exact=False, shown={"_id": True}
    )
    return [asset_of(found["_id"]) async for found in cursor]


async def compare(
    database: Documents, space: Space, query: Vector, ids: Collection[str], k: int
) -> list[Hit]:
    """Return the k best of these assets, every one compared; absent ones left out."""
    keys = [embedding_id(asset_id, space.recipe) for asset_id in ids]
    cursor = database.embeddings.find(
        {"_id": {"$in": keys}, "collection": space.collection}, {"vector": True}
    )
    return await _scored(cursor, query, k)


async def count(database: Documents, space: Space) -> int:
    """Return how many vectors of the space are stored."""
    return await database.embeddings.count_documents(
        {"recipe": space.recipe, "collection": space.collection}
    )


async def _search(
    database: Documents,
    space: Space,
    query: Vector,
    limit: int,
    *,
    exact: bool,
    shown: Mapping[str, Any] | None = None,
) -> AsyncIterator[Document]:
    stage: Document = {
        "index": index_name(len(query)),
        "path": "vector",
        "queryVector": packed(query),
        "filter": {
            "$and": [
                {"collection": {"$eq": space.collection}},
                {"recipe": {"$eq": space.recipe}},
            ]
        },
        "limit": limit,
    }
    candidates = min(_CANDIDATES_PER_HIT * limit, MOST_CANDIDATES)
    stage |= {"exact": True} if exact else {"numCandidates": candidates}
    embeddings = database.embeddings.with_options(read_concern=_LOCAL)
    return await embeddings.aggregate(
        [{"$vectorSearch": stage}, {"$project": shown or {"vector": True}}]
    )


async def _scored(
    found: AsyncIterator[Mapping[str, Any]], query: Vector, k: int
) -> list[Hit]:
    rows = [(asset_of(one["_id"]), unpacked(one["vector"])) async for one in found]
    return await asyncio.to_thread(_best, rows, query, k)


def _best(rows: Sequence[tuple[str, Vector]], query: Vector, k: int) -> list[Hit]:
    matrix = np.array([row for _, row in rows], np.float32).reshape(-1, len(query))
    return nearest_rows([asset_id for asset_id, _ in rows], matrix, query, k)
