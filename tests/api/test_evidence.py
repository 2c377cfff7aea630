"""What shows a character, as the graph tells it: references, reviews and checks."""

from collections.abc import AsyncGenerator
from typing import Any

import httpx2
import pytest

from character_site import BUNDLED, checked, created, give, mask, scene
from in_process import connect_in_process


@pytest.fixture
async def client() -> AsyncGenerator[httpx2.AsyncClient]:
    async with connect_in_process(**BUNDLED) as client:
        yield client


def at(asset: str, left: int = 96) -> dict[str, object]:
    """Name an asset, and where the figure is."""
    return {"asset": asset, "box": [left, 64, left + 128, 192]}


async def depicting(
    client: httpx2.AsyncClient, character: str
) -> dict[str, dict[str, Any]]:
    """Return the relations that say what shows the character, by asset."""
    path = f"/v1/graph/nodes/character:{character}/neighbors"
    answer = await client.get(path, params={"kind": "depicts"})
    if answer.status_code == 404:
        return {}
    assert answer.status_code == 200, answer.text
    told = {each["source"]: each for each in answer.json()["relations"]}
    return {source.removeprefix("asset:"): each for source, each in told.items()}


async def test_references_are_related_to_their_character(
    client: httpx2.AsyncClient,
) -> None:
    boxed, masked, found = [await give(client, scene(n)) for n in (1, 2, 3)]
    shown = [at(boxed), {"asset": masked, "mask": mask(96)}, {"asset": found}]

    character = await created(client, *shown)

    told = await depicting(client, character)
    assert {key: each["attributes"] for key, each in told.items()} == {
        boxed: {"subject": "box", "box": [96, 64, 224, 192]},
        masked: {"subject": "mask"},
        found: {"subject": "found"},
    }
    assert {(each["weight"], each["origin"]) for each in told.values()} == {
        (1.0, "reference")
    }


async def test_a_check_relates_its_asset_with_its_evidence(
    client: httpx2.AsyncClient,
) -> None:
    one, two, asset = [await give(client, scene(n)) for n in (1, 2, 3)]
    character = await created(client, at(one), at(two))

    [found] = await checked(client, character, at(asset))

    told = (await depicting(client, character))[asset]
    likeness = found["appearance_similarity"]
    assert told["weight"] == pytest.approx(likeness["foreground"], abs=1e-5)
    assert told["origin"] == "check"
    assert told["recipe"]
    assert told["collection"] == "default"
    assert told["attributes"]["reference"] == found["best_reference"]
    assert told["attributes"]["judgements"] == []
    kept = told["attributes"]["appearance_similarity"]
    assert kept["pairs"] == likeness["pairs"]
    assert kept["asset_share"] == pytest.approx(likeness["asset_share"], abs=1e-5)


async def test_a_check_of_a_reference_leaves_what_it_is(
    client: httpx2.AsyncClient,
) -> None:
    one = await give(client, scene(1))
    character = await created(client, at(one))

    await checked(client, character, at(one))

    assert (await depicting(client, character))[one]["origin"] == "reference"


async def test_a_reference_that_is_taken_back_takes_what_rests_on_it(
    client: httpx2.AsyncClient,
) -> None:
    one, two = await give(client, scene(1)), await give(client, scene(2, hat="blue"))
    asset = await give(client, scene(3))
    character = await created(client, at(one), at(two))
    [found] = await checked(client, character, at(asset))
    rest = [at(key) for key in (one, two) if key != found["best_reference"]]

    path = f"/v1/characters/{character}"
    await client.patch(path, json={"references": rest})

    told = await depicting(client, character)
    assert set(told) == {each["asset"] for each in rest}


async def test_a_reference_that_is_given_back_brings_its_checks_back(
    client: httpx2.AsyncClient,
) -> None:
    one, asset = await give(client, scene(1)), await give(client, scene(2))
    character = await created(client, at(one))
    await checked(client, character, at(asset))
    before = await depicting(client, character)
    path = f"/v1/characters/{character}"
    await client.patch(path, json={"references": []})
    assert await depicting(client, character) == {}

    await client.patch(path, json={"references": [at(one)]})

    assert (await depicting(client, character))[asset] == before[asset]


async def test_an_accepted_review_relates_and_a_split_one_takes_it_back(
    client: httpx2.AsyncClient,
) -> None:
    one, two = await give(client, scene(1)), await give(client, scene(2))
    character = await created(client, at(one))
    await checked(client, character, at(two))

    async def review(decision: str, *groups: list[str]) -> None:
        body = {"decision": decision, "groups": groups}
        answer = await client.post("/v1/character-reviews", json=body)
        assert answer.status_code == 201, answer.text

    await review("accept", [one, two])
    accepted = (await depicting(client, character))[two]
    await review("split", [one], [two])

    assert (accepted["weight"], accepted["origin"]) == (1.0, "review")
    assert set(await depicting(client, character)) == {one}


async def test_erasing_the_best_reference_erases_what_rests_on_it(
    client: httpx2.AsyncClient,
) -> None:
    one, two = await give(client, scene(1)), await give(client, scene(2, hat="blue"))
    asset = await give(client, scene(3))
    character = await created(client, at(one), at(two))
    [found] = await checked(client, character, at(asset))
    best = found["best_reference"]

    await client.delete(f"/v1/assets/{best}")

    told = await depicting(client, character)
    assert set(told) == {one, two} - {best}
    assert best not in str(told)


async def test_erasing_an_asset_erases_its_relations(
    client: httpx2.AsyncClient,
) -> None:
    one, asset = await give(client, scene(1)), await give(client, scene(2))
    character = await created(client, at(one))
    await checked(client, character, at(asset))

    await client.delete(f"/v1/assets/{asset}")

    assert set(await depicting(client, character)) == {one}
    path = f"/v1/graph/nodes/asset:{asset}/neighbors"
    assert (await client.get(path)).status_code == 404


async def test_erasing_a_character_erases_its_relations(
    client: httpx2.AsyncClient,
) -> None:
    one = await give(client, scene(1))
    character = await created(client, at(one))

    await client.delete(f"/v1/characters/{character}")

    path = f"/v1/graph/nodes/asset:{one}/neighbors"
    answer = await client.get(path)
    assert answer.status_code == 404 or not answer.json()["relations"]


async def test_what_somebody_said_of_a_character_stays(
    client: httpx2.AsyncClient,
) -> None:
    one, asset = await give(client, scene(1)), await give(client, scene(2))
    character = await created(client, at(one))
    said = {
        "source": f"asset:{asset}",
        "target": f"character:{character}",
        "kind": "depicts",
        "weight": 0.25,
    }
    answer = await client.post("/v1/graph/relations", json={"relations": [said]})
    assert answer.status_code == 200, answer.text

    await checked(client, character, at(asset))

    told = (await depicting(client, character))[asset]
    assert (told["weight"], told["origin"]) == (0.25, "user")
