"""Search by a part of a picture, over HTTP."""

import base64
import io
from collections.abc import AsyncGenerator
from typing import Any

import httpx2
import numpy as np
import pytest
from PIL import Image

from in_process import connect_in_process
from odd_files import photo

SIDE = 112
LEFT = [0, 0, SIDE, SIDE]


@pytest.fixture
async def real() -> AsyncGenerator[httpx2.AsyncClient]:
    async with connect_in_process(model="bundled") as client:
        yield client


def part(seed: int) -> Image.Image:
    return Image.open(io.BytesIO(photo(seed, SIDE, SIDE))).convert("RGB")


def sheet(*seeds: int) -> bytes:
    """Return pictures of 112 pixels side by side, as a PNG."""
    drawn = Image.new("RGB", (SIDE * len(seeds), SIDE))
    for at, seed in enumerate(seeds):
        drawn.paste(part(seed), (at * SIDE, 0))
    return as_png(drawn)


def as_png(drawn: Image.Image) -> bytes:
    with io.BytesIO() as file:
        drawn.save(file, "PNG")
        return file.getvalue()


def mask(width: int, height: int, box: list[int]) -> str:
    shown = np.zeros((height, width), np.uint8)
    shown[box[1] : box[3], box[0] : box[2]] = 255
    return base64.b64encode(as_png(Image.fromarray(shown))).decode()


def as_uri(data: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(data).decode()


async def give(client: httpx2.AsyncClient, data: bytes, collection: str) -> str:
    answer = await client.post(
        "/v1/assets", files={"file": data}, data={"collection": collection}
    )
    assert answer.status_code in {200, 201}, answer.text
    return str(answer.json()["id"])


async def asked(
    client: httpx2.AsyncClient, region: dict[str, Any], **more: Any
) -> httpx2.Response:
    return await client.post("/v1/search", json={"query": {"region": region}, **more})


async def refused(
    client: httpx2.AsyncClient, region: dict[str, Any], **more: Any
) -> dict[str, Any]:
    answer = await asked(client, region, **more)
    assert answer.status_code == 422, answer.text
    return answer.json()


async def done(client: httpx2.AsyncClient, kind: str, collection: str) -> None:
    body = {"kind": kind, "collection": collection}
    job = (await client.post("/v1/jobs", json=body)).json()
    url = f"/v1/jobs/{job['id']}"
    await client.get(f"{url}/events")  # they end with the job
    job = (await client.get(url)).json()
    assert job["state"] == "succeeded", job


async def with_regions(client: httpx2.AsyncClient) -> list[str]:
    """Store two sheets with their regions, and one without."""
    ids = [await give(client, sheet(*pair), "shelf") for pair in ((1, 2), (3, 4))]
    await done(client, "regions", collection="shelf")
    return [*ids, await give(client, sheet(5, 6), "shelf")]


@pytest.mark.parametrize("kind", ["box", "mask"])
async def test_a_part_finds_the_picture_of_it_alone(
    real: httpx2.AsyncClient, kind: str
) -> None:
    ids = [await give(real, as_png(part(seed)), "default") for seed in (1, 2, 3)]
    place = LEFT if kind == "box" else mask(2 * SIDE, SIDE, LEFT)
    region = {"image": as_uri(sheet(2, 9)), kind: place}
    answer = (await asked(real, region)).json()
    first = answer["hits"][0]
    assert (first["asset"]["id"], first["box"]) == (ids[1], None)
    assert first["score"] == pytest.approx(1, abs=1e-3)


async def test_the_asset_that_the_part_is_of_is_left_out(
    real: httpx2.AsyncClient,
) -> None:
    ids = [await give(real, sheet(*pair), "default") for pair in ((1, 2), (3, 4))]
    answer = await asked(real, {"asset": ids[0], "box": LEFT}, k=1)
    assert [hit["asset"]["id"] for hit in answer.json()["hits"]] == [ids[1]]


async def test_a_part_is_found_in_stored_regions_with_its_place(
    real: httpx2.AsyncClient,
) -> None:
    first, second, _ = await with_regions(real)
    region = {"image": as_uri(sheet(1, 2)), "box": LEFT, "against": "regions"}
    answer = (await asked(real, region, collection="shelf")).json()
    assert {hit["asset"]["id"] for hit in answer["hits"]} == {first, second}
    best = answer["hits"][0]
    assert best["asset"]["id"] == first
    left, top, right, bottom = best["box"]
    assert 0 <= left < right <= 2 * SIDE
    assert 0 <= top < bottom <= SIDE
    assert (left + right) / 2 < SIDE
    assert (answer["exact"], answer["without_regions"]) == (True, 1)


async def test_hits_of_regions_are_bounded_by_k_and_score(
    real: httpx2.AsyncClient,
) -> None:
    await with_regions(real)
    region = {"image": as_uri(sheet(1, 2)), "box": LEFT, "against": "regions"}
    answer = (await asked(real, region, collection="shelf", k=1)).json()
    score = answer["hits"][0]["score"]
    assert len(answer["hits"]) == 1
    more = {"collection": "shelf", "min_score": min(1.0, score + 1e-4)}
    assert (await asked(real, region, **more)).json()["hits"] == []


async def test_regions_go_with_their_asset(real: httpx2.AsyncClient) -> None:
    first, second, _ = await with_regions(real)
    assert (await real.delete(f"/v1/assets/{first}")).status_code == 204
    again = await give(real, sheet(1, 2), "shelf")
    region = {"image": as_uri(sheet(1, 2)), "box": LEFT, "against": "regions"}
    answer = (await asked(real, region, collection="shelf")).json()
    assert again == first
    assert [hit["asset"]["id"] for hit in answer["hits"]] == [second]
    assert answer["without_regions"] == 2


async def test_a_collection_without_regions_is_refused(
    real: httpx2.AsyncClient,
) -> None:
    await give(real, sheet(1, 2), "default")
    region = {"image": as_uri(sheet(1, 2)), "box": LEFT, "against": "regions"}
    problem = await refused(real, region)
    assert problem["field"] == "query.region.against"
    assert "`regions`" in problem["detail"]


@pytest.mark.parametrize(
    "box", [[0, 0, 300, 50], [50, 0, 50, 50], [0, 60, 50, 20], [224, 0, 225, 9]]
)
async def test_a_box_that_is_not_in_the_picture_is_refused(
    client: httpx2.AsyncClient, box: list[int]
) -> None:
    problem = await refused(client, {"image": as_uri(sheet(1, 2)), "box": box})
    assert problem["field"] == "query.region.box"
    assert (problem["limit"], problem["value"]) == ([2 * SIDE, SIDE], box)


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"mask": mask(SIDE, SIDE, LEFT)}, "query.region.mask"),
        ({"mask": mask(2 * SIDE, SIDE, [0, 0, 0, 0])}, "query.region.mask"),
        ({"mask": "%"}, "query.region.mask"),
        ({"mask": mask(2 * SIDE, SIDE, LEFT), "box": LEFT}, "query.region"),
        ({}, "query.region"),
        ({"box": LEFT, "asset": "0" * 32}, "query.region"),
    ],
    ids=["size", "black", "no base64", "both", "neither", "two sources"],
)
async def test_a_place_or_picture_that_cannot_be_used_is_refused(
    client: httpx2.AsyncClient, given: dict[str, Any], field: str
) -> None:
    problem = await refused(client, {"image": as_uri(sheet(1, 2)), **given})
    assert problem["field"] == field


@pytest.mark.parametrize("which", ["image", "mask"])
async def test_a_picture_that_cannot_be_decoded_is_refused(
    client: httpx2.AsyncClient, which: str
) -> None:
    nothing = b"no picture"
    region: dict[str, Any] = {"image": as_uri(nothing), "box": LEFT}
    if which == "mask":
        png = base64.b64encode(nothing).decode()
        region = {"image": as_uri(sheet(1, 2)), "mask": png}
    answer = await asked(client, region)
    assert answer.status_code == 415
    assert answer.json()["field"] == f"query.region.{which}"


async def test_an_asset_that_is_not_there_is_told(client: httpx2.AsyncClient) -> None:
    answer = await asked(client, {"asset": "0" * 32, "box": LEFT})
    assert answer.status_code == 404


async def test_regions_are_not_led_away_from(client: httpx2.AsyncClient) -> None:
    [asset] = [await give(client, sheet(1, 2), "default")]
    region = {"asset": asset, "box": LEFT, "against": "regions"}
    body = {"query": {"region": region, "unlike": [asset]}}
    answer = await client.post("/v1/search", json=body)
    assert answer.status_code == 422
    assert answer.json()["field"] == "query.unlike"
