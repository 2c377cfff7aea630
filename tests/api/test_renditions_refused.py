"""Renditions that are refused, and what signed links allow."""

import asyncio
import io
import time
from collections.abc import AsyncGenerator
from urllib.parse import urlencode

import httpx2
import pytest
from fastapi import FastAPI
from PIL import Image

from dinoserve.domain.links import Signer
from in_process import Connect, make_app
from odd_files import photo


async def give(client: httpx2.AsyncClient, data: bytes) -> str:
    answer = await client.post("/v1/assets", files={"file": data})
    assert answer.status_code in {200, 201}, answer.text
    return f"/v1/assets/{answer.json()['id']}/content"


@pytest.fixture
async def url(client: httpx2.AsyncClient) -> str:
    return await give(client, photo(1))


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("width=0", "width"),
        ("width=-5", "width"),
        ("width=1000000000", "width"),
        ("height=1e9", "height"),
        ("width=", "width"),
        ("fit=cover", "width"),
        ("format=webp", "width"),
        ("width=64&fit=stretch", "fit"),
        ("width=64&format=gif", "format"),
        ("width=64&quality=0", "quality"),
        ("width=64&format=png&quality=80", "quality"),
        ("width=64&width=128", "width"),
        ("breadth=64", "breadth"),
        ("width=64&expires=5", "expires"),
        ("download=1", "download"),
    ],
)
async def test_a_parameter_that_cannot_be_is_refused_by_name(
    client: httpx2.AsyncClient, url: str, query: str, field: str
) -> None:
    answer = await client.get(f"{url}?{query}")

    assert (answer.status_code, answer.json()["type"]) == (
        422,
        "/problems/invalid-input",
    )
    assert answer.json()["field"] == field


async def test_of_an_asset_that_is_not_there_nothing_is_sent(
    client: httpx2.AsyncClient,
) -> None:
    answer = await client.get(f"/v1/assets/{'0' * 32}/content?width=64")

    assert answer.json()["type"] == "/problems/asset-not-found"


@pytest.mark.parametrize(
    ("query", "field", "limit"),
    [
        ("width=100", "width", [64, 128]),
        ("height=256", "height", [64, 128]),
        ("width=64&quality=51", "quality", [50]),
    ],
)
async def test_what_is_not_offered_takes_a_link(
    connect: Connect, query: str, field: str, limit: list[int]
) -> None:
    async with connect(rendition_sizes="64, 128", rendition_qualities="50") as client:
        url = await give(client, photo(1))
        answer = await client.get(f"{url}?{query}")

    problem = answer.json()
    assert (answer.status_code, problem["type"]) == (403, "/problems/rendition-refused")
    assert (problem["field"], problem["limit"]) == (field, limit)


@pytest.mark.parametrize("text", ["0", "64,", "64;128", "wide", "64,-1"])
def test_a_list_of_sizes_that_is_none_stops_the_start(text: str) -> None:
    with pytest.raises(ValueError, match="rendition_sizes"):
        make_app(rendition_sizes=text)


@pytest.mark.parametrize(
    ("name", "text", "limit"),
    [("rendition_sizes", "64,4097", 4096), ("rendition_qualities", "80,101", 100)],
)
def test_an_offer_that_can_never_be_asked_for_stops_the_start(
    name: str, text: str, limit: int
) -> None:
    with pytest.raises(ValueError, match=f"from 1 to {limit}"):
        make_app(**{name: text})


@pytest.fixture
async def keyed() -> AsyncGenerator[tuple[httpx2.AsyncClient, FastAPI]]:
    """A client without a key, on an app that asks for one."""
    app = make_app(api_keys="secret")
    transport = httpx2.ASGITransport(app, raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client,
    ):
        yield client, app


async def signed(client: httpx2.AsyncClient, app: FastAPI, **query: str) -> str:
    client.headers["x-api-key"] = "secret"
    url = await give(client, photo(1))
    del client.headers["x-api-key"]
    signer: Signer = app.state.services.links
    return signer.link("GET", url, query, int(time.time()) + 60)


async def test_a_link_gets_what_is_not_offered(
    keyed: tuple[httpx2.AsyncClient, FastAPI],
) -> None:
    client, app = keyed
    link = await signed(client, app, width="333", quality="51", format="webp")

    answer = await client.get(link)

    assert answer.status_code == 200, answer.text
    with Image.open(io.BytesIO(answer.content)) as image:
        assert image.size == (333, 250)


async def test_a_link_is_good_for_its_own_parameters_only(
    keyed: tuple[httpx2.AsyncClient, FastAPI],
) -> None:
    client, app = keyed
    link = await signed(client, app, width="333")

    changed = await client.get(link.replace("width=333", "width=334"))
    more = await client.get(f"{link}&height=10")

    assert (changed.status_code, more.status_code) == (403, 403)


async def test_a_link_is_not_good_beyond_the_hard_limits(
    keyed: tuple[httpx2.AsyncClient, FastAPI],
) -> None:
    client, app = keyed

    answer = await client.get(await signed(client, app, width="5000"))

    assert (answer.status_code, answer.json()["limit"]) == (422, 4096)


async def test_a_key_alone_gets_what_is_offered_and_no_more(
    keyed: tuple[httpx2.AsyncClient, FastAPI],
) -> None:
    client, app = keyed
    path = (await signed(client, app)).partition("?")[0]
    statuses = [
        (
            await client.get(
                f"{path}?{urlencode({'width': width})}", headers={"x-api-key": key}
            )
        ).status_code
        for width, key in ((64, "secret"), (333, "secret"), (64, "wrong"))
    ]

    assert statuses == [200, 403, 401]


async def test_too_many_that_wait_are_told_when_to_come_back(connect: Connect) -> None:
    async with connect(max_waiting_renditions=1) as client:
        url = await give(client, photo(1, 2000, 1500))
        widths = (64, 128, 256, 320, 512, 640, 768, 1024)
        answers = await asyncio.gather(
            *(client.get(f"{url}?width={w}&height={h}") for w in widths for h in widths)
        )

    refused = [each for each in answers if each.status_code != 200]
    assert {each.status_code for each in refused} == {429}
    assert min(int(each.headers["retry-after"]) for each in refused) >= 1
