"""A graph in ArangoDB for a test: the double's process, or a real server.

`ARANGO_URL` (`arangodb://USER:PASSWORD@HOST:PORT`) names a server that takes the
double's place in the contract suite; databases of names of chance are made there.
"""

import atexit
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

import httpx2

from arango_double import PASSWORD, USER
from dinoserve.adapters.arango import ArangoGraph

_SCRIPT = Path(__file__).parent / "arango_double.py"


class ArangoServer:
    """Starts, breaks, kills and restarts a double on one port, which keeps its data."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="arango-"))
        self._process: subprocess.Popen[str] | None = None
        self.port = 0

    @property
    def url(self) -> str:
        """Of a database `graph`."""
        return self.database("graph")

    def database(self, name: str) -> str:
        """Return the URL of a database."""
        user, password = quote(USER, safe=""), quote(PASSWORD, safe="")
        return f"arangodb://{user}:{password}@127.0.0.1:{self.port}/{name}"

    @property
    def is_alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> Self:
        """Start it, and wait until it listens; one that has died is buried."""
        if self._process:
            self.wait()
        journal = str(self._folder / "journal")
        self._process = subprocess.Popen(
            [sys.executable, str(_SCRIPT), str(self.port), journal],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout
        self.port = int(self._process.stdout.readline())
        return self

    def kill(self) -> None:
        """End it at once (`kill -9`)."""
        if self._process:
            self._process.kill()
            self.wait()

    def wait(self) -> int:
        """Wait until it ends by itself; return its exit status."""
        assert self._process
        assert self._process.stdout
        status = self._process.wait(30)
        self._process.stdout.close()
        self._process = None
        return status

    def remove(self) -> None:
        """End it and forget its data."""
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def tell(self, **orders: Any) -> None:
        """Give orders, see `arango_double`; what it was asked is forgotten."""
        with self._http() as http:
            http.post("/_double/", json=orders).raise_for_status()

    def fail(self, kind: str, path: str = "", *, skip: int = 0, times: int = 0) -> None:
        """Let requests fail; `mend` ends it."""
        fault = {"kind": kind, "path": path, "skip": skip, "times": times}
        self.tell(faults=[fault])

    def mend(self) -> None:
        """Let it answer as it should."""
        self.tell(faults=[], token_s=3600)

    def told(self) -> dict[str, Any]:
        """Return what it was asked since the last order, and what is open."""
        with self._http() as http:
            return dict(http.get("/_double/").json())

    def documents(self, database: str = "graph") -> dict[str, dict[str, Any]]:
        """Return every document by collection and key."""
        with self._http() as http:
            return dict(http.get(f"/_double/{database}").json())

    def _http(self) -> httpx2.Client:
        where = f"http://127.0.0.1:{self.port}"
        return httpx2.Client(base_url=where, timeout=30, trust_env=False)


@cache
def shared_server() -> ArangoServer:
    """Return the double of this test process; nobody breaks or kills it."""
    server = ArangoServer().start()
    atexit.register(server.remove)
    return server


@asynccontextmanager
async def fresh_graph(url: str | None = None) -> AsyncGenerator[ArangoGraph]:
    """Yield the graph of a new database; in a real server, it is dropped afterwards.

    Args:
        url: of a real server; None: the double.
    """
    name = f"test-{secrets.token_hex(8)}"
    place = shared_server().database(name) if url is None else f"{url}/{name}"
    async with ArangoGraph.open(place) as graph:
        yield graph
        if url is not None:
            system = await graph.database.connected("_system")
            await system.delete_database(name, ignore_missing=True)
