"""One database of ArangoDB: where it is, what is made in it, how it is asked."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any, Final, Self, TypeVar

from aiohttp import ClientTimeout
from arangoasync import ArangoClient
from arangoasync.exceptions import ArangoServerError
from arangoasync.http import AioHTTPClient

from dinoserve.adapters.arango.address import Address
from dinoserve.adapters.arango.failures import GONE, NO_DATABASE, is_stale, translate
from dinoserve.adapters.arango.queries import NODES, RELATIONS
from dinoserve.adapters.arango.requests import (
    Reading,
    Writing,
    all_rows,
    execute,
    make_collections,
    make_database,
)

READ_TIMEOUT_S: Final = 5.0
"""How long one read may take; then the walk goes elsewhere."""

_TIMEOUT = ClientTimeout(total=30, connect=5, sock_connect=5)
_LEEWAY_S: Final = 30
_ABORT_TIMEOUT_S: Final = 2.0

T = TypeVar("T")
Row = Any


class ArangoDatabase:
    """Asks a database, which is made ready when it first answers.

    Args:
        client: to the server.
        address: of the database.

    Raises:
        UnavailableError: the server does not answer, or not as asked.
    """

    def __init__(self, client: ArangoClient, address: Address) -> None:
        self._client: Any = client
        self.address = address
        self._db: Any = None
        self._making = asyncio.Lock()

    @classmethod
    @asynccontextmanager
    async def open(cls, address: Address) -> AsyncGenerator[Self]:
        """Yield the database; nothing is asked yet."""
        client = ArangoClient(
            address.host,
            http_client=AioHTTPClient(timeout=_TIMEOUT),
            serializer=Writing(),
            deserializer=Reading(),
        )
        try:
            yield cls(client, address)
        finally:
            await client.close()

    async def ask(self, work: Callable[[Any], Awaitable[T]]) -> T:
        """Return what the work gives; it may be begun twice.

        Args:
            work: with a `StandardDatabase` of the driver, whose errors it lets pass.
        """
        with translate():
            db = await self._made()
            try:
                return await self._authorised(db, work)
            except ArangoServerError as error:
                if error.error_code in GONE:  # somebody dropped it: make it anew
                    self._db = None
                raise

    async def version(self) -> str:
        """Return the server's version; nothing is made."""
        with translate():
            db = self._db or await self.connected(self.address.database)
            try:
                told = await self._authorised(db, lambda db: db.version())
            except ArangoServerError as error:
                if error.error_code != NO_DATABASE:
                    raise
                db = await self.connected("_system")
                told = await self._authorised(db, lambda db: db.version())
                return f"{told['version']}, the database is not made yet"
            return str(told["version"])

    async def rows(self, query: str, bound: Mapping[str, Any]) -> list[Row]:
        """Return all that a query gives."""

        async def all_of(db: Any) -> list[Row]:
            async with asyncio.timeout(READ_TIMEOUT_S):
                return await all_rows(db, query, bound)

        return await self.ask(all_of)

    async def pages(
        self, query: str, bound: Mapping[str, Any]
    ) -> AsyncGenerator[list[Row]]:
        """Yield what a query gives, at most `BATCH` rows at a time."""
        cursor = await self.ask(lambda db: execute(db, query, bound, stream=True))
        try:
            while True:
                rows = list(cursor.batch)
                cursor.batch.clear()
                if rows:
                    yield rows
                if not cursor.has_more:
                    return
                await self.ask(lambda _: cursor.fetch())
        finally:
            # What cannot be closed ends by itself.
            with suppress(Exception):
                await cursor.close(ignore_missing=True)

    async def write(self, work: Callable[[Any], Awaitable[None]]) -> None:
        """Do the work in a transaction: all of it, or nothing.

        Args:
            work: with a `TransactionDatabase` of the driver.
        """

        async def at_once(db: Any) -> None:
            transaction = await db.begin_transaction(write=[NODES, RELATIONS])
            try:
                await work(transaction)
            except BaseException:
                with suppress(Exception):
                    async with asyncio.timeout(_ABORT_TIMEOUT_S):
                        await transaction.abort_transaction()
                raise
            await transaction.commit_transaction()

        await self.ask(at_once)

    async def _authorised(self, db: Any, work: Callable[[Any], Awaitable[T]]) -> T:
        """Return what the work gives, with a token that is not about to expire."""
        token = db.connection.token
        if token and token.needs_refresh(_LEEWAY_S):
            db.connection.token = None
        try:
            return await work(db)
        except ArangoServerError as error:
            if not is_stale(error):
                raise
        db.connection.token = None
        return await work(db)

    async def _made(self) -> Any:
        async with self._making:
            if self._db is None:
                db = await self.connected(self.address.database)
                try:
                    await self._authorised(db, make_collections)
                except ArangoServerError as error:
                    if error.error_code != NO_DATABASE:
                        raise
                    system = await self.connected("_system")
                    await make_database(system, self.address.database)
                    await self._authorised(db, make_collections)
                self._db = db
            return self._db

    async def connected(self, name: str) -> Any:
        """Return a database of the driver; it is not asked yet."""
        auth = self.address.auth
        return await self._client.db(name, auth_method="jwt", auth=auth)
