"""`POST /v1/groups`: the answer's shape, and what is refused."""

from typing import Any

import httpx2
import pytest

from odd_files import photo


async def given(client: httpx2.AsyncClient, *seeds: int) -> list[str]:
    ids: list[str] = []
    for seed in seeds:
        files = {"file": ("a.jpg", photo(seed))}
        answer = await client.post("/v1/assets", files=files)
        ids.append(answer.json()["id"])
    return ids


@pytest.mark.parametrize("method", ["neighbours", "hdbscan", "kmeans"])
async def test_every_asset_is_in_one_group_or_in_none(
    client: httpx2.AsyncClient, method: str
) -> None:
    ids = await given(client, *range(9))
    asked = {"assets": ids, "method": method, "min_score": 0.1, "clusters": 3}

    answer = await client.post("/v1/groups", json={**asked, "map": "pca"})

    assert answer.status_code == 200, answer.text
    told = answer.json()
    members = [one["asset"] for group in told["groups"] for one in group["assets"]]
    assert sorted(members + told["ungrouped"]) == sorted(ids)
    assert sorted(point["asset"] for point in told["map"]) == sorted(ids)
    for group in told["groups"]:
        names = [one["asset"] for one in group["assets"]]
        scores = [one["score"] for one in group["assets"]]
        assert group["representatives"] == names[:3]
        assert scores == sorted(scores, reverse=True)
        assert set(group["outliers"]) <= set(names)


async def test_the_order_of_ids_changes_nothing(client: httpx2.AsyncClient) -> None:
    ids = await given(client, *range(9))
    asked = {"method": "kmeans", "clusters": 3, "map": "pca"}

    there = await client.post("/v1/groups", json={**asked, "assets": ids})
    back = await client.post("/v1/groups", json={**asked, "assets": ids[::-1]})

    assert there.json() == back.json()


async def test_without_a_map_there_is_none(client: httpx2.AsyncClient) -> None:
    await given(client, 1, 2)

    answer = await client.post("/v1/groups", json={"collection": "default"})

    assert answer.json()["map"] is None


async def test_a_library_that_is_not_there_is_a_problem_of_its_own(
    client: httpx2.AsyncClient,
) -> None:
    asked = {"collection": "default", "map": "umap"}

    answer = await client.post("/v1/groups", json=asked)

    assert answer.status_code == 409
    assert answer.json()["type"] == "/problems/not-installed"
    assert "pip install umap-learn" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({}, "body"),
        ({"assets": []}, "assets"),
        ({"assets": ["0" * 32] * 1001}, "assets"),
        ({"assets": ["0" * 32], "collection": "a"}, "body"),
        ({"collection": "nobody"}, "collection"),
        ({"collection": "a", "k": 0}, "k"),
        ({"collection": "a", "k": 1_000_000}, "k"),
        ({"collection": "a", "min_size": 1}, "min_size"),
        ({"collection": "a", "clusters": 0}, "clusters"),
        ({"collection": "a", "min_score": 1.1}, "min_score"),
        ({"collection": "a", "method": "magic"}, "method"),
        ({"collection": "a", "map": "tsne"}, "map"),
        ({"collection": "a", "min_scores": 0.5}, "min_scores"),
    ],
)
async def test_what_cannot_be_asked_is_refused(
    client: httpx2.AsyncClient, asked: dict[str, Any], field: str
) -> None:
    answer = await client.post("/v1/groups", json=asked)

    assert answer.status_code == 422, answer.text
    assert answer.json()["field"] == field


async def test_an_asset_that_is_not_there_is_told(client: httpx2.AsyncClient) -> None:
    answer = await client.post("/v1/groups", json={"assets": ["0" * 32]})

    assert answer.status_code == 404


async def test_two_pictures_lie_on_a_line(client: httpx2.AsyncClient) -> None:
    ids = await given(client, 1, 2)

    answer = await client.post("/v1/groups", json={"assets": ids, "map": "pca"})

    assert [point["y"] for point in answer.json()["map"]] == [0.0, 0.0]


async def test_an_empty_collection_is_named(client: httpx2.AsyncClient) -> None:
    answer = await client.post("/v1/groups", json={"collection": "nobody"})

    assert answer.status_code == 422
    problem = answer.json()
    assert (problem["field"], problem["value"]) == ("collection", ["nobody"])
