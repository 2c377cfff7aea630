"""Checks of assets against a character that cannot be made, and are told so."""

from collections.abc import AsyncGenerator

import httpx2
import pytest

from character_site import BUNDLED, check, created, give, kept_checks, scene
from in_process import connect_in_process


@pytest.fixture
async def client() -> AsyncGenerator[httpx2.AsyncClient]:
    async with connect_in_process(**BUNDLED) as client:
        yield client


async def test_a_character_without_references_cannot_be_checked(
    client: httpx2.AsyncClient,
) -> None:
    asset = await give(client, scene(1))

    answer = await check(client, await created(client), asset)

    assert answer.status_code == 409
    assert answer.json()["type"] == "/problems/no-references"


async def test_an_asset_without_a_vector_is_named(client: httpx2.AsyncClient) -> None:
    answer = await client.post(
        "/v1/assets", params={"embed": False}, files={"file": scene(2)}
    )
    bare = answer.json()["id"]
    character = await created(client, await give(client, scene(1)))

    answer = await check(client, character, bare)

    assert answer.status_code == 409
    assert answer.json()["type"] == "/problems/asset-not-embedded"
    assert answer.json()["value"] == bare


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"assets": []}, "assets"),
        ({"assets": ["f" * 32] * 33}, "assets"),
        ({"assets": ["f" * 32], "drifted_below": 2}, "drifted_below"),
        ({"assets": ["f" * 32], "fit": "crop"}, "fit"),
        ({"assets": ["f" * 32] * 2}, "assets[1]"),
        ({"assets": [f"{at:032x}" for at in range(5)], "overlay": True}, "assets"),
    ],
    ids=["none", "many", "threshold", "fit", "twice", "overlays"],
)
async def test_a_check_that_cannot_be_made_is_refused(
    client: httpx2.AsyncClient, body: dict[str, object], field: str
) -> None:
    character = await created(client, await give(client, scene(1)))

    answer = await client.post(f"/v1/characters/{character}/check", json=body)

    assert answer.status_code == 422
    assert answer.json()["field"] == field
    assert await kept_checks(client, character) == []


async def test_an_asset_of_another_collection_is_refused(
    client: httpx2.AsyncClient,
) -> None:
    character = await created(client, await give(client, scene(1)))
    other = await give(client, scene(2), collection="film")

    answer = await check(client, character, other)

    assert answer.status_code == 422
    assert (answer.json()["field"], answer.json()["value"]) == ("assets[0]", "film")


async def test_a_size_of_too_many_patches_is_refused(
    client: httpx2.AsyncClient,
) -> None:
    asset = await give(client, scene(1))

    answer = await check(client, await created(client, asset), asset, size="528")

    assert answer.status_code == 422
    problem = answer.json()
    assert (problem["field"], problem["limit"], problem["value"]) == (
        "size",
        1024,
        1089,
    )


async def test_a_box_that_the_framing_cuts_off_is_refused(
    client: httpx2.AsyncClient,
) -> None:
    asset = await give(client, scene(1))
    shown = {"asset": asset, "box": [0, 0, 20, 20]}

    answer = await check(
        client, await created(client, asset), shown, size="224", fit="crop"
    )

    assert answer.status_code == 422
    assert answer.json()["field"] == "assets[0].box"


async def test_a_character_that_is_not_there_is_told(
    client: httpx2.AsyncClient,
) -> None:
    answer = await check(client, "f" * 32, "e" * 32)

    assert answer.status_code == 404
    assert answer.json()["type"] == "/problems/character-not-found"
