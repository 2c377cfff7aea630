"""Overload over HTTP: what cannot be admitted is refused before it is read."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator

import httpx2
import pytest

from guarded_forward import GuardedForward, png, until
from in_process import make_app

JPEG = {"content-type": "image/jpeg"}


@pytest.fixture
async def forward(monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[GuardedForward]:
    forward = GuardedForward()
    monkeypatch.setattr("dinoserve.loading.StubForward", lambda: forward)
    yield forward
    forward.open_doors()


@pytest.fixture
async def client(forward: GuardedForward) -> AsyncGenerator[httpx2.AsyncClient]:
    """A client of a server with one place, which an image on the device holds."""
    app = make_app(max_waiting_images=1, max_batch_images=1)
    transport = httpx2.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client,
    ):
        stored = await client.post("/v1/assets", files={"file": png(1)})
        client.headers["x-asset"] = stored.json()["id"]
        forward.batches.clear()
        forward.may_compute.clear()
        first = asyncio.create_task(
            client.post("/v1/embeddings", content=png(2), headers=JPEG)
        )
        await until(lambda: forward.batches == [1])
        yield client
        forward.open_doors()
        assert (await first).status_code == 200


async def unread() -> AsyncIterator[bytes]:
    pytest.fail("the body was read")
    yield b""


@pytest.mark.parametrize("path", ["/v1/embeddings", "/v1/features", "/v1/assets"])
async def test_images_are_refused_before_they_are_read(
    client: httpx2.AsyncClient, path: str
) -> None:
    answer = await client.post(path, content=unread(), headers=JPEG)

    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) >= 1


async def test_a_long_body_of_json_is_refused_before_it_is_read(
    client: httpx2.AsyncClient,
) -> None:
    head = {"content-type": "application/json", "content-length": "100000"}

    answer = await client.post("/v1/embeddings", content=unread(), headers=head)

    assert answer.status_code == 429


async def test_vectors_that_are_stored_are_given_all_the_same(
    client: httpx2.AsyncClient,
) -> None:
    body = {"input": client.headers["x-asset"]}

    answer = await client.post("/v1/embeddings", json=body)

    assert answer.status_code == 200
