"""Requests that the driver sends, in the form in which we want them sent."""

from collections.abc import Awaitable, Mapping, Sequence
from typing import Any, Final

import orjson
from arangoasync.exceptions import ArangoServerError
from arangoasync.serialization import Deserializer, Serializer
from arangoasync.typings import CollectionType

from dinoserve.adapters.arango.failures import DUPLICATE, unavailable
from dinoserve.adapters.arango.queries import GRAPH, NODES, RELATIONS, STATE

BATCH: Final = 2000
"""Rows of an answer, or documents of a request, at most."""

_QUERY_S: Final = 25.0
_CURSOR_TTL_S: Final = 60

Row = Any


class Writing(Serializer[Any]):
    """JSON by orjson, because bodies are large and the event loop waits."""

    def dumps(self, data: Any) -> str:
        """Return the JSON."""
        return orjson.dumps(data).decode()


class Reading(Deserializer[Any, Any]):
    """As `Writing`."""

    def loads(self, data: bytes) -> Any:
        """Return what the JSON has."""
        return orjson.loads(data)

    def loads_many(self, data: bytes) -> Any:
        """Return what the JSON has."""
        return orjson.loads(data)


async def execute(
    db: Any, query: str, bound: Mapping[str, Any], *, stream: bool = False
) -> Any:
    """Return the driver's cursor over what a query gives.

    Args:
        db: the driver's database or transaction.
        query: one of `queries`.
        bound: its bind variables.
        stream: compute rows only as they are fetched.
    """
    return await db.aql.execute(
        query,
        bind_vars=dict(bound),
        batch_size=BATCH,
        ttl=_CURSOR_TTL_S,
        options={"maxRuntime": _QUERY_S, "stream": stream},
    )


async def all_rows(db: Any, query: str, bound: Mapping[str, Any]) -> list[Row]:
    """Return all that a query gives."""
    async with await execute(db, query, bound) as cursor:
        return [row async for row in cursor]


async def insert(
    db: Any, collection: str, documents: Sequence[Mapping[str, Any]]
) -> None:
    """Insert documents, or replace those of the same key.

    Raises:
        UnavailableError: one of them was refused, which the driver itself lets pass.
    """
    for start in range(0, len(documents), BATCH):
        some = list(documents[start : start + BATCH])
        items = await db.collection(collection).insert_many(
            some, overwrite_mode="replace", silent=False
        )
        _check_items(items, len(some))


async def make_database(system: Any, name: str) -> None:
    """Make a database; one that is there stays.

    Args:
        system: the driver's database `_system`.
        name: of the new one.
    """
    await _unless_there(system.create_database(name))


async def make_collections(db: Any) -> None:
    """Make collections, graph and index; what is there stays."""
    for name in (NODES, STATE):
        if not await db.has_collection(name):
            await _unless_there(db.create_collection(name))
    if not await db.has_collection(RELATIONS):
        edge = CollectionType.EDGE
        await _unless_there(db.create_collection(RELATIONS, col_type=edge))
    if not await db.has_graph(GRAPH):
        ends = {"collection": RELATIONS, "from": [NODES], "to": [NODES]}
        await _unless_there(db.create_graph(GRAPH, edge_definitions=[ends]))
    await db.collection(RELATIONS).add_index(
        type="persistent", fields=["collection", "kind"]
    )


async def _unless_there(making: Awaitable[Any]) -> None:
    """Wait for it; another process may have been first."""
    try:
        await making
    except ArangoServerError as error:
        if error.error_code not in DUPLICATE:
            raise


def _check_items(items: Sequence[Mapping[str, Any]], count: int) -> None:
    refused = [item for item in items if "_key" not in item]
    if refused:
        first = f"{refused[0].get('errorNum')}: {refused[0].get('errorMessage')}"
        raise unavailable(
            f"It refused {len(refused)} of {count} documents, the first with {first}."
        )
    if len(items) != count:
        raise TypeError(f"{count} documents were answered with {len(items)}")
