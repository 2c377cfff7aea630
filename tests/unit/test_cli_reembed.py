"""`dinoserve reembed` against the real application in this process."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import httpx2
from fastapi import FastAPI

from dinoserve.cli.client import Client
from dinoserve.cli.reembed import embed_missing
from dinoserve.services import Services
from in_process import make_app
from odd_files import photo


async def no_wait(seconds: float) -> None:
    del seconds


@asynccontextmanager
async def client_of(app: FastAPI) -> AsyncGenerator[httpx2.AsyncClient]:
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(
            transport=httpx2.ASGITransport(app), base_url="http://127.0.0.1"
        ) as http,
    ):
        yield http


async def store(http: httpx2.AsyncClient, seed: int, collection: str = "a") -> str:
    answer = await http.post(
        "/v1/assets",
        params={"embed": False},
        files={"file": photo(seed, 64, 48)},
        data={"collection": collection},
    )
    return answer.json()["id"]


async def test_every_asset_without_a_vector_gets_one() -> None:
    async with client_of(make_app()) as http:
        ids = {await store(http, seed) for seed in range(20)}
        tally = await embed_missing(Client(http, no_wait), None)
        listed = (await http.get("/v1/assets")).json()["assets"]
    assert tally.outcomes["embedded"] == 20
    assert {asset["id"] for asset in listed if asset["embeddings"]} == ids


async def test_what_has_its_vector_is_left_alone() -> None:
    async with client_of(make_app()) as http:
        await store(http, 1)
        await embed_missing(Client(http, no_wait), None)
        tally = await embed_missing(Client(http, no_wait), None)
    assert (tally.total, tally.exit_code) == (0, 0)


async def test_only_the_collection_asked_for_is_embedded() -> None:
    async with client_of(make_app()) as http:
        await store(http, 1, "a")
        await store(http, 2, "b")
        tally = await embed_missing(Client(http, no_wait), "b")
    assert tally.total == 1


async def test_an_asset_whose_bytes_are_lost_fails_alone() -> None:
    app = make_app()
    async with client_of(app) as http:
        ids = [await store(http, seed) for seed in range(5)]
        lost = (await http.get(f"/v1/assets/{ids[2]}")).json()["sha256"]
        services: Services = app.state.services
        await services.assets.objects.delete(lost)
        tally = await embed_missing(Client(http, no_wait), None)
    assert [failure.item for failure in tally.failures] == [ids[2]]
    assert tally.outcomes["embedded"] == 4
    assert tally.exit_code == 1


async def test_a_server_that_takes_fewer_at_once_gets_them_one_by_one() -> None:
    async with client_of(make_app(max_inputs=2)) as http:
        for seed in range(5):
            await store(http, seed)
        tally = await embed_missing(Client(http, no_wait), None)
    assert (tally.outcomes["embedded"], tally.failures) == (5, [])


async def test_other_callers_go_first() -> None:
    told: list[str] = []

    async def note(request: httpx2.Request) -> None:
        if request.url.path == "/v1/embeddings":
            told.append(request.headers["x-request-priority"])

    async with client_of(make_app()) as http:
        await store(http, 1)
        http.event_hooks = {"request": [note]}
        await embed_missing(Client(http, no_wait), None)
    assert told == ["bulk"]
