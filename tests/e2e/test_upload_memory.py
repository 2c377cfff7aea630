"""Two hundred clients that upload large images at once: memory stays small."""

import re
import socket
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from servers import Server, running
from spools import spools
from stored import object_names
from upload_crowd import SIZE_BYTES, Answer, large_photo, uploaded_together

CLIENTS = 200
MAX_GROWTH_BYTES = 400_000_000
PATIENCE_S = 30


@pytest.fixture
def data(tmp_path: Path) -> Iterator[Path]:
    """A folder whose gigabytes go with the test."""
    yield tmp_path
    for path in tmp_path.rglob("*"):
        if path.is_file():
            path.unlink()


@pytest.mark.timeout(600)
def test_two_hundred_large_uploads_take_less_than_400_mb(data: Path) -> None:
    with running(data, DINOSERVE_MODEL="stub") as server:
        growth, answers = uploads(server)
        assert spools(server.pid) == 0
    assert statuses(answers) == {201: CLIENTS}
    assert kept(answers) == object_names(data)
    assert growth < MAX_GROWTH_BYTES


@pytest.mark.timeout(600)
def test_where_few_may_wait_the_others_are_told_and_memory_stays_small(
    data: Path,
) -> None:
    limit = {"DINOSERVE_MAX_WAITING_IMAGES": "16"}
    with running(data, DINOSERVE_MODEL="stub", **limit) as server:
        growth, answers = uploads(server)
        assert spools(server.pid) == 0
    assert statuses(answers).keys() == {201, 429}
    assert kept(answers) == object_names(data)
    assert growth < MAX_GROWTH_BYTES


def test_a_client_that_leaves_in_the_middle_leaves_no_file(tmp_path: Path) -> None:
    body = b'--x\r\ncontent-disposition: form-data; name="file"; filename="a"\r\n\r\n'
    with running(tmp_path, DINOSERVE_MODEL="stub") as server:
        with socket.create_connection(("127.0.0.1", server.port), PATIENCE_S) as line:
            line.sendall(
                b"POST /v1/assets HTTP/1.1\r\nhost: localhost\r\n"
                b"content-type: multipart/form-data; boundary=x\r\n"
                b"content-length: %d\r\n\r\n" % SIZE_BYTES
            )
            line.sendall(body + b"".join(large_photo(1, SIZE_BYTES // 2)))
            wait_for_spools(server, 1)
        wait_for_spools(server, 0)
        with server.client() as client:
            assert client.get("/livez").status_code == 200
    assert object_names(tmp_path) == set()
    assert "Traceback" not in server.output


def uploads(server: Server) -> tuple[int, list[Answer]]:
    """Upload from all clients; return the bytes the server's memory grew by at most."""
    status = Path(f"/proc/{server.pid}/status")
    before = _figure(status, "VmRSS")
    answers = uploaded_together(server.port, CLIENTS)
    return _figure(status, "VmHWM") - before, answers


def kept(answers: list[Answer]) -> set[object]:
    return {answer.body["sha256"] for answer in answers if answer.status == 201}


def statuses(answers: list[Answer]) -> Counter[int]:
    return Counter(answer.status for answer in answers)


def wait_for_spools(server: Server, count: int) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while spools(server.pid) != count:
        assert time.monotonic() < deadline, "it never came to be"


def _figure(status: Path, name: str) -> int:
    [found] = re.findall(rf"{name}:\s+(\d+) kB", status.read_text())
    return int(found) * 1024
