"""What a problem tells of a value that cannot be used."""

from typing import Any

import httpx2
import pytest

VECTOR = {"query": {"vector": [1.0] * 64}}


async def told(client: httpx2.AsyncClient, path: str, body: object) -> dict[str, Any]:
    answer = await client.post(path, json=body)
    assert answer.status_code == 422, answer.text
    return answer.json()


@pytest.mark.parametrize(
    ("where", "field", "detail"),
    [
        ({"width": {}}, "filter.width", "give at least one of"),
        ({"created_from": 5}, "filter.created_from", "a time looks like"),
        ({"created_from": "2026-13-01T00:00:00Z"}, "filter.created_from", "a time"),
    ],
)
async def test_a_filter_is_refused_in_words_of_ours(
    client: httpx2.AsyncClient, where: dict[str, object], field: str, detail: str
) -> None:
    problem = await told(client, "/v1/search", VECTOR | {"filter": where})

    assert problem["detail"].startswith(f"{field}: {detail}")
    assert problem["field"] == field


@pytest.mark.parametrize(
    ("path", "body", "field", "limit", "value"),
    [
        ("/v1/search", VECTOR | {"k": 1001}, "k", 1000, 1001),
        ("/v1/search", VECTOR | {"k": 0}, "k", 1, 0),
        ("/v1/search", VECTOR | {"min_score": -1.5}, "min_score", -1, -1.5),
        ("/v1/similarity", {"left": ["0" * 32] * 1001}, "left", 1000, 1001),
        (
            "/v1/quality",
            {"input": "0" * 32, "thresholds": {"dark": 3}},
            "thresholds",
            1,
            3,
        ),
        (
            "/v1/jobs",
            {"kind": "quality", "parameters": {"thresholds": {"noisy": 256}}},
            "parameters.thresholds",
            255,
            256,
        ),
        (
            "/v1/jobs",
            {"kind": "similarity", "parameters": {"collection": "a", "k": 1001}},
            "parameters.k",
            1000,
            1001,
        ),
    ],
)
async def test_limit_and_value_are_named(
    client: httpx2.AsyncClient,
    path: str,
    body: dict[str, object],
    field: str,
    limit: float,
    value: float,
) -> None:
    problem = await told(client, path, body)

    named = (problem["field"], problem["limit"], problem["value"])
    assert named == (field, limit, value)
    assert problem["errors"][0]["limit"] == limit


async def test_a_value_that_no_json_holds_is_not_repeated(
    client: httpx2.AsyncClient,
) -> None:
    text = '{"query": {"vector": [1]}, "min_score": 1e999}'
    headers = {"content-type": "application/json"}

    answer = await client.post("/v1/search", content=text, headers=headers)

    assert answer.status_code == 422
    assert answer.json()["field"] == "min_score"
    assert "value" not in answer.json()


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/v1/search", VECTOR | {"k": "5"}, "k"),
        ("/v1/search", VECTOR | {"k": True}, "k"),
        ("/v1/search", VECTOR | {"k": 5.0}, "k"),
        ("/v1/search", VECTOR | {"min_score": "0.5"}, "min_score"),
        ("/v1/search", VECTOR | {"exact": 1}, "exact"),
        ("/v1/search", {"query": {"vector": ["1"] * 64}}, "query.vector[0]"),
        ("/v1/groups", {"collection": "a", "k": "5"}, "k"),
        (
            "/v1/jobs",
            {"kind": "groups", "parameters": {"collection": "a", "k": "5"}},
            "parameters.k",
        ),
        (
            "/v1/jobs",
            {"kind": "groups", "parameters": {"collection": "a", "min_score": True}},
            "parameters.min_score",
        ),
    ],
)
async def test_a_text_is_no_number_and_true_is_none(
    client: httpx2.AsyncClient, path: str, body: dict[str, object], field: str
) -> None:
    problem = await told(client, path, body)

    assert problem["field"] == field


async def test_nor_is_it_one_in_openais_shape(client: httpx2.AsyncClient) -> None:
    body = {"input": "0" * 32, "dimensions": "64"}

    problem = await told(client, "/v1/embeddings", body)

    assert problem["error"]["param"] == "dimensions"


async def test_an_integer_is_a_number_with_a_point(client: httpx2.AsyncClient) -> None:
    body = {"query": {"vector": [1] * 64}, "min_score": 0}

    assert (await client.post("/v1/search", json=body)).status_code == 200
