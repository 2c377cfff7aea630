"""`POST /v1/duplicates`: four lists, each with its own evidence."""

import io
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
from PIL import Image

from dinoserve.domain.fingerprints import METHOD
from dinoserve.services import Services
from in_process import connect_in_process, make_app

PICTURES = Path(__file__).parents[1] / "pictures"
LISTS = ("exact", "same_pixels", "near", "unconfirmed", "look_alike")


def opened(name: str) -> Image.Image:
    return Image.open(PICTURES / f"{name}.jpg").convert("RGB")


def encoded(image: Image.Image, kind: str = "JPEG", quality: int = 90) -> bytes:
    data = io.BytesIO()
    image.save(data, kind, quality=quality)
    return data.getvalue()


async def given(client: httpx2.AsyncClient, data: bytes, collection: str = "a") -> str:
    files = {"file": ("picture", data)}
    answer = await client.post(
        "/v1/assets", files=files, data={"collection": collection}
    )
    assert answer.status_code in {200, 201}, answer.text
    return str(answer.json()["id"])


async def found(client: httpx2.AsyncClient, **asked: Any) -> dict[str, Any]:
    answer = await client.post("/v1/duplicates", json=asked)
    assert answer.status_code == 200, answer.text
    return answer.json()


def told(answer: dict[str, Any]) -> dict[str, int]:
    return {name: len(answer[name]) for name in LISTS if answer[name]}


async def test_the_same_bytes_in_two_collections_are_exact_and_nothing_else(
    client: httpx2.AsyncClient,
) -> None:
    data = encoded(opened("coffee"))
    first, second = await given(client, data, "a"), await given(client, data, "b")

    answer = await found(client, collections=["a", "b"])

    [group] = answer["exact"]
    assert group["assets"] == sorted([first, second])
    assert group["keep"]["asset"] == first
    assert told(answer) == {"exact": 1}


async def test_the_same_pixels_in_other_bytes_are_same_pixels_and_nothing_else(
    client: httpx2.AsyncClient,
) -> None:
    jpeg = encoded(opened("coffee"))
    png = encoded(Image.open(io.BytesIO(jpeg)), "PNG")
    ids = [await given(client, jpeg), await given(client, png)]

    answer = await found(client, assets=ids)

    [group] = answer["same_pixels"]
    assert group["assets"] == sorted(ids)
    reasons = ["the same pixels, and uploaded first"]
    assert group["keep"] == {"asset": ids[0], "reasons": reasons}
    assert told(answer) == {"same_pixels": 1}


@pytest.mark.parametrize(
    "turn", [None, Image.Transpose.FLIP_LEFT_RIGHT, Image.Transpose.ROTATE_90]
)
async def test_a_worse_copy_is_near_and_its_patches_say_so(
    turn: Image.Transpose | None,
) -> None:
    image = opened("coffee")
    copy = image.transpose(turn) if turn is not None else image
    async with connect_in_process(model="bundled") as client:
        ids = [
            await given(client, encoded(image)),
            await given(client, encoded(copy, quality=30)),
            await given(client, encoded(opened("rocket"))),
        ]

        answer = await found(client, assets=ids)

    [group] = answer["near"]
    [pair] = group["pairs"]
    assert group["assets"] == sorted(ids[:2])
    assert group["keep"]["asset"] == ids[0]
    assert pair["distance"] <= 3
    assert pair["patch_share"] > 0.9
    assert pair["patch_cosine"] > 0.9
    assert (pair["turn"] == "none") == (turn is None)
    assert told(answer) == {"near": 1}


async def test_near_hashes_whose_patches_do_not_agree_are_no_duplicates() -> None:
    image = opened("coffee")
    async with connect_in_process(model="bundled") as client:
        ids = [
            await given(client, encoded(image)),
            await given(client, encoded(image, quality=10)),
        ]

        answer = await found(client, assets=ids, min_patch_share=1)

    [pair] = answer["unconfirmed"]
    assert pair["patch_share"] < 1
    assert told(answer) == {"unconfirmed": 1}


async def test_a_model_without_patches_leaves_near_pairs_uncompared(
    client: httpx2.AsyncClient,
) -> None:
    image = opened("coffee")
    await given(client, encoded(image))
    await given(client, encoded(image, quality=30))

    answer = await found(client, collections=["a"])

    [pair] = answer["near"][0]["pairs"]
    assert pair["patch_share"] is None


async def test_what_is_only_similar_is_alike_and_no_duplicate(
    client: httpx2.AsyncClient,
) -> None:
    ids = [await given(client, encoded(opened(n))) for n in ("coffee", "chelsea")]

    answer = await found(client, assets=ids, min_score=-1)

    [pair] = answer["look_alike"]
    assert [pair["left"], pair["right"]] == sorted(ids)
    scores = await client.post("/v1/similarity", json={"left": sorted(ids)})
    assert pair["score"] == pytest.approx(scores.json()["scores"][0][1], abs=1e-6)
    assert told(answer) == {"look_alike": 1}


async def test_only_the_lists_that_are_asked_for_are_filled(
    client: httpx2.AsyncClient,
) -> None:
    image = opened("coffee")
    for quality in (90, 80):
        for collection in ("a", "b"):
            await given(client, encoded(image, quality=quality), collection)

    answer = await found(client, collections=["a", "b"], lists=["exact"])

    assert told(answer) == {"exact": 2}
    assert answer["without_fingerprint"] == 4


async def test_the_order_of_ids_changes_nothing(client: httpx2.AsyncClient) -> None:
    names = ("coffee", "chelsea", "rocket")
    ids = [
        await given(client, encoded(opened(n), quality=q))
        for n in names
        for q in (90, 50)
    ]

    there = await found(client, assets=ids, min_score=0.1)

    assert await found(client, assets=[*reversed(ids), ids[0]], min_score=0.1) == there


async def test_fingerprints_are_kept_and_go_with_the_asset() -> None:
    app = make_app()
    transport = httpx2.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client,
    ):
        services: Services = app.state.services
        traits = services.assets.documents.traits
        kept, erased = [
            await given(client, encoded(opened(n))) for n in ("coffee", "rocket")
        ]
        await found(client, collections=["a"])
        before = await traits.get([kept, erased], METHOD)
        await client.delete(f"/v1/assets/{erased}")
        await found(client, collections=["a"])

        assert set(before) == {kept, erased}
        assert set(await traits.get([kept, erased], METHOD)) == {kept}


async def test_a_second_look_decodes_nothing() -> None:
    app = make_app()
    transport = httpx2.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client,
    ):
        services: Services = app.state.services
        for quality in (90, 80):
            await given(client, encoded(opened("coffee"), quality=quality))
        first = await found(client, collections=["a"], confirm=False)
        async for held in services.assets.objects.scan(""):
            await services.assets.objects.delete(held.sha256)

        again = await found(client, collections=["a"], confirm=False)

        assert again == first
        assert first["near"]


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({}, "body"),
        ({"assets": []}, "assets"),
        ({"assets": ["0" * 32], "collections": ["a"]}, "body"),
        ({"collection": "a", "collections": ["a"]}, "body"),
        ({"assets": ["0" * 32] * 201}, "assets"),
        ({"assets": ["x"]}, "assets[0]"),
        ({"collections": ["nobody"]}, "collections"),
        ({"collections": ["a"], "max_distance": 21}, "max_distance"),
        ({"collections": ["a"], "min_score": 2}, "min_score"),
        ({"collections": ["a"], "min_patch_share": -0.1}, "min_patch_share"),
        ({"collections": ["a"], "lists": []}, "lists"),
        ({"collections": ["a"], "lists": ["similar"]}, "lists[0]"),
        ({"collections": ["a"], "k": 3}, "k"),
    ],
    ids=lambda value: str(value)[:40] if isinstance(value, str) else None,
)
async def test_what_cannot_be_asked_is_refused(
    client: httpx2.AsyncClient, asked: dict[str, Any], field: str
) -> None:
    answer = await client.post("/v1/duplicates", json=asked)

    assert answer.status_code == 422, answer.text
    assert answer.json()["field"] == field


async def test_one_collection_is_named_like_everywhere_else(
    client: httpx2.AsyncClient,
) -> None:
    for quality in (90, 50):
        await given(client, encoded(opened("coffee"), quality=quality))

    answer = await found(client, collection="a")

    assert answer["near"]
    assert answer == await found(client, collections=["a"])


async def test_an_empty_collection_is_named(client: httpx2.AsyncClient) -> None:
    answer = await client.post("/v1/duplicates", json={"collection": "nobody"})

    assert answer.status_code == 422
    problem = answer.json()
    assert (problem["field"], problem["value"]) == ("collection", ["nobody"])


async def test_an_asset_that_is_not_there_is_told(client: httpx2.AsyncClient) -> None:
    answer = await client.post("/v1/duplicates", json={"assets": ["0" * 32]})

    assert answer.status_code == 404
    assert answer.json()["type"] == "/problems/asset-not-found"


async def test_more_than_can_be_waited_for_is_left_to_a_job(
    client: httpx2.AsyncClient,
) -> None:
    for seed in range(201):
        noise = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), np.uint8)
        await given(client, encoded(Image.fromarray(noise), "PNG"))

    answer = await client.post("/v1/duplicates", json={"collections": ["a"]})

    assert answer.status_code == 422
    problem = answer.json()
    assert (problem["limit"], problem["value"]) == (200, 201)
    assert "job" in problem["detail"]
