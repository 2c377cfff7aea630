"""SIGTERM: requests in flight get their answers, then the server is gone."""

import signal
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import count
from pathlib import Path

import httpx2
import pytest

from odd_files import photo
from servers import Server, running
from stored import check_nothing_is_half_visible, upload

PATIENCE_S = 30


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with running(tmp_path, DINOSERVE_MODEL="stub") as server:
        yield server


def test_an_upload_that_was_begun_is_finished(server: Server) -> None:
    with server.client() as client:
        files = {"file": ("photo.jpg", photo(1))}
        request = client.build_request("POST", "/v1/assets", files=files)
    body = request.read()
    with socket.create_connection(("127.0.0.1", server.port), PATIENCE_S) as line:
        line.sendall(head_of(request))
        # Its word to go on proves that the server has begun with this request.
        assert line.recv(1000).startswith(b"HTTP/1.1 100")
        line.sendall(body[:100])
        server.tell(signal.SIGTERM)
        wait_until_closed(server)
        line.sendall(body[100:])
        assert line.recv(1000).startswith(b"HTTP/1.1 201")
    assert server.wait() == 0
    server.start()
    assert len(check_nothing_is_half_visible(server)) == 1


def test_under_load_every_answer_given_is_a_good_one(server: Server) -> None:
    seeds, begun = count(), threading.Semaphore(0)
    acknowledged: set[str] = set()

    def insist() -> None:
        with suppress(httpx2.TransportError), server.client() as client:
            while True:
                data = photo(next(seeds), 96, 64)
                begun.release()
                answer = upload(client, data)
                assert answer.status_code == 201
                acknowledged.add(answer.json()["id"])

    with ThreadPoolExecutor(4) as callers:
        clients = [callers.submit(insist) for _ in range(4)]
        for _ in range(20):
            assert begun.acquire(timeout=PATIENCE_S)
        assert server.stop() == 0
    for client in clients:
        client.result()
    server.start()
    assert acknowledged
    assert acknowledged == check_nothing_is_half_visible(server).keys()


def head_of(request: httpx2.Request) -> bytes:
    """Return the head as it goes over the wire, asking to be told to go on."""
    headers = {**request.headers, "expect": "100-continue"}
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"POST {request.url.path} HTTP/1.1\r\n{lines}\r\n".encode()


def wait_until_closed(server: Server) -> None:
    """Ask until nobody can connect any more; fail when patience ends."""
    deadline = time.monotonic() + PATIENCE_S
    with suppress(ConnectionRefusedError):
        while time.monotonic() < deadline:
            socket.create_connection(("127.0.0.1", server.port), PATIENCE_S).close()
    assert time.monotonic() < deadline
