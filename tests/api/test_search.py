"""Search and similarity over HTTP."""

import base64
import json
from typing import Any

import httpx2
import numpy as np
import pytest

from odd_files import photo


def data_uri(data: bytes) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(data).decode()


async def give(client: httpx2.AsyncClient, seed: int, **fields: Any) -> str:
    answer = await client.post("/v1/assets", files={"file": photo(seed)}, data=fields)
    return answer.json()["id"]


async def found(client: httpx2.AsyncClient, **body: Any) -> list[str]:
    answer = await client.post("/v1/search", json=body)
    assert answer.status_code == 200, answer.text
    return [hit["asset"]["id"] for hit in answer.json()["hits"]]


async def test_an_image_finds_its_own_asset_first(client: httpx2.AsyncClient) -> None:
    await give(client, 1)
    own = await give(client, 2)

    answer = await client.post(
        "/v1/search", json={"query": {"image": data_uri(photo(2))}}
    )

    first = answer.json()["hits"][0]
    assert first["asset"]["id"] == own
    assert first["score"] == pytest.approx(1.0, abs=1e-6)
    assert answer.json()["exact"] is True


async def test_an_asset_does_not_find_itself(client: httpx2.AsyncClient) -> None:
    own, other = await give(client, 1), await give(client, 2)

    assert await found(client, query={"asset": own}) == [other]


async def test_a_vector_finds_the_asset_it_belongs_to(
    client: httpx2.AsyncClient,
) -> None:
    own = await give(client, 1)
    await give(client, 2)
    embedded = await client.post("/v1/embeddings", json={"input": own})
    vector = embedded.json()["data"][0]["embedding"]

    scaled = [3.5 * value for value in vector]

    assert (await found(client, query={"vector": scaled}))[0] == own


async def test_scores_fall_and_k_bounds_them(client: httpx2.AsyncClient) -> None:
    ids = [await give(client, seed) for seed in range(6)]

    answer = await client.post("/v1/search", json={"query": {"asset": ids[0]}, "k": 3})

    scores = [hit["score"] for hit in answer.json()["hits"]]
    assert len(scores) == 3
    assert scores == sorted(scores, reverse=True)


async def test_a_collection_is_searched_alone(client: httpx2.AsyncClient) -> None:
    query = await give(client, 1, collection="a")
    inside = await give(client, 2, collection="a")
    await give(client, 3, collection="b")

    assert await found(client, query={"asset": query}, collection="a") == [inside]


async def test_a_filter_is_part_of_the_search(client: httpx2.AsyncClient) -> None:
    query = await give(client, 1)
    wanted = await give(client, 2, tags=["x", "y"], metadata='{"scene": 12}')
    await give(client, 3, tags=["x"], metadata='{"scene": 12}')
    await give(client, 4, tags=["x", "y"], metadata='{"scene": "12"}')

    where = {"tags": ["x", "y"], "metadata": {"scene": 12}}

    assert await found(client, query={"asset": query}, filter=where) == [wanted]


async def test_a_minimum_score_cuts_the_tail(client: httpx2.AsyncClient) -> None:
    own = await give(client, 1)
    await give(client, 2)
    image = {"image": data_uri(photo(1))}

    assert await found(client, query=image, min_score=0.9999) == [own]


async def test_an_empty_collection_gives_no_hits(client: httpx2.AsyncClient) -> None:
    query = await give(client, 1)

    assert await found(client, query={"asset": query}, collection="empty") == []


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"query": {}}, "query"),
        ({"query": {"asset": "0" * 32, "vector": [1]}}, "query"),
        ({"query": {"vector": [1, 2, 3]}}, "query.vector"),
        ({"query": {"vector": [0] * 64}}, "query.vector"),
        ({"query": {"vector": [1e308] * 64}, "k": 0}, "k"),
        ({"query": {"vector": [1] * 64}, "k": 1001}, "k"),
        ({"query": {"assets": []}}, "query.assets"),
        ({"query": {"assets": ["0" * 32] * 101}}, "query.assets"),
        ({"query": {"asset": "0" * 32, "unlike": []}}, "query.unlike"),
        ({"query": {"assets": ["0" * 32], "combine": "all"}}, "query.combine"),
        ({"query": {"vector": [1] * 64}, "min_score": 2}, "min_score"),
        ({"query": {"vector": [1] * 64}, "colour": "a"}, "colour"),
        ({"query": {"image": "hello"}}, "query.image"),
        ({"query": {"image": "0" * 32}}, "query.image"),
        ({"query": {"image": "data:image/png;base64,AAAA"}}, "query.image"),
        ({"query": {"asset": "nope"}}, "query.asset"),
        (
            {"query": {"vector": [1] * 64}, "filter": {"metadata": {"a": 1e400}}},
            "filter.metadata",
        ),
        (
            {"query": {}, "filter": {"metadata": {str(at): [1] for at in range(65)}}},
            "filter.metadata",
        ),
        ({"query": {"vector": [1] * 100_001}}, "body"),
    ],
)
async def test_a_query_that_cannot_be_used_names_the_field(
    client: httpx2.AsyncClient, body: dict[str, Any], field: str
) -> None:
    answer = await client.post(
        "/v1/search",
        content=json.dumps(body),
        headers={"content-type": "application/json"},
    )

    assert answer.status_code in {415, 422}, answer.text
    assert answer.json()["field"] == field


async def test_the_answer_names_the_path_that_served_it(
    client: httpx2.AsyncClient,
) -> None:
    own = await give(client, 1)

    answer = await client.post("/v1/search", json={"query": {"asset": own}})

    assert (answer.json()["path"], answer.json()["exact"]) == ("scan", True)
    figures = (await client.get("/metrics")).text
    assert 'dinoserve_searches_total{path="scan"} 1.0' in figures


async def test_any_of_several_assets_scores_by_the_nearest_of_them(
    client: httpx2.AsyncClient,
) -> None:
    ids = [await give(client, seed) for seed in range(5)]
    query = {"assets": ids[:2], "combine": "any"}

    answer = await client.post("/v1/search", json={"query": query})
    matrix = await client.post(
        "/v1/similarity", json={"left": ids[:2], "right": ids[2:]}
    )

    scores = np.max(matrix.json()["scores"], axis=0)
    told = {hit["asset"]["id"]: hit["score"] for hit in answer.json()["hits"]}
    assert told == pytest.approx(dict(zip(ids[2:], scores, strict=True)), abs=1e-6)
    assert list(told.values()) == sorted(told.values(), reverse=True)


async def test_the_mean_of_several_assets_is_one_direction(
    client: httpx2.AsyncClient,
) -> None:
    ids = [await give(client, seed) for seed in range(4)]
    embedded = await client.post("/v1/embeddings", json={"input": ids})
    rows = np.array([item["embedding"] for item in embedded.json()["data"]])

    answer = await client.post("/v1/search", json={"query": {"assets": ids[:2]}})

    mean = rows[:2].mean(axis=0)
    scores = dict(zip(ids[2:], rows[2:] @ (mean / np.linalg.norm(mean)), strict=True))
    told = {hit["asset"]["id"]: hit["score"] for hit in answer.json()["hits"]}
    assert told == pytest.approx(scores, abs=1e-6)


async def test_unlike_takes_half_of_the_others_mean_off(
    client: httpx2.AsyncClient,
) -> None:
    ids = [await give(client, seed) for seed in range(5)]
    embedded = await client.post("/v1/embeddings", json={"input": ids})
    rows = np.array([item["embedding"] for item in embedded.json()["data"]])

    query = {"asset": ids[0], "unlike": ids[1:3]}
    answer = await client.post("/v1/search", json={"query": query})

    away = rows[0] - 0.5 * rows[1:3].mean(axis=0)
    scores = dict(zip(ids[3:], rows[3:] @ (away / np.linalg.norm(away)), strict=True))
    told = {hit["asset"]["id"]: hit["score"] for hit in answer.json()["hits"]}
    assert told == pytest.approx(scores, abs=1e-6)


@pytest.mark.parametrize(
    ("where", "is_found"),
    [
        ({"metadata": {"take": {"gte": 3, "lt": 4}}}, True),
        ({"metadata": {"take": {"gt": 3}}}, False),
        ({"media_type": ["image/jpeg"]}, True),
        ({"media_type": ["image/png"]}, False),
        ({"width": {"gte": 1}, "height": {"gte": 1}, "bytes": {"gt": 1}}, True),
        ({"width": {"gt": 10_000}}, False),
        ({"created_from": "2020-01-01T00:00:00Z"}, True),
        ({"created_until": "2020-01-01T00:00:00Z"}, False),
    ],
)
async def test_a_filter_may_bound_numbers_sizes_and_times(
    client: httpx2.AsyncClient, where: dict[str, Any], *, is_found: bool
) -> None:
    query = await give(client, 1)
    other = await give(client, 2, metadata='{"take": 3}')

    ids = await found(client, query={"asset": query}, filter=where)

    assert (ids == [other]) is is_found


@pytest.mark.parametrize(
    ("where", "field"),
    [
        ({"colour": "red"}, "filter.colour"),
        ({"width": {"least": 3}}, "filter.width.least"),
        ({"width": {}}, "filter.width"),
        ({"width": {"gte": 1e300}}, "filter.width.gte"),
        ({"media_type": ["text/plain"]}, "filter.media_type[0]"),
        ({"created_from": "yesterday"}, "filter.created_from"),
    ],
)
async def test_a_filter_on_what_is_unknown_names_the_field(
    client: httpx2.AsyncClient, where: dict[str, Any], field: str
) -> None:
    body = {"query": {"vector": [1] * 64}, "filter": where}

    answer = await client.post("/v1/search", json=body)

    assert (answer.status_code, answer.json()["field"]) == (422, field)


@pytest.mark.parametrize("media_type", ["text/plain", "multipart/form-data", ""])
async def test_a_query_of_another_media_type_is_refused(
    client: httpx2.AsyncClient, media_type: str
) -> None:
    headers = {"content-type": media_type}

    answer = await client.post("/v1/search", content=b"{}", headers=headers)

    assert (answer.status_code, answer.json()["field"]) == (422, "content-type")


async def test_as_long_a_vector_as_allowed_is_read(client: httpx2.AsyncClient) -> None:
    await give(client, 1)

    answer = await client.post("/v1/search", json={"query": {"vector": [1] * 65_536}})

    assert answer.json()["field"] == "query.vector"
    assert "65536" in answer.json()["detail"]


async def test_huge_numbers_in_a_vector_are_used_as_a_direction(
    client: httpx2.AsyncClient,
) -> None:
    own = await give(client, 1)

    assert await found(client, query={"vector": [1e308] * 64}) == [own]


async def test_a_vector_of_another_recipe_is_refused_with_both_named(
    client: httpx2.AsyncClient,
) -> None:
    body = {"query": {"vector": [1] * 64, "recipe": "feedfacefeedface"}}

    answer = await client.post("/v1/search", json=body)

    own = (await client.get("/v1/models")).json()["data"][0]["recipe"]["id"]
    assert answer.status_code == 409
    assert answer.json()["type"] == "/problems/recipe-mismatch"
    assert "feedfacefeedface" in answer.json()["detail"]
    assert own in answer.json()["detail"]
    assert "reembed" in answer.json()["detail"]


async def test_similarity_gives_the_cosine_of_each_pair(
    client: httpx2.AsyncClient,
) -> None:
    ids = [await give(client, seed) for seed in range(3)]
    answer = await client.post("/v1/embeddings", json={"input": ids})
    rows = np.array([item["embedding"] for item in answer.json()["data"]])

    matrix = await client.post("/v1/similarity", json={"left": ids})
    pairs = await client.post(
        "/v1/similarity", json={"left": ids[:1], "right": ids[1:]}
    )

    assert np.allclose(matrix.json()["scores"], rows @ rows.T, atol=1e-6)
    assert np.allclose(pairs.json()["scores"], rows[:1] @ rows[1:].T, atol=1e-6)


async def test_similarity_with_an_unknown_asset_names_it(
    client: httpx2.AsyncClient,
) -> None:
    answer = await client.post("/v1/similarity", json={"left": ["f" * 32]})

    assert answer.status_code == 404
    assert answer.json()["value"] == "f" * 32
