"""The way to one database of a MongoDB: checked, migrated, every call bounded."""

import asyncio
import warnings
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Mapping
from contextlib import asynccontextmanager, contextmanager
from importlib.util import find_spec
from typing import Any, Concatenate, ParamSpec, TypeAlias, TypeVar
from urllib.parse import parse_qsl, urlsplit

import pymongo
from pymongo import AsyncMongoClient, ReadPreference, WriteConcern
from pymongo.errors import OperationFailure, PyMongoError
from pymongo.read_concern import ReadConcern

from dinoserve.adapters.mongo import schema
from dinoserve.adapters.mongo.failures import translate
from dinoserve.adapters.mongo.schema import Documents
from dinoserve.errors import StartUpError
from dinoserve.ports import Survey

P = ParamSpec("P")
T = TypeVar("T")
Client: TypeAlias = AsyncMongoClient[dict[str, Any]]
Work: TypeAlias = Callable[Concatenate[Documents, P], Awaitable[T]]

DEFAULT_NAME = "dinoserve"
# What one call may take in all, every retry included: an election takes up to twelve
# seconds. It goes before the driver's own limits of selection and socket.
ANSWER_S = 15.0
# Beyond so many, transactions wait here for their turn, where they hinder no other.
_TRANSACTIONS = 16
TURN_S = 30.0
# Building an index over millions of records takes minutes.
_MIGRATION_S = 3600.0

# Of the server's error_codes.yml: Unauthorized, AuthenticationFailed, AtlasError.
_REFUSED = {13, 18, 8000}
_MAX_TOLD = 200
# What acknowledged means; no URL may weaken it.
_DURABLE = WriteConcern("majority", j=True)
_FIRM: dict[str, Any] = {
    "w": "majority",
    "journal": True,
    "readConcernLevel": "majority",
    "readPreference": "primary",
    "retryWrites": True,
    "retryReads": True,
}
# What the options of a URL go before.
_DEFAULTS: dict[str, Any] = {
    "appname": "dinoserve",
    "connectTimeoutMS": 5_000,
    "maxPoolSize": 64,
    "timeoutMS": int(ANSWER_S * 1000),
}


class Database:
    """The open database; every method may be awaited concurrently.

    Args:
        client: connected; whoever made it closes it.
        documents: the database of that client.
    """

    def __init__(self, client: Client, documents: Documents) -> None:
        self._client = client
        self._documents = documents
        self._turns = asyncio.Semaphore(_TRANSACTIONS)
        # Inside a transaction only the transaction may have concerns.
        self._bare = documents.with_options(
            write_concern=WriteConcern(), read_concern=ReadConcern()
        )

    async def run(self, work: Work[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return what the work makes of the database, within `ANSWER_S` seconds.

        It sees every write that was acknowledged.
        """
        with translate(), pymongo.timeout(ANSWER_S):
            return await work(self._documents, *args, **kwargs)

    async def transact(self, work: Work[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return what the work made, once all of it is acknowledged.

        Work that raises leaves nothing. Work that met another transaction, or lost
        its server, is run again until `ANSWER_S` seconds have passed. It waits for its
        turn `TURN_S` seconds at most.
        """

        async def attempt(_: object) -> T:
            return await work(self._bare, *args, **kwargs)

        with translate():
            async with (
                self._turn(),
                self._client.start_session() as session,
                # From here on, what this task asks is part of the transaction.
                session.bind(end_session=False),
            ):
                with pymongo.timeout(ANSWER_S):
                    return await session.with_transaction(
                        attempt,
                        read_concern=ReadConcern("snapshot"),
                        write_concern=_DURABLE,
                        read_preference=ReadPreference.PRIMARY,
                    )

    @asynccontextmanager
    async def _turn(self) -> AsyncGenerator[None]:
        async with asyncio.timeout(TURN_S):
            await self._turns.acquire()
        try:
            yield
        finally:
            self._turns.release()

    def follow(
        self, work: Callable[[Documents], AsyncGenerator[T]]
    ) -> AsyncGenerator[T]:
        """Return what the work yields of the database; nothing bounds its time."""
        return work(self._documents)

    async def server_version(self) -> str:
        """Return the version that the server tells, e.g. `8.2.11`."""
        with translate(), pymongo.timeout(ANSWER_S):
            return str((await self._client.server_info())["version"])


@asynccontextmanager
async def connect(url: str) -> AsyncGenerator[Database]:
    """Open the database that the URL names, and close it at the end.

    Raises:
        StartUpError: what is wrong with the URL, the server or the database.
    """
    async with _reach(url) as (client, documents):
        with _told(client, documents), pymongo.timeout(_MIGRATION_S):
            await schema.migrate(documents)
        yield Database(client, documents)


async def survey(url: str) -> Survey:
    """Return what stands behind the URL; nothing is made there.

    Raises:
        StartUpError: as `connect`.
    """
    async with _reach(url) as (client, documents):
        with _told(client, documents), pymongo.timeout(ANSWER_S):
            number = await schema.version(documents)
            steps = await schema.migrations(documents)
            steps += await schema.differences(documents)
            server = await client.server_info()
            set_name = (await client.admin.command("hello")).get("setName", "sharded")
    about = f"MongoDB {server['version']} ({set_name}), schema {number}"
    return Survey(about, [step.told for step in steps])


@asynccontextmanager
async def _reach(url: str) -> AsyncGenerator[tuple[Client, Documents]]:
    client = _client(url)
    try:
        documents = client.get_default_database(DEFAULT_NAME)
        with _told(client, documents), pymongo.timeout(ANSWER_S):
            _check_transactions(await client.admin.command("hello"))
        yield client, documents
    finally:
        await client.close()


def _client(url: str) -> Client:
    given = {name.lower() for name, _ in parse_qsl(urlsplit(url).query)}
    defaults = _DEFAULTS | _compressors()
    options: dict[str, Any] = _FIRM | {
        k: v for k, v in defaults.items() if k.lower() not in given
    }
    try:
        with warnings.catch_warnings():
            # The driver only warns of options that it does not know or understand.
            warnings.simplefilter("error", UserWarning)
            return AsyncMongoClient(url, **options)
    except (PyMongoError, ValueError, TypeError, UserWarning) as error:
        raise StartUpError(f"DINOSERVE_DOCUMENTS cannot be used: {error}") from error


def _compressors() -> dict[str, Any]:
    # Never zlib unasked: it packs 11 MB of vectors a second, and saves 7 % of them.
    modules = {"zstd": "backports.zstd", "snappy": "snappy"}
    names = [name for name, module in modules.items() if _is_installed(module)]
    return {"compressors": ",".join(names)} if names else {}


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False


@contextmanager
def _told(client: Client, documents: Documents) -> Generator[None]:
    try:
        yield
    except PyMongoError as error:
        raise _refusal(client, documents, error) from error


def _check_transactions(hello: Mapping[str, Any]) -> None:
    if "setName" in hello or hello.get("msg") == "isdbgrid":
        return
    raise StartUpError(
        "This MongoDB is a standalone server, which has no transactions. Make it a"
        " replica set of one: write `replication: {replSetName: rs0}` into mongod.conf,"
        " run `systemctl restart mongod`, and once `mongosh --eval 'rs.initiate()'`."
    )


def _refusal(client: Client, documents: Documents, error: PyMongoError) -> StartUpError:
    if isinstance(error, OperationFailure) and error.code in _REFUSED:
        said = str(error).partition(", full error")[0]
        return StartUpError(
            f"MongoDB refused the user of DINOSERVE_DOCUMENTS ({said}). See"
            " that the password is right, that `authSource` names the database that"
            f" keeps the user, and that it has the role readWrite on {documents.name}."
        )
    servers = client.topology_description.server_descriptions()
    hosts = ", ".join(f"{host}:{port}" for host, port in servers)
    return StartUpError(
        f"MongoDB at {hosts} does not answer as needed ({type(error).__name__}:"
        f" {str(error)[:_MAX_TOLD]}). See that it runs and can be reached; a replica"
        " set that is new must be started once: mongosh --eval 'rs.initiate()'"
    )
