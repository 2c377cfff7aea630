"""Odd files, limits, overload and callers that leave: none of it hurts the others."""

import re
import socket
import struct
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import pytest

from odd_files import odd_files, photo
from servers import Server, running
from stored import (
    check_nothing_is_half_visible,
    object_names,
    row_counts,
    sha256,
    upload,
)

PATIENCE_S = 30
BODY_LIMIT = 200_000


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with small limits."""
    with running(
        tmp_path_factory.mktemp("small"),
        DINOSERVE_MODEL="stub",
        DINOSERVE_MAX_BODY_BYTES=str(BODY_LIMIT),
        DINOSERVE_MAX_IMAGE_SIDE_PX="600",
        DINOSERVE_MAX_WAITING_IMAGES="2",
    ) as server:
        yield server


def test_odd_files_get_their_answers_and_the_good_one_beside_them_succeeds(
    tmp_path: Path,
) -> None:
    odd = odd_files()
    with running(tmp_path, DINOSERVE_MODEL="stub") as server, server.client() as client:

        def both(position: int) -> tuple[httpx2.Response, httpx2.Response]:
            with ThreadPoolExecutor(2) as pair:
                bad = pair.submit(upload, client, odd[position].data)
                good = pair.submit(upload, client, photo(position, 64, 48))
                return bad.result(), good.result()

        with ThreadPoolExecutor(4) as callers:
            answers = list(callers.map(both, range(len(odd))))
        assert {good.status_code for _, good in answers} == {201}
        given = {
            file.name: told(bad) for file, (bad, _) in zip(odd, answers, strict=True)
        }
        assert given == {file.name: file.answer for file in odd}
        kept = {file.data for file in odd if file.answer == "ok"}
        assets = check_nothing_is_half_visible(server)
        assert len(assets) == len(kept) + len(odd)
        refused = {sha256(file.data) for file in odd} - {sha256(data) for data in kept}
        assert not refused & object_names(tmp_path)
        assert row_counts(tmp_path)["garbage"] == 0


def told(answer: httpx2.Response) -> str:
    """Return `ok`, or the code of the problem."""
    if answer.is_success:
        return "ok"
    assert answer.status_code < 500
    assert answer.headers["content-type"] == "application/problem+json"
    return str(answer.json()["type"]).removeprefix("/problems/")


@pytest.mark.parametrize("is_chunked", [False, True], ids=["declared", "chunked"])
def test_a_body_over_the_limit_is_refused(small: Server, *, is_chunked: bool) -> None:
    body = b"x" * (BODY_LIMIT + 1)
    headers = {"content-type": "application/json"}
    with small.client() as client:
        content = iter([body[:100], body[100:]]) if is_chunked else body
        answer = client.post("/v1/assets", content=content, headers=headers)
        assert answer.status_code == 413
        problem = answer.json()
        assert problem["type"] == "/problems/body-too-large"
        assert (problem["field"], problem["limit"]) == ("body", BODY_LIMIT)
        assert problem["value"] > BODY_LIMIT


def test_an_image_over_the_limit_is_refused_with_limit_and_value(
    small: Server,
) -> None:
    with small.client() as client:
        answer = upload(client, photo(1, 601, 10))
    assert answer.status_code == 413
    problem = answer.json()
    assert problem["type"] == "/problems/image-too-large"
    assert [problem[name] for name in ("field", "limit", "value")] == ["file", 600, 601]


def test_an_overload_is_refused_at_once_and_a_later_try_succeeds(
    small: Server,
) -> None:
    refusals: list[httpx2.Response] = []

    def insist(seed: int) -> int:
        data = photo(seed, 600, 600)
        deadline = time.monotonic() + PATIENCE_S
        with small.client() as client:
            while (answer := upload(client, data)).status_code == 429:
                refusals.append(answer)
                assert time.monotonic() < deadline
            return answer.status_code

    with ThreadPoolExecutor(16) as callers:
        statuses = list(callers.map(insist, range(100, 124)))
    assert set(statuses) == {201}
    assert refusals, "nothing was refused: the load was too light to tell anything"
    assert all(int(one.headers["retry-after"]) >= 1 for one in refusals)
    assert {told(one) for one in refusals} == {"overloaded"}
    check_nothing_is_half_visible(small)


def test_callers_that_leave_do_not_keep_the_engine_waiting(small: Server) -> None:
    with small.client() as client:
        before = answers(client)
        for seed in range(20):
            request = client.build_request(
                "POST", "/v1/assets", files={"file": photo(200 + seed, 600, 600)}
            )
            leave(small, raw(request))
        until(lambda: answers(client) - before >= 20)
        until(lambda: waiting(client) == 0)
        assert upload(client, photo(220)).status_code == 201
    check_nothing_is_half_visible(small)


def test_a_caller_that_leaves_in_the_middle_of_its_body_is_no_fault_of_the_server(
    small: Server,
) -> None:
    with small.client() as client:
        before = answers(client)
        for path in ("/v1/assets", "/v1/search", "/v1/embeddings"):
            files = {"file": photo(230)}
            whole = raw(client.build_request("POST", path, files=files))
            leave(small, whole[: len(whole) // 2])
            half = b'{"input": "data:'
            head = b"content-type: application/json\r\ncontent-length: 9999\r\n\r\n"
            leave(small, f"POST {path} HTTP/1.1\r\nhost: x\r\n".encode() + head + half)
        until(lambda: answers(client) - before >= 6)
        assert 'status="500"' not in client.get("/metrics").text
    assert "a bug in" not in small.output


def raw(request: httpx2.Request) -> bytes:
    """Return the request as it goes over the wire."""
    head = f"{request.method} {request.url.path} HTTP/1.1\r\n"
    lines = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
    return f"{head}{lines}\r\n".encode() + request.read()


def leave(server: Server, sent: bytes) -> None:
    """Send this much, and reset the connection without waiting for an answer."""
    with socket.create_connection(("127.0.0.1", server.port), PATIENCE_S) as line:
        line.sendall(sent)
        at_once = struct.pack("ii", 1, 0)
        line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)


def answers(client: httpx2.Client) -> float:
    """Return how many requests to the routes that take a body have ended."""
    text = client.get("/metrics").text
    pattern = r'dinoserve_http_requests_total\{method="POST".*\} (\S+)'
    return sum(float(number) for number in re.findall(pattern, text))


def waiting(client: httpx2.Client) -> float:
    """Return how many images the engine has admitted and not answered."""
    text = client.get("/metrics").text
    [number] = re.findall(r"\ndinoserve_engine_waiting_images (\S+)", text)
    return float(number)


def until(is_so: Callable[[], bool]) -> None:
    """Ask again until it is so; fail when patience ends."""
    deadline = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < deadline, "it never came to be"
