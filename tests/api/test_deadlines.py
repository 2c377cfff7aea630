"""Deadlines and priorities over HTTP: who sets one gets its answer, or 504, in time."""

import asyncio
import base64
import hashlib
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import httpx2
import pytest
from fastapi import FastAPI
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dinoserve.adapters.memory import MemoryObjects
from dinoserve.domain.urgency import priority
from dinoserve.services import Services
from dinoserve.web.middleware import OPEN_PATHS
from dinoserve.web.urgency import Urgent
from guarded_forward import GuardedForward, png, until
from in_process import make_app

SOON = {"x-request-timeout": "0.05"}
AT_ONCE = {"x-request-timeout": "0.000000001"}


class Held(NamedTuple):
    """An app whose device a test holds."""

    client: httpx2.AsyncClient
    forward: GuardedForward
    services: Services

    async def occupy(self) -> asyncio.Task[httpx2.Response]:
        """Return a caller whose image the device works on."""
        self.forward.batches.clear()
        self.forward.may_compute.clear()
        task = asyncio.create_task(embed(self.client, 1))
        await until(lambda: self.forward.batches == [1])
        return task


@pytest.fixture
async def held(monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[Held]:
    forward = GuardedForward()
    monkeypatch.setattr("dinoserve.loading.StubForward", lambda: forward)
    app = make_app()
    async with opened(app) as client:
        try:
            yield Held(client, forward, app.state.services)
        finally:
            forward.open_doors()


@asynccontextmanager
async def opened(app: FastAPI) -> AsyncGenerator[httpx2.AsyncClient]:
    transport = httpx2.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client,
    ):
        yield client


async def embed(
    client: httpx2.AsyncClient, seed: int, headers: dict[str, str] | None = None
) -> httpx2.Response:
    data = "data:image/png;base64," + base64.b64encode(png(seed)).decode()
    return await client.post("/v1/embeddings", json={"input": data}, headers=headers)


async def upload(
    client: httpx2.AsyncClient, data: bytes, headers: dict[str, str] | None = None
) -> httpx2.Response:
    return await client.post("/v1/assets", files={"file": data}, headers=headers)


async def test_a_deadline_that_passes_is_answered_with_its_limit(held: Held) -> None:
    first = await held.occupy()

    answer = await upload(held.client, png(2), SOON)

    problem = answer.json()
    assert (answer.status_code, problem["type"]) == (504, "/problems/deadline-exceeded")
    assert (problem["field"], problem["limit"]) == ("x-request-timeout", 0.05)
    assert problem["instance"] == answer.headers["x-request-id"]
    held.forward.open_doors()
    assert (await first).status_code == 200


async def test_openai_clients_are_told_in_their_shape(held: Held) -> None:
    first = await held.occupy()

    answer = await embed(held.client, 2, SOON)

    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (504, "deadline-exceeded")
    assert (error["type"], error["param"]) == ("server_error", "x-request-timeout")
    held.forward.open_doors()
    await first


async def test_images_of_a_late_request_never_reach_the_device(held: Held) -> None:
    first = await held.occupy()
    await embed(held.client, 2, SOON)

    held.forward.open_doors()
    await first
    third = await embed(held.client, 3)

    assert third.status_code == 200
    assert held.forward.batches == [1, 1]


async def test_a_late_request_gives_its_place_back(held: Held) -> None:
    first = await held.occupy()

    await embed(held.client, 2, SOON)

    assert held.services.models.load.waiting == 1
    held.forward.open_doors()
    await first


async def test_bulk_images_are_told_of_where_the_queue_is_shown(held: Held) -> None:
    first = await held.occupy()
    second = asyncio.create_task(embed(held.client, 2, {"x-request-priority": "bulk"}))
    await until(lambda: held.services.models.load.waiting == 2)

    queue = (await held.client.get("/v1/models/default")).json()["queue"]

    assert (queue["waiting"], queue["bulk"]) == (2, 1)
    assert queue["oldest_s"] >= 0
    held.forward.open_doors()
    await asyncio.gather(first, second)


async def test_an_upload_that_is_late_for_the_device_leaves_nothing(held: Held) -> None:
    first, data = await held.occupy(), png(2)

    await upload(held.client, data, SOON)
    held.forward.open_doors()
    await first

    assets = held.services.assets
    assert await assets.objects.size(hashlib.sha256(data).hexdigest()) is None
    assert not await assets.documents.unreferenced()
    assert (await held.client.get("/v1/assets")).json()["assets"] == []


async def test_an_upload_that_is_late_while_it_is_stored_is_stored_whole(
    held: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, may_put, put = asyncio.Event(), asyncio.Event(), MemoryObjects.put

    async def held_put(self: MemoryObjects, sha256: str, data: bytes) -> None:
        begun.set()
        await may_put.wait()
        await put(self, sha256, data)

    monkeypatch.setattr(MemoryObjects, "put", held_put)
    late, seconds = [504], 0.05
    while not begun.is_set():  # a slow machine needs longer to come as far as that
        headers = {"x-request-timeout": str(seconds)}
        late.append((await upload(held.client, png(2), headers)).status_code)
        seconds *= 2
    may_put.set()
    again = await upload(held.client, png(2))

    assert (set(late), again.status_code) == ({504}, 200)
    content = await held.client.get(f"/v1/assets/{again.json()['id']}/content")
    assert content.content == png(2)


async def test_a_body_that_never_ends_is_late_too(held: Held) -> None:
    async def endless() -> AsyncGenerator[bytes]:
        yield b'{"query": '
        await asyncio.Event().wait()

    headers = SOON | {"content-type": "application/json"}
    answer = await held.client.post("/v1/search", content=endless(), headers=headers)

    assert answer.status_code == 504


async def test_a_form_that_never_ends_is_late_too(held: Held) -> None:
    async def endless() -> AsyncGenerator[bytes]:
        yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"'
        yield b"\r\n\r\n"
        yield b"a" * 2_000_000  # beyond what a form keeps in memory
        await asyncio.Event().wait()

    headers = SOON | {"content-type": "multipart/form-data; boundary=x"}
    answer = await held.client.post("/v1/assets", content=endless(), headers=headers)

    assert answer.status_code == 504


async def test_a_request_in_time_is_answered_as_without_deadline(held: Held) -> None:
    asked = {"x-request-timeout": "3600", "x-request-priority": "bulk"}

    answer = await embed(held.client, 1, asked)

    assert answer.json() == (await embed(held.client, 1)).json()


@pytest.mark.parametrize(
    "value",
    ["0", "0.0", "-1", "3601", "1e3", "inf", "nan", "", "2 s", "1_0", "٣", "9" * 400],
)
async def test_a_timeout_that_cannot_be_is_refused_with_the_limit(
    held: Held, value: str
) -> None:
    headers = [(b"x-request-timeout", value.encode())]

    answer = await held.client.get("/v1/assets", headers=headers)

    problem = answer.json()
    assert (answer.status_code, problem["type"]) == (400, "/problems/invalid-header")
    assert (problem["field"], problem["limit"]) == ("x-request-timeout", 3600)
    assert problem["value"] == value.encode().decode("latin-1")[:40]


@pytest.mark.parametrize("value", ["urgent", "BULK", ""])
async def test_a_priority_that_is_none_is_refused_with_both(
    held: Held, value: str
) -> None:
    headers = {"x-request-priority": value}

    answer = await held.client.get("/v1/models", headers=headers)

    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (400, "invalid-header")
    assert error["param"] == "x-request-priority"
    assert "`interactive` or `bulk`" in error["message"]


@pytest.mark.parametrize("path", ["/livez", "/readyz"])
async def test_probes_have_neither_header(held: Held, path: str) -> None:
    headers = {"x-request-timeout": "soon", "x-request-priority": "none"}

    assert (await held.client.get(path, headers=headers)).status_code == 200


def test_every_route_that_is_not_open_declares_headers_and_problems() -> None:
    paths: dict[str, dict[str, Any]] = make_app().openapi()["paths"]

    declared = {
        path
        for path, item in paths.items()
        for operation in item.values()
        if {"x-request-timeout", "x-request-priority"}
        <= {parameter["name"] for parameter in operation.get("parameters", [])}
        and "`invalid-header`" in operation["responses"]["400"]["description"]
        and "`deadline-exceeded`" in operation["responses"]["504"]["description"]
    }
    assert set(paths) - declared == OPEN_PATHS & set(paths)
    assert {"/livez", "/readyz", "/v1/graph/view"} <= OPEN_PATHS


class TestTheMiddlewareAlone:
    """What no route does often enough to be seen."""

    @staticmethod
    async def ask(app: ASGIApp, headers: dict[str, str]) -> httpx2.Response:
        transport = httpx2.ASGITransport(Urgent(app))
        async with httpx2.AsyncClient(
            transport=transport, base_url="http://127.0.0.1"
        ) as client:
            return await client.get("/v1/assets", headers=headers)

    async def test_an_answer_that_has_begun_is_sent_to_its_end(self) -> None:
        async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            for _ in range(20):
                await asyncio.sleep(0)
            await send({"type": "http.response.body", "body": b"all of it"})

        assert (await self.ask(app, AT_ONCE)).text == "all of it"

    async def test_an_app_that_answers_when_cancelled_gives_no_second_answer(
        self,
    ) -> None:
        async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                await send({"type": "http.response.start", "status": 200})

        assert (await self.ask(app, AT_ONCE)).status_code == 504

    async def test_a_timeout_of_the_apps_own_is_no_deadline(self) -> None:
        async def app(_scope: Scope, _receive: Receive, _send: Send) -> None:
            raise TimeoutError("of a store")

        with pytest.raises(TimeoutError, match="of a store"):
            await self.ask(app, {"x-request-timeout": "60"})

    @pytest.mark.parametrize(
        ("headers", "told"),
        [({}, "interactive"), ({"x-request-priority": "bulk"}, "bulk")],
    )
    async def test_what_is_called_knows_the_priority(
        self, headers: dict[str, str], told: str
    ) -> None:
        async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
            start: Message = {"type": "http.response.start", "status": 200}
            await send(start | {"headers": []})
            body = await asyncio.create_task(seen())
            await send({"type": "http.response.body", "body": body})

        async def seen() -> bytes:
            return priority.get().encode()

        assert (await self.ask(app, headers)).text == told
        assert priority.get() == "interactive"
