"""Search among the assets that show a character."""

from collections.abc import AsyncGenerator
from itertools import combinations
from typing import Any

import httpx2
import pytest

from character_site import BUNDLED, checked, created, give, scene
from in_process import connect_in_process

HATS = ("red", "blue", "green", "yellow", "black", "white", "orange", "purple")


@pytest.fixture
async def client() -> AsyncGenerator[httpx2.AsyncClient]:
    async with connect_in_process(**BUNDLED) as client:
        yield client


async def asked(
    client: httpx2.AsyncClient, query: str, character: object, **body: Any
) -> httpx2.Response:
    where = {"character": character, **body.pop("filter", {})}
    body = {"query": {"asset": query}, "filter": where, **body}
    return await client.post("/v1/search", json=body)


async def found(
    client: httpx2.AsyncClient, query: str, character: object, **body: Any
) -> set[str]:
    answer = await asked(client, query, character, **body)
    assert answer.status_code == 200, answer.text
    return {hit["asset"]["id"] for hit in answer.json()["hits"]}


async def test_references_and_what_reviews_accepted_are_found(
    client: httpx2.AsyncClient,
) -> None:
    query, own, accepted, *_ = [await give(client, scene(at)) for at in range(4)]
    character = await created(client, own)
    review = {"decision": "accept", "groups": [[own, accepted]]}
    await client.post("/v1/character-reviews", json=review)

    assert await found(client, query, {"id": character}) == {own, accepted}


async def test_checks_count_from_the_score_that_is_asked_for(
    client: httpx2.AsyncClient,
) -> None:
    query, own, *others = [await give(client, scene(at)) for at in range(5)]
    character = await created(client, own)
    told = await checked(client, character, *others)
    scores = {one["asset"]: one["appearance_similarity"]["foreground"] for one in told}
    least = sorted(scores.values())[1]

    hits = await found(client, query, {"id": character, "min_score": least})

    assert hits == {own, *(asset for asset in scores if scores[asset] >= least)}
    assert await found(client, query, {"id": character}) == {own}


async def test_checks_count_from_the_threshold_of_their_calibration(
    client: httpx2.AsyncClient,
) -> None:
    shown = {
        await give(client, scene(at * 4 + n, 16 * (1 + n), hat=hat)): hat
        for at, hat in enumerate(HATS)
        for n in range(4)
    }
    pairs = [
        {"left": left, "right": right, "same": shown[left] == shown[right]}
        for left, right in combinations(shown, 2)
    ]
    body = {"pairs": pairs, "score": "foreground", "target_fpr": 0.4}
    threshold = (await client.post("/v1/calibrations", json=body)).json()["threshold"]
    own, *others = list(shown)[:12]
    character = await created(client, own)
    told = await checked(client, character, *others)
    alike = {
        one["asset"]
        for one in told
        if one["appearance_similarity"]["foreground"] >= threshold
    }

    hits = await found(client, list(shown)[-1], {"id": character})

    assert 0 < len(alike) < len(others)
    assert hits == {own, *alike}


async def test_other_conditions_must_hold_as_well(client: httpx2.AsyncClient) -> None:
    query, one = await give(client, scene(1)), await give(client, scene(2), tags=["a"])
    character = await created(client, one, await give(client, scene(3)))

    where = {"tags": ["a"]}

    assert await found(client, query, {"id": character}, filter=where) == {one}


async def test_a_region_is_sought_among_the_characters_assets(
    client: httpx2.AsyncClient,
) -> None:
    query, own, _ = [await give(client, scene(at)) for at in range(3)]
    character = await created(client, own)
    region = {"asset": query, "box": [96, 64, 224, 192]}
    body = {"query": {"region": region}, "filter": {"character": {"id": character}}}

    hits = (await client.post("/v1/search", json=body)).json()["hits"]

    assert [hit["asset"]["id"] for hit in hits] == [own]


async def test_an_erased_asset_is_no_member(client: httpx2.AsyncClient) -> None:
    query, own, gone = [await give(client, scene(at)) for at in range(3)]
    character = await created(client, own, gone)
    await checked(client, character, gone)

    await client.delete(f"/v1/assets/{gone}")

    assert await found(client, query, {"id": character, "min_score": -1}) == {own}


async def test_a_character_of_nothing_gives_no_hits(client: httpx2.AsyncClient) -> None:
    query, _ = await give(client, scene(1)), await give(client, scene(2))

    assert await found(client, query, {"id": await created(client)}) == set()


async def test_an_unknown_character_is_not_found(client: httpx2.AsyncClient) -> None:
    query = await give(client, scene(1))

    answer = await asked(client, query, {"id": "0" * 32})

    told = answer.json()
    assert answer.status_code == 404
    assert told["type"] == "/problems/character-not-found"
    assert (told["field"], told["value"]) == ("filter.character.id", "0" * 32)


async def test_a_character_of_another_collection_is_refused(
    client: httpx2.AsyncClient,
) -> None:
    query = await give(client, scene(1))
    character = await created(client, collection="film")

    answer = await asked(client, query, {"id": character})

    told = answer.json()
    assert answer.status_code == 422
    named = (told["field"], told["limit"], told["value"])
    assert named == ("filter.character.id", "default", "film")


@pytest.mark.parametrize(
    ("character", "field"),
    [
        ({}, "id"),
        ({"id": "Ava"}, "id"),
        ({"id": "0" * 32, "min_score": 1.5}, "min_score"),
        ({"id": "0" * 32, "min_score": "0.5"}, "min_score"),
        ({"id": "0" * 32, "min_score": True}, "min_score"),
        ({"id": "0" * 32, "name": "Ava"}, "name"),
    ],
)
async def test_a_character_that_cannot_be_meant_names_the_field(
    client: httpx2.AsyncClient, character: dict[str, object], field: str
) -> None:
    answer = await asked(client, "0" * 32, character)

    assert answer.status_code == 422
    assert answer.json()["field"] == f"filter.character.{field}"
