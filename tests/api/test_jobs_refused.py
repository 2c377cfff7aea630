"""Requests for jobs that cannot be: each is refused by name, and leaves nothing."""

from typing import Any

import httpx2
import pytest

from served_jobs import ask, served
from working import NotingKind

NOBODY = "0" * 32


async def test_the_same_key_for_something_else_is_refused(
    client: httpx2.AsyncClient,
) -> None:
    await ask(client, {"kind": "embed"}, idempotency_key="one")
    other = {"kind": "embed", "collection": "other"}
    answer = await ask(client, other, idempotency_key="one")
    assert answer.status_code == 409
    assert answer.json()["type"] == "/problems/idempotency-mismatch"


async def test_the_same_key_for_named_assets_of_another_collection_is_refused(
    client: httpx2.AsyncClient,
) -> None:
    asked: dict[str, object] = {"kind": "embed", "parameters": {"assets": [NOBODY]}}
    await ask(client, asked | {"collection": "one"}, idempotency_key="one")
    answer = await ask(client, asked | {"collection": "two"}, idempotency_key="one")
    assert answer.status_code == 409


@pytest.mark.parametrize("key", ["", "k" * 201, "tab\there", "\xe9"])
async def test_a_key_that_cannot_be_used_is_refused(
    client: httpx2.AsyncClient, key: str
) -> None:
    headers = [(b"idempotency-key", key.encode("latin-1"))]
    answer = await client.post("/v1/jobs", json={"kind": "embed"}, headers=headers)
    assert answer.status_code == 400
    assert answer.json()["field"] == "idempotency-key"


@pytest.mark.parametrize("kind", ["nothing", "compact", "", "x" * 5000])
async def test_a_kind_that_is_not_offered_is_refused_with_those_that_are(
    kind: str,
) -> None:
    async with served(NotingKind(), is_at_work=False) as app:
        answer = await ask(app.client, {"kind": kind})
    problem = answer.json()
    assert (answer.status_code, problem["field"]) == (422, "kind")
    assert problem["limit"] == ["embed"]


@pytest.mark.parametrize(
    ("parameters", "field"),
    [
        ({"asset": []}, "parameters.asset"),
        ({"assets": []}, "parameters.assets"),
        ({"assets": ["x"]}, "parameters.assets[0]"),
        ({"assets": [NOBODY] * 10_001}, "parameters.assets"),
        ({"assets": [NOBODY], "collection": "a"}, "parameters"),
        ({"collection": "a b"}, "parameters.collection"),
        ({"collection": 5}, "parameters.collection"),
        (None, "parameters"),
        ([], "parameters"),
    ],
)
async def test_a_wrong_parameter_is_named(
    client: httpx2.AsyncClient, parameters: Any, field: str
) -> None:
    answer = await ask(client, {"kind": "embed", "parameters": parameters})
    assert (answer.status_code, answer.json()["field"]) == (422, field)
    assert (await client.get("/v1/jobs")).json()["jobs"] == []


async def test_erasing_needs_to_be_told_what(client: httpx2.AsyncClient) -> None:
    answer = await ask(client, {"kind": "erase", "parameters": {}})
    assert (answer.status_code, answer.json()["field"]) == (422, "parameters")


async def test_two_collections_in_one_request_are_refused(
    client: httpx2.AsyncClient,
) -> None:
    parameters = {"collection": "a"}
    body = {"kind": "erase", "collection": "b", "parameters": parameters}
    answer = await ask(client, body)
    assert (answer.status_code, answer.json()["field"]) == (422, "collection")


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("state=done", "state[0]"),
        ("limit=1001", "limit"),
        ("cursor=x", "cursor"),
        ("name=x", "name"),
    ],
)
async def test_a_list_that_cannot_be_is_refused(
    client: httpx2.AsyncClient, query: str, field: str
) -> None:
    answer = await client.get(f"/v1/jobs?{query}")
    assert (answer.status_code, answer.json()["field"]) == (422, field)


async def test_a_job_cancelled_twice_is_refused_the_second_time() -> None:
    async with served(NotingKind(found=[]), is_at_work=False) as app:
        job = await app.submitted()
        first = await app.client.post(f"/v1/jobs/{job['id']}/cancel")
        again = await app.client.post(f"/v1/jobs/{job['id']}/cancel")
    assert (first.status_code, first.json()["state"]) == (200, "cancelled")
    assert (again.status_code, again.json()["type"]) == (409, "/problems/job-state")


async def test_the_result_of_an_unfinished_job_is_refused() -> None:
    async with served(NotingKind(found=[]), is_at_work=False) as app:
        job = await app.submitted()
        answer = await app.client.get(f"/v1/jobs/{job['id']}/result")
    assert (answer.status_code, answer.json()["value"]) == (409, "queued")


async def test_a_job_that_is_not_over_is_not_forgotten() -> None:
    async with served(NotingKind(found=[]), is_at_work=False) as app:
        job = await app.submitted()
        answer = await app.client.delete(f"/v1/jobs/{job['id']}")
    assert (answer.status_code, answer.json()["value"]) == (409, "queued")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", ""),
        ("GET", "/failures"),
        ("GET", "/events"),
        ("GET", "/result"),
        ("POST", "/cancel"),
        ("POST", "/retry"),
        ("DELETE", ""),
    ],
)
async def test_what_is_asked_of_no_job_is_not_found(
    client: httpx2.AsyncClient, method: str, path: str
) -> None:
    answer = await client.request(method, f"/v1/jobs/{NOBODY}{path}")
    assert answer.status_code == 404
    assert answer.json()["type"] == "/problems/job-not-found"


@pytest.mark.parametrize(
    ("parameters", "field"),
    [
        ({f"p{number}": 1 for number in range(33)}, "parameters"),
        ({"assets": [NOBODY] * 100_001}, "body"),
        ({"assets": [1] * 1_000_001}, "body"),
    ],
)
async def test_a_body_that_would_take_long_to_parse_is_refused(
    client: httpx2.AsyncClient, parameters: Any, field: str
) -> None:
    answer = await ask(client, {"kind": "embed", "parameters": parameters})
    assert (answer.status_code, answer.json()["field"]) == (422, field)


async def test_the_commas_of_a_manifest_do_not_count_as_values(
    client: httpx2.AsyncClient,
) -> None:
    parameters = {"manifest": 'url,"a"\n' * 150_000, "k": 1}
    answer = await ask(client, {"kind": "ingest", "parameters": parameters})
    assert answer.json()["field"] != "body"
