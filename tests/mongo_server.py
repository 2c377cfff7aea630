"""A real MongoDB-wire server as a process of its own, one for each test process.

`DINOSERVE_TEST_MONGODB_URL` names a server that takes its place; its failpoints must
be enabled (`mongod --setParameter enableTestCommands=1`) for the tests of faults.
"""

import atexit
import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any, Self
from uuid import uuid4

from pymongo import AsyncMongoClient, MongoClient
from pymongo.errors import PyMongoError

from dinoserve.adapters.mongo import MongoDocuments
from needs import MONGODB_SERVER, MONGODB_URL

START_TIMEOUT_S = 60


class MongoServer:
    """Starts, kills and restarts a server on one folder and port.

    Args:
        storage: what it keeps; `:memory:` is gone when it ends.
        options: further ones of its command line.
    """

    def __init__(self, storage: Path | str = ":memory:", *options: str) -> None:
        self._storage = str(storage)
        self._options = options
        self._port = _free_port()
        self._process: subprocess.Popen[bytes] | None = None
        with tempfile.NamedTemporaryFile(suffix=".log", delete=False) as log:
            self._log = Path(log.name)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._port}"

    @property
    def url(self) -> str:
        return f"mongodb://{self.address}/"

    @property
    def output(self) -> str:
        """What it has said since its first start."""
        return self._log.read_text(errors="replace")

    def start(self) -> Self:
        """Start and wait until it answers; fail with its output if it does not."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    str(MONGODB_SERVER),
                    *("--host", "127.0.0.1", "--port", str(self._port)),
                    *("--storage-path", self._storage, "--log-level", "WARNING"),
                    *("--enable-test-commands", *self._options),
                ],
                cwd=self._log.parent,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._answers():
            assert self._process.poll() is None, f"it ended:\n{self.output}"
            assert time.monotonic() < deadline, f"it does not answer:\n{self.output}"
        return self

    def check(self) -> None:
        """Fail with its output if it has ended."""
        assert self._process is not None
        assert self._process.poll() is None, f"the server ended:\n{self.output}"

    def kill(self) -> None:
        """End it as a power cut would: SIGKILL, at once."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Ask it to end, so that it clears up after itself; forget its output."""
        self._end(signal.SIGTERM)
        self._log.unlink(missing_ok=True)

    def _end(self, how: signal.Signals) -> None:
        if self._process is None:
            return
        self._process.send_signal(how)
        self._process.wait(START_TIMEOUT_S)
        self._process = None

    def _answers(self) -> bool:
        client = MongoClient[dict[str, Any]](
            self.url, serverSelectionTimeoutMS=200, directConnection=True
        )
        try:
            return bool(client.admin.command("ping")["ok"])
        except PyMongoError:
            return False
        finally:
            client.close()


@cache
def _shared() -> MongoServer:
    server = MongoServer().start()
    atexit.register(server.stop)
    return server


@asynccontextmanager
async def fresh_database() -> AsyncGenerator[str]:
    """Yield the URL of a database of its own, which is dropped at the end."""
    given = os.environ.get(MONGODB_URL)
    base = given or _shared().url
    try:
        async with database_of(base) as url:
            yield url
    finally:
        if not given:
            _shared().check()


@asynccontextmanager
async def database_of(base: str) -> AsyncGenerator[str]:
    """Yield the URL of a new database of this server, dropped at the end."""
    name = f"test_{uuid4().hex}"
    head, _, options = base.partition("?")
    url = f"{head.rstrip('/')}/{name}" + (f"?{options}" if options else "")
    yield url
    async with AsyncMongoClient[dict[str, Any]](base) as client:
        await client.drop_database(name)


@asynccontextmanager
async def fresh_documents() -> AsyncGenerator[MongoDocuments]:
    """Yield an open store in a database of its own."""
    async with fresh_database() as url, MongoDocuments.open(url) as store:
        yield store


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@asynccontextmanager
async def failing(url: str, *commands: str, **how: Any) -> AsyncGenerator[None]:
    """Let the server fail these commands during the block, as its failpoint can.

    Args:
        url: of the server.
        commands: by their names on the wire, e.g. `commitTransaction`.
        how: `times` (else every time) and the failpoint's own data.
    """
    times = how.pop("times", None)
    async with AsyncMongoClient[dict[str, Any]](url) as client:
        await client.admin.command(
            "configureFailPoint",
            "failCommand",
            mode={"times": times} if times else "alwaysOn",
            data={"failCommands": list(commands), "appName": "dinoserve", **how},
        )
        try:
            yield
        finally:
            await client.admin.command("configureFailPoint", "failCommand", mode="off")
