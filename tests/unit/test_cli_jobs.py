"""`dinoserve jobs`: parameters, watching through faults, results, what is shown."""

import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
import typer

from dinoserve.cli.client import ApiError, Client
from dinoserve.cli.job_views import JobBar, end_lines, fact_table, job_table
from dinoserve.cli.job_watch import watched
from dinoserve.cli.jobs import (
    _result,  # pyright: ignore[reportPrivateUsage] - the command's work
    _submit,  # pyright: ignore[reportPrivateUsage] - the command's work
    read_parameters,
)
from dinoserve.cli.pages import paged
from in_process import make_app

JOB = "0" * 32
Handler = Callable[[httpx2.Request], httpx2.Response]


async def no_wait(seconds: float) -> None:
    del seconds


def a_job(state: str = "running", version: int = 1, **progress: Any) -> dict[str, Any]:
    """Return a job as the API shows it."""
    told: dict[str, Any] = {
        "items": 0, "done": 0, "failed": 0, "reasons": {}, "chunks": 0, "ended": 0,
        "buried": 0, "is_planned": True, "percent": None, "rate_per_s": None,
        "eta_s": None,
    }  # fmt: skip
    return {
        "id": JOB, "kind": "embed", "collection": None, "parameters": {},
        "requester": None, "state": state, "version": version,
        "created_at": "2026-11-23T06:00:00Z", "started_at": None, "finished_at": None,
        "progress": told | progress, "result": None, "error": None,
    }  # fmt: skip


@asynccontextmanager
async def scripted(handler: Handler) -> AsyncGenerator[Client]:
    """A client of a server that answers so."""
    transport = httpx2.MockTransport(handler)
    async with httpx2.AsyncClient(transport=transport, base_url="http://x") as http:
        yield Client(http, no_wait)


def _as_it_is(transport: httpx2.AsyncBaseTransport) -> httpx2.AsyncBaseTransport:
    return transport


@asynccontextmanager
async def real(
    wrap: Callable[[httpx2.AsyncBaseTransport], httpx2.AsyncBaseTransport] = _as_it_is,
    **settings: object,
) -> AsyncGenerator[Client]:
    """A client of the real application in this process."""
    app = make_app(**settings)
    transport = wrap(httpx2.ASGITransport(app))
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http,
    ):
        yield Client(http, no_wait)


class LosesAnswers(httpx2.AsyncBaseTransport):
    """Does what is asked; the connection breaks before the first answers to POST."""

    def __init__(self, inner: httpx2.AsyncBaseTransport) -> None:
        self._inner = inner
        self.lost = 0

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        answer = await self._inner.handle_async_request(request)
        if request.method == "POST" and self.lost < 2:
            self.lost += 1
            raise httpx2.ReadError("broken")
        return answer


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("k=10", 10),
        ("mode=matrix", "matrix"),
        ('tags=["a","b"]', ["a", "b"]),
        ("embed=false", False),
        ('collection="2024"', "2024"),
        ("query=a=b", "a=b"),
        ("subject=", ""),
        ("prefix=null and void", "null and void"),
    ],
)
def test_a_parameter_is_json_or_else_text(text: str, value: object) -> None:
    [read] = read_parameters([text]).values()
    assert read == value


def test_a_parameter_may_be_the_text_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("url\nhttps://a\n")
    read = read_parameters([f"manifest=@{tmp_path / 'list.csv'}"])
    assert read == {"manifest": "url\nhttps://a\n"}


@pytest.mark.parametrize(
    "texts", [["k"], ["=5"], ["k=1", "k=2"], ["manifest=@/nowhere/list.csv"]]
)
def test_a_parameter_that_says_nothing_is_refused(texts: list[str]) -> None:
    with pytest.raises(typer.BadParameter):
        read_parameters(texts)


async def test_a_job_is_followed_until_it_is_over() -> None:
    seen: list[dict[str, Any]] = []
    async with real() as client:
        job = await client.post("/v1/jobs", {"kind": "embed"})
        ended = await watched(client, job["id"], seen.append, no_wait)
    assert ended["state"] == "succeeded"
    versions = [state["version"] for state in seen]
    assert versions == sorted(versions)
    assert seen[-1] == ended


async def test_a_job_that_does_not_exist_is_told_at_once() -> None:
    async with real() as client:
        with pytest.raises(ApiError, match="job-not-found"):
            await watched(client, JOB, lambda _: None, no_wait)


@pytest.mark.parametrize("fault", ["refused", "broken", "no-events", "ends-early"])
async def test_without_events_the_server_is_asked_again(fault: str) -> None:
    states = iter([a_job("queued"), a_job(version=2), a_job("succeeded", 3)])

    def answer(request: httpx2.Request) -> httpx2.Response:
        if not request.url.path.endswith("/events"):
            return httpx2.Response(200, json=next(states))
        if fault == "refused":
            problem = {"type": "/problems/overloaded", "detail": "full"}
            return httpx2.Response(429, json=problem)
        if fault == "no-events":
            return httpx2.Response(200, text="<html>")
        if fault == "ends-early":
            return httpx2.Response(200, headers={"content-type": "text/event-stream"})
        raise httpx2.ReadError("broken")

    async with scripted(answer) as client:
        ended = await watched(client, JOB, lambda _: None, no_wait)
    assert ended["version"] == 3


async def test_events_are_asked_for_behind_what_is_known() -> None:
    asked: list[str] = []
    states = iter([a_job(version=7), a_job("failed", 9)])

    def answer(request: httpx2.Request) -> httpx2.Response:
        if not request.url.path.endswith("/events"):
            return httpx2.Response(200, json=next(states))
        asked.append(request.headers["last-event-id"])
        text = f"event: job\nid: 8\ndata: {json.dumps(a_job(version=8))}\n\n"
        headers = {"content-type": "text/event-stream"}
        return httpx2.Response(200, headers=headers, text=f": beat\n\n{text}")

    seen: list[int] = []
    async with scripted(answer) as client:
        await watched(client, JOB, lambda job: seen.append(job["version"]), no_wait)
    assert asked == ["7"]
    assert seen == [7, 8, 9]


async def test_a_job_whose_answer_was_lost_is_submitted_once(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async with real(LosesAnswers) as client:

        @asynccontextmanager
        async def server() -> AsyncGenerator[Client]:
            client.patience_s = 5
            yield client

        body = {"kind": "embed"}
        code = await _submit(server(), body, "a-key", watch=False, as_json=True)
        listed = [job async for job in paged(client, "/v1/jobs", "jobs", {}, 10)]
    assert code == 0
    assert [job["id"] for job in listed] == [json.loads(capsys.readouterr().out)["id"]]


async def test_lists_are_read_page_by_page_up_to_the_limit() -> None:
    async with real(job_slots=0) as client:
        for _ in range(5):
            await client.post("/v1/jobs", {"kind": "embed"})

        def some(limit: int) -> AsyncGenerator[dict[str, Any]]:
            return paged(client, "/v1/jobs", "jobs", {}, limit)

        assert len({job["id"] async for job in some(1000)}) == 5
        assert len([job async for job in some(3)]) == 3


def names_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


async def test_a_result_is_written_whole(tmp_path: Path) -> None:
    async with scripted(lambda _: httpx2.Response(200, content=b"x" * 9)) as client:
        file = tmp_path / "out.bin"
        file.write_bytes(b"old")
        assert await _result(holding(client), JOB, file, as_json=True) == 0
    assert file.read_bytes() == b"x" * 9
    assert names_in(tmp_path) == ["out.bin"]


async def test_a_result_that_breaks_off_leaves_the_file_as_it_was(
    tmp_path: Path,
) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"half"
        raise httpx2.ReadError("broken")

    def answer(_: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, content=pieces())

    file = tmp_path / "out.bin"
    file.write_bytes(b"old")
    async with scripted(answer) as client:
        with pytest.raises(Exception, match="broken"):
            await _result(holding(client), JOB, file, as_json=False)
    assert file.read_bytes() == b"old"
    assert names_in(tmp_path) == ["out.bin"]


@asynccontextmanager
async def holding(client: Client) -> AsyncGenerator[Client]:
    yield client


def test_the_end_names_state_counts_and_reasons() -> None:
    reasons = {"image-damaged": 2, "asset-not-found": 1}
    job = a_job("succeeded", items=10, done=7, failed=3, reasons=reasons)
    told = "\n".join(end_lines(job))
    assert "succeeded: 7 of 10 done, 3 failed" in told
    assert "2 image-damaged" in told


def test_nothing_of_a_job_can_steer_a_terminal() -> None:
    job = a_job("failed") | {"error": "a\x1b[31m", "kind": "x\x1b]0;y"}
    assert "\x1b" not in "\n".join(end_lines(job))
    for table in (fact_table(job), job_table([job])):
        cells = [str(cell) for column in table.columns for cell in column.cells]
        assert "\x1b" not in "".join(cells)


def test_where_there_is_no_terminal_a_line_is_shown_now_and_then(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with JobBar(plain_every_s=0) as bar:
        bar.show(a_job(items=40, done=10, is_planned=False, rate_per_s=5.0))
        bar.show(a_job(items=40, done=20, failed=1, rate_per_s=5.0, eta_s=3.8))
    out, err = capsys.readouterr()
    assert out == ""
    assert "10/40+ items, running, 5.0/s, 0 failed" in err
    assert "21/40 items, running, 5.0/s, 4 s left, 1 failed" in err
