"""Servers that are killed, filled up and damaged: each test has its own."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from servers import Server

Serve = Callable[..., Server]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Start a server on the stub; whatever becomes of it, it is gone afterwards."""
    servers: list[Server] = []

    def start(data: Path = tmp_path, **env: str) -> Server:
        server = Server(data, **{"DINOSERVE_MODEL": "stub"} | env)
        servers.append(server)
        return server.start()

    yield start
    for server in servers:
        server.kill()
