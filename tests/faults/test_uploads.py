"""Direct uploads that are cut off: by the caller, or by a `kill -9`."""

import socket
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest

from dinoserve.settings import Settings
from dinoserve.telemetry import Metrics
from dinoserve.wiring import open_services
from odd_files import photo
from servers import Server, running
from stored import object_names, row_counts, sha256

DATA = photo(1)
LARGE = DATA + bytes(4_000_000)


@pytest.fixture
def temporary(tmp_path: Path) -> Path:
    """The folder that the server's temporary files lie in."""
    (folder := tmp_path / "temporary").mkdir()
    return folder


@pytest.fixture
def server(tmp_path: Path, temporary: Path) -> Iterator[Server]:
    env = {"DINOSERVE_MODEL": "stub", "TMPDIR": str(temporary)}
    with running(tmp_path / "data", **env) as server:
        yield server


def begin(client: httpx2.Client, data: bytes) -> dict[str, Any]:
    body = {"sha256": sha256(data), "size_bytes": len(data)}
    answer = client.post("/v1/uploads", json=body)
    assert answer.status_code == 201, answer.text
    return answer.json()


def incoming(server: Server) -> list[str]:
    """Every file that came, whole or not."""
    folder = server.data / "incoming"
    return [path.name for path in folder.rglob("*") if path.is_file()]


def half_sent(begun: dict[str, Any], data: bytes) -> socket.socket:
    """Send one half of the bytes; the connection stays open."""
    url = urlsplit(str(begun["url"]))
    connection = socket.create_connection((url.hostname, url.port), timeout=30)
    head = f"PUT {url.path}?{url.query} HTTP/1.1\r\nhost: {url.netloc}\r\n"
    connection.sendall(f"{head}content-length: {len(data)}\r\n\r\n".encode())
    connection.sendall(data[: len(data) // 2])
    return connection


async def test_what_came_before_a_kill_is_completed_after_it(server: Server) -> None:
    with server.client() as client:
        begun = begin(client, DATA)
        assert client.put(begun["url"], content=DATA).status_code == 204
        server.kill()
        assert object_names(server.data) == set()
        server.start()
        assert client.post(begun["complete_url"]).status_code == 201
    assert object_names(server.data) == {sha256(DATA)}
    assert incoming(server) == []


async def test_what_came_before_a_kill_and_is_never_completed_is_swept(
    server: Server,
) -> None:
    with server.client() as client:
        begun = begin(client, DATA)
        assert client.put(begun["url"], content=DATA).status_code == 204
    server.kill()
    assert len(incoming(server)) == 1
    assert row_counts(server.data)["asset"] == 0
    settings = Settings.model_validate({"data": server.data, "model": "stub"})
    async with open_services(settings, Metrics()) as services:
        later = datetime.now(UTC) + timedelta(minutes=71)
        assert await replace(services.uploads, now=lambda: later).sweep() == 1
    assert incoming(server) == []


def test_a_kill_in_the_middle_of_the_bytes_leaves_nothing(
    server: Server, temporary: Path
) -> None:
    with server.client() as client:
        connection = half_sent(begin(client, LARGE), LARGE)
    with connection:
        server.kill()
    assert incoming(server) == []
    assert list(temporary.iterdir()) == []


def test_a_caller_that_leaves_in_the_middle_may_send_again(
    server: Server, temporary: Path
) -> None:
    with server.client() as client:
        begun = begin(client, LARGE)
        half_sent(begun, LARGE).close()
        early = client.post(begun["complete_url"])
        assert early.json()["type"] == "/problems/upload-incomplete"
        assert incoming(server) == []
        assert list(temporary.iterdir()) == []
        assert client.put(begun["url"], content=LARGE).status_code == 204
        assert client.post(begun["complete_url"]).status_code == 201


def test_what_a_killed_write_left_is_gone_after_the_next_start(server: Server) -> None:
    name = "ab" * 32
    server.kill()
    folder = server.data / "incoming" / "ab" / "ab"
    folder.mkdir(parents=True)
    (folder / f"{name}#1").write_bytes(DATA)
    server.start()
    assert incoming(server) == []
