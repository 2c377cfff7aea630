"""Servers that the tests of one file share; each test keeps to its own collection."""

from collections.abc import Iterator

import httpx2
import pytest

from servers import Server, running


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("stub"), DINOSERVE_MODEL="stub") as server:
        yield server


@pytest.fixture
def client(server: Server) -> Iterator[httpx2.Client]:
    with server.client() as client:
        yield client
