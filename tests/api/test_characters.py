"""Characters over HTTP: kept, listed, changed, erased."""

from typing import Any

import httpx2
import pytest

from character_site import created, give, mask, scene
from odd_files import photo

BOX = [96, 64, 224, 192]


async def got(client: httpx2.AsyncClient, character: str) -> dict[str, Any]:
    return (await client.get(f"/v1/characters/{character}")).json()


async def test_a_character_is_shown_as_it_was_given(client: httpx2.AsyncClient) -> None:
    one, two = await give(client, scene(1)), await give(client, scene(2))
    body = {
        "name": "Ava",
        "references": [{"asset": one, "box": BOX}, {"asset": two, "mask": mask(96)}],
        "attributes": {"coat": "red", "age": 7},
    }

    answer = await client.post("/v1/characters", json=body)

    assert answer.status_code == 201
    shown = answer.json()
    assert answer.headers["location"] == f"/v1/characters/{shown['id']}"
    assert shown["references"] == [
        {"asset": one, "box": BOX, "has_mask": False},
        {"asset": two, "box": None, "has_mask": True},
    ]
    assert (shown["name"], shown["collection"]) == ("Ava", "default")
    assert shown["attributes"] == {"coat": "red", "age": 7}
    assert await got(client, shown["id"]) == shown


async def test_pages_lead_through_the_characters_of_a_collection(
    client: httpx2.AsyncClient,
) -> None:
    own = [await created(client, collection="film") for _ in range(5)]
    await created(client)
    found: list[str] = []
    params: dict[str, str | int] = {"collection": "film", "limit": 2}
    while True:
        page = (await client.get("/v1/characters", params=params)).json()
        found += [each["id"] for each in page["characters"]]
        if page["next_cursor"] is None:
            break
        params["cursor"] = page["next_cursor"]

    assert found == own[::-1]


async def test_a_change_leaves_what_it_does_not_name(
    client: httpx2.AsyncClient,
) -> None:
    own = await created(client, await give(client, scene(1)), attributes={"age": 7})
    before = await got(client, own)

    answer = await client.patch(f"/v1/characters/{own}", json={"name": "Eva"})

    assert answer.json() == {**before, "name": "Eva"}
    assert await got(client, own) == answer.json()


async def test_references_of_a_change_take_the_place_of_all(
    client: httpx2.AsyncClient,
) -> None:
    one, two = await give(client, scene(1)), await give(client, scene(2))
    own = await created(client, one)

    await client.patch(f"/v1/characters/{own}", json={"references": [two]})

    assert [each["asset"] for each in (await got(client, own))["references"]] == [two]


async def test_an_erased_character_is_gone_and_its_assets_stay(
    client: httpx2.AsyncClient,
) -> None:
    asset = await give(client, scene(1))
    own = await created(client, asset)

    assert (await client.delete(f"/v1/characters/{own}")).status_code == 204
    for call in (client.get, client.delete):
        answer = await call(f"/v1/characters/{own}")
        assert answer.status_code == 404
        assert answer.json()["type"] == "/problems/character-not-found"
    assert (await client.get(f"/v1/assets/{asset}")).status_code == 200


async def test_an_erased_asset_leaves_its_characters(
    client: httpx2.AsyncClient,
) -> None:
    one, two = await give(client, scene(1)), await give(client, scene(2))
    own = await created(client, one, {"asset": two, "box": BOX})

    await client.delete(f"/v1/assets/{one}")

    assert [each["asset"] for each in (await got(client, own))["references"]] == [two]


@pytest.mark.parametrize(
    ("region", "field"),
    [
        ({"box": [0, 0, 321, 100]}, "box"),
        ({"box": [50, 50, 50, 100]}, "box"),
        ({"box": BOX, "mask": mask(96)}, "mask"),
        ({"mask": mask(96, (100, 100))}, "mask"),
        ({"mask": mask(96, mode="RGBA")}, "mask"),
        ({"mask": mask(500)}, "mask"),
        ({"mask": "no base64!"}, "mask"),
        ({"mask": "aGVsbG8="}, "mask"),
    ],
    ids=[
        "box-outside",
        "box-empty",
        "both",
        "other-size",
        "transparent",
        "black",
        "no-base64",
        "no-png",
    ],
)
async def test_a_region_that_is_none_is_refused_and_nothing_is_kept(
    client: httpx2.AsyncClient, region: dict[str, object], field: str
) -> None:
    asset = await give(client, scene(1))
    body = {"name": "Ava", "references": [{"asset": asset, **region}]}

    answer = await client.post("/v1/characters", json=body)

    assert answer.status_code == 422
    assert answer.json()["field"] == f"references[0].{field}"
    assert (await client.get("/v1/characters")).json()["characters"] == []


async def test_a_mask_that_is_cut_short_is_told_as_damaged(
    client: httpx2.AsyncClient,
) -> None:
    asset = await give(client, scene(1))
    cut = mask(96)[:-40]
    body = {"name": "Ava", "references": [{"asset": asset, "mask": cut}]}

    answer = await client.post("/v1/characters", json=body)

    assert answer.status_code == 422
    assert answer.json()["field"] == "references[0].mask"


async def test_a_reference_of_another_collection_is_refused(
    client: httpx2.AsyncClient,
) -> None:
    asset = await give(client, photo(1), collection="film")

    answer = await client.post(
        "/v1/characters", json={"name": "Ava", "references": [asset]}
    )

    assert answer.status_code == 422
    assert answer.json()["field"] == "references[0]"
    assert (answer.json()["limit"], answer.json()["value"]) == ("default", "film")


async def test_a_reference_that_is_no_asset_is_named(
    client: httpx2.AsyncClient,
) -> None:
    body = {"name": "Ava", "references": ["f" * 32]}

    answer = await client.post("/v1/characters", json=body)

    assert answer.status_code == 404
    assert (answer.json()["field"], answer.json()["value"]) == (
        "references[0]",
        "f" * 32,
    )


async def test_an_asset_is_a_reference_once(client: httpx2.AsyncClient) -> None:
    asset = await give(client, photo(1))

    answer = await client.post(
        "/v1/characters", json={"name": "Ava", "references": [asset, asset]}
    )

    assert answer.status_code == 422
    assert answer.json()["field"] == "references[1]"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"name": "Ava", "collection": "no/such"}, "collection"),
        ({"name": "Ava", "references": ["f" * 32] * 17}, "references"),
        ({"name": "Ava", "attributes": {"age": 2**60}}, "attributes"),
        ({"name": "Ava", "colour": "red"}, "colour"),
    ],
    ids=["empty", "controls", "collection", "many", "number", "misspelt"],
)
async def test_what_cannot_be_said_of_a_character_is_refused(
    client: httpx2.AsyncClient, body: dict[str, object], field: str
) -> None:
    answer = await client.post("/v1/characters", json=body)

    assert answer.status_code == 422
    assert answer.json()["field"] == field


async def test_a_change_that_cannot_be_made_changes_nothing(
    client: httpx2.AsyncClient,
) -> None:
    own = await created(client, await give(client, scene(1)))
    before = await got(client, own)

    answer = await client.patch(
        f"/v1/characters/{own}", json={"name": "Eva", "references": ["f" * 32]}
    )

    assert answer.status_code == 404
    assert await got(client, own) == before
