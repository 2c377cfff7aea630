"""Calibrations over HTTP: made from labelled pairs, kept, and used by checks."""

from collections.abc import AsyncGenerator
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import httpx2
import pytest

from character_site import BUNDLED, checked, created, give, kept_checks, scene
from in_process import connect_in_process

HATS = ("red", "blue", "green", "yellow", "black", "white", "orange", "purple")
EACH = 4


@pytest.fixture
async def client() -> AsyncGenerator[httpx2.AsyncClient]:
    async with connect_in_process(**BUNDLED) as client:
        yield client


async def figures(
    client: httpx2.AsyncClient, *, hats: int = len(HATS), each: int = EACH
) -> dict[str, str]:
    """Give pictures of figures that differ by their hats; return who, by asset."""
    return {
        await give(client, scene(at * EACH + n, 16 * (1 + n), hat=hat)): hat
        for at, hat in enumerate(HATS[:hats])
        for n in range(each)
    }


def pairs_of(shown: dict[str, str]) -> list[dict[str, object]]:
    return [
        {"left": left, "right": right, "same": shown[left] == shown[right]}
        for left, right in combinations(shown, 2)
    ]


async def ask(client: httpx2.AsyncClient, **body: object) -> httpx2.Response:
    return await client.post("/v1/calibrations", json=body)


async def made(
    client: httpx2.AsyncClient, shown: dict[str, str], **body: object
) -> dict[str, Any]:
    answer = await ask(client, pairs=pairs_of(shown), **{"target_fpr": 0.05, **body})
    assert answer.status_code == 201, answer.text
    return answer.json()


async def test_pairs_give_figures_with_intervals_and_a_threshold(
    client: httpx2.AsyncClient,
) -> None:
    shown = await figures(client)

    told = await made(client, shown, score="whole_image")

    assert told["figures"].keys() == {
        *("roc_auc", "eer", "tpr_at_fpr_0.01", "tpr_at_fpr_0.001"),
        *("fpr", "tpr", "ece"),
    }
    area = told["figures"]["roc_auc"]
    assert area["low"] <= area["value"] <= area["high"]
    assert -1 <= told["threshold"] <= 1
    assert told["counts"]["identities"] == len(HATS)
    assert sum(told["counts"].values()) - len(HATS) == len(pairs_of(shown))
    assert told["curve"]["kind"] == "platt"
    assert (told["collection"], told["target_fpr"]) == ("default", 0.05)


@pytest.mark.parametrize("score", ["whole_image", "foreground", "pair_mean"])
async def test_later_checks_judge_by_the_calibration(
    client: httpx2.AsyncClient, score: str
) -> None:
    shown = await figures(client)
    told = await made(client, shown, score=score)
    reference, *assets = list(shown)[:8]
    character = await created(client, reference)

    found = await checked(client, character, *assets)

    slope, intercept = told["curve"]["slope"], told["curve"]["intercept"]
    for each in found:
        [judgement] = each["judgements"]
        value = each["appearance_similarity"][score]
        assert judgement["calibration"] == told["id"]
        assert judgement["score"] == score
        odds = judgement["probability"] / (1 - judgement["probability"])
        assert odds == pytest.approx(2.718281828 ** (slope * value + intercept))
        verdict = "match" if value >= told["threshold"] else "no_match"
        assert judgement["verdict"] == verdict
    kept = {each["asset"]: each for each in await kept_checks(client, character)}
    told_kept = kept[found[0]["asset"]]["findings"]["judgements"]
    assert told_kept == found[0]["judgements"]


async def test_the_calibrated_scores_are_those_of_checks(
    client: httpx2.AsyncClient,
) -> None:
    shown = await figures(client, hats=4)
    assets = list(shown)
    told = await made(client, shown, score="foreground", target_fpr=0.1)
    values: set[float] = set()
    for at in range(0, len(assets), 3):
        found = await checked(client, await created(client, assets[at]), *assets)
        values |= {each["appearance_similarity"]["foreground"] for each in found}

    # The threshold is one of the scores, or lies just above one.
    assert min(abs(told["threshold"] - value) for value in values) < 1e-5


async def test_without_a_calibration_nothing_is_judged(
    client: httpx2.AsyncClient,
) -> None:
    one = await give(client, scene(1))

    [found] = await checked(client, await created(client, one), one)

    assert found["judgements"] == []
    assert found["references"][0]["judgements"] == []


async def test_patches_of_another_size_are_not_judged_by_their_scores(
    client: httpx2.AsyncClient,
) -> None:
    shown = await figures(client)
    for score in ("whole_image", "foreground"):
        await made(client, shown, score=score)
    character = await created(client, next(iter(shown)))

    [found] = await checked(client, character, next(iter(shown)), size="320")

    assert [each["score"] for each in found["judgements"]] == ["whole_image"]


async def test_the_newest_of_a_score_and_collection_judges(
    client: httpx2.AsyncClient,
) -> None:
    shown = await figures(client)
    await made(client, shown, target_fpr=0.05)
    newest = await made(client, shown, target_fpr=0.2)
    elsewhere = await give(client, scene(1), collection="other")
    character = await created(client, next(iter(shown)))
    foreign = await created(client, elsewhere, collection="other")

    [found] = await checked(client, character, next(iter(shown)))
    [other] = await checked(client, foreign, elsewhere)

    assert [each["calibration"] for each in found["judgements"]] == [newest["id"]]
    assert other["judgements"] == []


async def test_the_same_pairs_give_the_same_calibration(
    client: httpx2.AsyncClient,
) -> None:
    shown = await figures(client)

    first, again = await made(client, shown), await made(client, shown)

    assert first["id"] == again["id"]
    listed = (await client.get("/v1/calibrations")).json()["calibrations"]
    assert [each["id"] for each in listed] == [first["id"]]


async def test_a_box_moves_what_is_compared(client: httpx2.AsyncClient) -> None:
    shown = await figures(client)
    box = [{"asset": asset, "box": [0, 0, 48, 48]} for asset in shown]

    found = await made(client, shown)
    boxed = await made(client, shown, regions=box)

    assert found["threshold"] != boxed["threshold"]


async def test_calibrations_are_listed_shown_and_erased(
    client: httpx2.AsyncClient,
) -> None:
    shown = await figures(client)
    answer = await ask(client, pairs=pairs_of(shown), target_fpr=0.05)
    one, path = answer.json(), answer.headers["location"]
    other = await made(client, shown, score="whole_image")

    assert (await client.get(path)).json() == one
    first = (await client.get("/v1/calibrations", params={"limit": 1})).json()
    assert first["calibrations"] == [other]
    query = {"cursor": first["next_cursor"]}
    rest = (await client.get("/v1/calibrations", params=query)).json()
    assert rest == {"calibrations": [one], "next_cursor": None}
    query = {"score": "foreground", "collection": "default"}
    assert (await client.get("/v1/calibrations", params=query)).json() == rest
    assert (await client.delete(path)).status_code == 204
    for gone in (await client.get(path), await client.delete(path)):
        assert gone.status_code == 404
        assert gone.json()["type"] == "/problems/calibration-not-found"


async def test_a_calibration_outlasts_the_server_and_names_no_asset(
    tmp_path: Path,
) -> None:
    changes = {**BUNDLED, "documents": "sqlite:", "objects": "file:", "data": tmp_path}
    async with connect_in_process(**changes) as client:
        shown = await figures(client)
        told = await made(client, shown)
        for asset in shown:
            await client.delete(f"/v1/assets/{asset}")
    async with connect_in_process(**changes) as client:
        path = f"/v1/calibrations/{told['id']}"
        answer = await client.get(path)

        assert answer.json() == told
        assert not any(asset in answer.text for asset in shown)


def swapped(pairs: list[dict[str, object]]) -> list[dict[str, object]]:
    [first, *_] = [pair for pair in pairs if pair["same"]]
    return [{**pair, "same": False} if pair is first else pair for pair in pairs]


async def test_pairs_that_tell_nothing_are_refused_with_the_reason(
    client: httpx2.AsyncClient,
) -> None:
    shown = await figures(client)
    pairs, some = pairs_of(shown), list(shown)
    one = pairs_of(dict.fromkeys(some[:20], "red"))
    twice = [*pairs, {**pairs[0], "left": some[1], "right": some[0]}]
    named = {some[0]: "Ava", some[1]: "Eve"}
    cases: list[tuple[dict[str, Any], str, str]] = [
        ({"pairs": pairs[:9]}, "pairs", "identities"),
        ({"pairs": pairs_of(dict(list(shown.items())[:24]))[:60]}, "pairs", "pairs"),
        ({"pairs": one}, "pairs", "1 identities"),
        ({"pairs": swapped(pairs)}, "pairs[0]", "contradict"),
        ({"pairs": twice}, f"pairs[{len(pairs)}]", "has the assets of"),
        ({"pairs": pairs, "identities": named}, "identities", "contradict"),
        ({"pairs": pairs, "target_fpr": 1e-6}, "target_fpr", "cannot be told"),
        ({"pairs": pairs, "identities": {"0" * 32: "Ava"}}, "identities", "none of"),
        ({"pairs": pairs, "regions": ["0" * 32]}, "regions", "none of the pairs"),
        ({"pairs": pairs, "regions": [some[0]] * 2}, "regions[1]", "once"),
    ]
    for body, field, reason in cases:
        answer = await ask(client, **body)
        assert answer.status_code == 422, (field, answer.text)
        assert answer.json()["field"] == field, answer.text
        assert reason in answer.json()["detail"]
    assert (await client.get("/v1/calibrations")).json()["calibrations"] == []


async def test_assets_that_cannot_be_compared_are_refused(
    client: httpx2.AsyncClient,
) -> None:
    shown = await figures(client)
    absent = {**shown, "0" * 32: "red"}
    foreign = {**shown, await give(client, scene(99), collection="other"): "red"}
    answers = [
        (await ask(client, pairs=pairs_of(absent)), 404, ".right"),
        (await ask(client, pairs=pairs_of(foreign)), 422, ".right"),
        (await ask(client, pairs=[]), 422, "pairs"),
        (await ask(client, pairs=pairs_of(shown), score="best"), 422, "score"),
        (await ask(client, pairs=pairs_of(shown), target_fpr=0), 422, "target_fpr"),
    ]
    for answer, status, ending in answers:
        assert answer.status_code == status, answer.text
        assert answer.json()["field"].endswith(ending), answer.text


async def test_too_many_assets_are_refused_with_the_limit(
    client: httpx2.AsyncClient,
) -> None:
    ids = [f"{at:032x}" for at in range(258)]
    pairs = [
        {"left": left, "right": right, "same": False} for left, right in pairwise(ids)
    ]

    answer = await ask(client, pairs=pairs)

    assert answer.status_code == 422
    told = answer.json()
    assert (told["field"], told["limit"], told["value"]) == ("pairs", 256, 258)
