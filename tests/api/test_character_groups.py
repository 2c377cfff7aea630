"""Groups of unknown pictures over HTTP, and reviews that are remembered."""

import sqlite3
from collections.abc import AsyncGenerator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx2
import pytest

from character_site import BUNDLED, give, scene
from in_process import connect_in_process

HATS = ("red", "blue", "green", "yellow")
EACH = 4


@pytest.fixture
async def client() -> AsyncGenerator[httpx2.AsyncClient]:
    async with connect_in_process(**BUNDLED) as client:
        yield client


async def figures(
    client: httpx2.AsyncClient, hats: int = len(HATS), each: int = EACH
) -> list[list[str]]:
    """Give pictures of figures that differ by their hats; return them by hat."""
    return [
        [await give(client, scene(at * EACH + n, hat=hat)) for n in range(each)]
        for at, hat in enumerate(HATS[:hats])
    ]


async def grouped(client: httpx2.AsyncClient, **body: object) -> dict[str, Any]:
    answer = await client.post("/v1/character-groups", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def sets_of(told: dict[str, Any]) -> list[set[str]]:
    return [{one["asset"] for one in group["assets"]} for group in told["groups"]]


async def ask(client: httpx2.AsyncClient, **body: object) -> httpx2.Response:
    return await client.post("/v1/character-reviews", json=body)


async def review(
    client: httpx2.AsyncClient, decision: str, *groups: list[str]
) -> dict[str, int]:
    answer = await ask(client, decision=decision, groups=groups)
    assert answer.status_code == 201, answer.text
    return answer.json()


async def counted(client: httpx2.AsyncClient) -> dict[str, int]:
    params = {"collection": "default"}
    return (await client.get("/v1/character-reviews", params=params)).json()


async def test_every_picture_is_in_one_group_or_in_none(
    client: httpx2.AsyncClient,
) -> None:
    ids = [asset for some in await figures(client) for asset in some]
    files = {"file": scene(99)}
    await client.post("/v1/assets", files=files, params={"embed": "false"})

    told = await grouped(client, min_score=0.5)

    members = [asset for group in sets_of(told) for asset in group]
    assert sorted(members + told["ungrouped"]) == sorted(ids)
    assert told["without_vector"] == 1
    for group in told["groups"]:
        scores = [one["score"] for one in group["assets"]]
        assert scores == sorted(scores, reverse=True)


async def test_with_no_picture_alike_none_is_grouped(
    client: httpx2.AsyncClient,
) -> None:
    [some] = await figures(client, hats=1)

    told = await grouped(client, min_score=1)

    assert (told["groups"], told["ungrouped"]) == ([], sorted(some))


async def test_what_was_accepted_or_merged_stays_together(
    client: httpx2.AsyncClient,
) -> None:
    red, blue, green, yellow = await figures(client)

    assert await review(client, "accept", red) == {"same": 6, "different": 0}
    assert await review(client, "merge", green, yellow) == {"same": 28, "different": 0}

    found = sets_of(await grouped(client, min_score=1))
    assert sorted(map(sorted, found)) == sorted([sorted(red), sorted(green + yellow)])
    assert not any(set(blue) & group for group in found)


async def test_what_was_split_stays_apart_however_alike(
    client: httpx2.AsyncClient,
) -> None:
    red, blue, *_ = await figures(client, hats=2)
    before = sets_of(await grouped(client, min_score=-1, k=50))
    assert before == [{*red, *blue}]

    told = await review(client, "split", red, blue)

    assert told == {"same": 12, "different": 16}
    found = sets_of(await grouped(client, min_score=-1, k=50))
    assert sorted(map(sorted, found)) == sorted([sorted(red), sorted(blue)])


async def test_a_later_decision_of_the_same_two_counts(
    client: httpx2.AsyncClient,
) -> None:
    red, blue, *_ = await figures(client, hats=2)
    await review(client, "split", red, blue)

    await review(client, "merge", red, blue)

    assert await counted(client) == {"same": 28, "different": 0}
    assert sets_of(await grouped(client, min_score=1)) == [{*red, *blue}]


async def test_a_decision_that_others_contradict_is_refused_until_it_tells_of_all(
    client: httpx2.AsyncClient,
) -> None:
    [red] = await figures(client, hats=1)
    await review(client, "accept", red)

    answer = await ask(client, decision="split", groups=[[red[0]], [red[1]]])

    assert answer.status_code == 422, answer.text
    assert answer.json()["value"] == sorted(red[:2])
    assert await counted(client) == {"same": 6, "different": 0}

    await review(client, "split", [red[0]], red[1:])

    found = sets_of(await grouped(client, min_score=-1, k=50))
    assert found == [set(red[1:])]


async def test_some_pictures_are_grouped_alone(client: httpx2.AsyncClient) -> None:
    red, blue, *_ = await figures(client, hats=2)
    await review(client, "merge", red, blue)

    told = await grouped(client, assets=[red[0], blue[0]], min_score=1)

    assert sets_of(told) == [{red[0], blue[0]}]


async def test_reviews_calibrate(client: httpx2.AsyncClient) -> None:
    await review(client, "split", *await figures(client))

    body = {"target_fpr": 0.1}
    answer = await client.post("/v1/calibrations", json=body)

    assert answer.status_code == 201, answer.text
    counts = answer.json()["counts"]
    assert counts["identities"] == 4
    assert counts["validation_same"] + counts["test_same"] == 4 * 6


async def test_without_reviews_a_calibration_has_no_pairs(
    client: httpx2.AsyncClient,
) -> None:
    answer = await client.post("/v1/calibrations", json={})

    assert answer.status_code == 422
    assert (answer.json()["field"], answer.json()["value"]) == ("pairs", 0)


async def test_forgotten_reviews_bind_no_group(client: httpx2.AsyncClient) -> None:
    [red, *_] = await figures(client, hats=1)
    await review(client, "accept", red)

    params = {"collection": "default"}
    gone = await client.delete("/v1/character-reviews", params=params)

    assert gone.status_code == 204
    assert await counted(client) == {"same": 0, "different": 0}
    assert sets_of(await grouped(client, min_score=1)) == []


async def test_nothing_is_left_of_an_erased_asset_in_reviews(tmp_path: Path) -> None:
    changes = {**BUNDLED, "documents": "sqlite:", "objects": "file:"}
    async with connect_in_process(data=tmp_path, **changes) as client:
        [red, *_] = await figures(client, hats=1)
        await review(client, "accept", red)

        await client.delete(f"/v1/assets/{red[0]}")

        assert await counted(client) == {"same": 3, "different": 0}
    with closing(sqlite3.connect(tmp_path / "documents.sqlite")) as connection:
        rows = connection.execute("SELECT * FROM reviewed_pair").fetchall()
    assert len(rows) == 3
    assert red[0] not in str(rows)


async def test_what_fits_no_decision_is_refused_and_not_remembered(
    client: httpx2.AsyncClient,
) -> None:
    red, blue, *_ = await figures(client, hats=2)
    foreign = await give(client, scene(50), collection="other")
    cases: list[tuple[dict[str, Any], int, str]] = [
        ({"decision": "accept", "groups": [red, blue]}, 422, "groups"),
        ({"decision": "accept", "groups": [red[:1]]}, 422, "groups"),
        ({"decision": "split", "groups": [red]}, 422, "groups"),
        ({"decision": "merge", "groups": [red]}, 422, "groups"),
        ({"decision": "merge", "groups": [red, []]}, 422, "groups[1]"),
        ({"decision": "merge", "groups": [red, red]}, 422, "groups[4]"),
        ({"decision": "guess", "groups": [red]}, 422, "decision"),
        ({"decision": "accept", "groups": [[*red, foreign]]}, 422, "groups[0][4]"),
        ({"decision": "accept", "groups": [[*red, "0" * 32]]}, 404, "groups[0][4]"),
        (
            {"decision": "accept", "groups": [[f"{at:032x}" for at in range(65)]]},
            422,
            "groups",
        ),
    ]
    for body, status, field in cases:
        answer = await ask(client, **body)
        assert (answer.status_code, answer.json()["field"]) == (status, field)
    assert await counted(client) == {"same": 0, "different": 0}


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ({"collection": "nobody"}, 422, "collection"),
        ({"assets": []}, 422, "assets"),
        ({"assets": ["0" * 32]}, 404, "assets[0]"),
        ({"assets": ["0" * 32] * 2}, 422, "assets[1]"),
        ({"assets": ["0" * 32] * 257}, 422, "assets"),
        ({"k": 0}, 422, "k"),
        ({"k": 1_000_000}, 422, "k"),
        ({"min_score": 2}, 422, "min_score"),
    ],
)
async def test_what_cannot_be_grouped_is_refused(
    client: httpx2.AsyncClient, body: dict[str, Any], status: int, field: str
) -> None:
    answer = await client.post("/v1/character-groups", json=body)

    assert (answer.status_code, answer.json()["field"]) == (status, field)


async def test_pictures_without_vectors_make_no_group(
    client: httpx2.AsyncClient,
) -> None:
    files = {"file": scene(1)}
    await client.post("/v1/assets", files=files, params={"embed": "false"})

    told = await grouped(client)

    assert (told["groups"], told["ungrouped"], told["without_vector"]) == ([], [], 1)
