"""The client of the commands, against small applications in this process."""

import json
import socket
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import TypeAlias

import httpx2
import pytest
import typer
from starlette.types import Receive, Scope, Send

from dinoserve.cli.client import (
    ApiError,
    Client,
    NoServerError,
    connect,
    default_url,
    printable,
)
from dinoserve.settings import Settings

Answer: TypeAlias = tuple[int, dict[str, str], object]


class Scripted:
    """An application that gives its answers in turn, the last one for ever."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.headers: list[dict[bytes, bytes]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del receive
        self.headers.append(dict(scope["headers"]))
        status, headers, body = (
            self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        )
        pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
        start = {"type": "http.response.start", "status": status, "headers": pairs}
        await send(start)
        await send({"type": "http.response.body", "body": json.dumps(body).encode()})


class Waits:
    """Notes how long it should have waited, and does not wait."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    async def __call__(self, seconds: float) -> None:
        if seconds:
            self.seconds.append(seconds)


@asynccontextmanager
async def client_of(app: Scripted, waits: Waits) -> AsyncGenerator[Client]:
    transport = httpx2.ASGITransport(app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://test") as http:
        yield Client(http, waits)


async def refusal_of(status: int, body: object) -> ApiError:
    async with client_of(Scripted((status, {}, body)), Waits()) as client:
        with pytest.raises(ApiError) as caught:
            await client.get("/x")
    return caught.value


FULL: Answer = (
    429,
    {"retry-after": "7"},
    {"type": "/problems/overloaded", "detail": "full"},
)
FINE: Answer = (200, {}, {"fine": True})


async def test_every_request_tells_its_priority() -> None:
    app = Scripted(FINE)
    async with client_of(app, Waits()) as client:
        await client.get("/x")
        client.priority = "bulk"
        await client.post("/x", {})
    told = [headers[b"x-request-priority"] for headers in app.headers]
    assert told == [b"interactive", b"bulk"]


async def test_a_problem_document_becomes_code_detail_and_field() -> None:
    body = {"type": "/problems/image-empty", "detail": "No bytes.", "field": "file"}
    error = await refusal_of(422, body)
    assert (error.code, error.detail, error.field) == (
        "image-empty",
        "No bytes.",
        "file",
    )


async def test_an_error_in_openais_shape_becomes_code_detail_and_field() -> None:
    body = {"error": {"message": "No.", "type": "t", "param": "input", "code": "gone"}}
    error = await refusal_of(404, body)
    assert (error.code, error.detail, error.field) == ("gone", "No.", "input")


@pytest.mark.parametrize(
    "body", ["text", [], {}, {"error": "no"}, {"error": None}, {"type": 5}, None]
)
async def test_an_answer_of_another_server_becomes_its_status(body: object) -> None:
    assert (await refusal_of(404, body)).code == "http-404"


async def test_an_answer_that_is_no_object_is_no_dinoserve() -> None:
    async with client_of(Scripted((200, {}, [1])), Waits()) as client:
        with pytest.raises(ApiError, match="not-dinoserve"):
            await client.get("/x")


async def test_a_busy_server_is_asked_again_when_it_says() -> None:
    waits = Waits()
    async with client_of(Scripted(FULL, FULL, FINE), waits) as client:
        assert await client.get("/x") == {"fine": True}
    assert waits.seconds == [7, 7]


async def test_an_absurd_retry_after_is_cut_to_a_minute() -> None:
    waits = Waits()
    absurd: Answer = (429, {"retry-after": "99999"}, {})
    async with client_of(Scripted(absurd, FINE), waits) as client:
        await client.get("/x")
    assert waits.seconds == [60]


@pytest.mark.parametrize("text", ["Fri, 31 Dec 1999 23:59:59 GMT", "-5", "soon", "²"])
async def test_a_retry_after_that_is_no_number_is_not_believed(text: str) -> None:
    waits = Waits()
    odd: Answer = (429, {"retry-after": text}, {})
    async with client_of(Scripted(odd, FINE), waits) as client:
        await client.get("/x")
    assert waits.seconds == [0.25]


async def test_a_server_that_stays_busy_is_given_up() -> None:
    waits = Waits()
    async with client_of(Scripted(FULL), waits) as client:
        with pytest.raises(ApiError, match="overloaded: full"):
            await client.get("/x")
    assert waits.seconds == [7] * 19


async def test_a_refusal_for_good_is_not_repeated() -> None:
    app = Scripted((422, {}, {"type": "/problems/x", "detail": "no"}), FINE)
    async with client_of(app, Waits()) as client:
        with pytest.raises(ApiError):
            await client.get("/x")
    assert len(app.headers) == 1


@pytest.fixture
def dead_url() -> Iterator[str]:
    with socket.socket() as bound:  # bound and not listening: nobody else gets it
        bound.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"


async def test_no_server_is_told_at_once_with_address_and_remedy(dead_url: str) -> None:
    waits = Waits()
    async with httpx2.AsyncClient(base_url=dead_url) as http:
        with pytest.raises(NoServerError, match=rf"{dead_url} .*make run.*--url"):
            await Client(http, waits).get("/x")
    assert waits.seconds == []


async def test_a_patient_client_waits_half_a_minute_and_no_longer(
    dead_url: str,
) -> None:
    waits = Waits()
    async with httpx2.AsyncClient(base_url=dead_url) as http:
        client = Client(http, waits)
        client.patience_s = 30
        with pytest.raises(NoServerError):
            await client.get("/x")
    assert 30 <= sum(waits.seconds) < 34


async def sent_headers(keys: Sequence[str], given: str | None) -> httpx2.Headers:
    settings = Settings.model_validate({"api_keys": ",".join(keys)})
    async with connect(settings, "http://127.0.0.1:9", given) as client:
        return client._http.headers  # pyright: ignore[reportPrivateUsage] - what it would send


async def test_the_key_given_goes_before_the_key_of_the_settings() -> None:
    headers = await sent_headers(["mine"], "given")
    assert headers["authorization"] == "Bearer given"


async def test_the_first_clear_key_of_the_settings_is_sent() -> None:
    headers = await sent_headers(["sha256:" + "0" * 64, "clear", "later"], None)
    assert headers["authorization"] == "Bearer clear"


async def test_a_digest_is_never_sent_as_a_key() -> None:
    headers = await sent_headers(["sha256:" + "0" * 64], None)
    assert "authorization" not in headers


@pytest.mark.parametrize("key", ["ключ", "two\nlines"])
async def test_a_key_that_no_header_can_hold_is_refused_unshown(key: str) -> None:
    with pytest.raises(typer.BadParameter) as caught:
        await sent_headers([], key)
    assert key not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["localhost:8000", "ftp://x", "http://", "http://h:port", "http://u:p@host"]
)
async def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(typer.BadParameter):
        async with connect(Settings.model_validate({}), url, None):
            pass


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:8000"),
        ("0.0.0.0", "http://127.0.0.1:8000"),
        ("::", "http://[::1]:8000"),
        ("::1", "http://[::1]:8000"),
        ("box.lan", "http://box.lan:8000"),
    ],
)
def test_the_settings_say_where_the_server_is(host: str, url: str) -> None:
    assert default_url(Settings.model_validate({"host": host})) == url


def test_nothing_printed_can_steer_a_terminal() -> None:
    assert printable("a\x1b[31m\udcffé") == "a\ufffd[31m\ufffdé"
