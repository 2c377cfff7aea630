"""Questions to PathRAG over HTTP, and what it is told of relations meanwhile."""

from collections.abc import AsyncGenerator, Generator
from typing import Any

import httpx2
import pytest

from dinoserve.adapters import pathrag as adapter
from guarded_forward import until
from in_process import Connect
from odd_files import photo
from pathrag_server import Fault, PathRagServer, pathrag

ASK = "/v1/graph/ask"


@pytest.fixture
def server() -> Generator[PathRagServer]:
    with pathrag() as server:
        yield server


@pytest.fixture
async def asking(
    connect: Connect, server: PathRagServer
) -> AsyncGenerator[httpx2.AsyncClient]:
    async with connect(pathrag=server.url) as client:
        yield client


async def give(client: httpx2.AsyncClient, seed: int, **fields: Any) -> str:
    answer = await client.post("/v1/assets", files={"file": photo(seed)}, data=fields)
    return str(answer.json()["id"])


async def relate(client: httpx2.AsyncClient, source: str, target: str) -> None:
    one = {"source": source, "target": target, "kind": "shows", "weight": 0.5}
    answer = await client.post("/v1/graph/relations", json={"relations": [one]})
    assert answer.status_code == 200, answer.text


async def told(
    client: httpx2.AsyncClient, server: PathRagServer, seed: int = 1, **fields: Any
) -> str:
    """Give an asset that shows whiskers, wait until PathRAG has it; return its id."""
    asset = await give(client, seed, **fields)
    await relate(client, f"asset:{asset}", "tag:whiskers")
    await until(lambda: asset.upper() in str(server.links))
    return asset


async def port_of(client: httpx2.AsyncClient) -> dict[str, Any]:
    answer = await client.get("/readyz")
    assert answer.status_code == 200
    [port] = [port for port in answer.json()["ports"] if port["name"] == "pathrag"]
    return port


async def test_an_answer_comes_with_the_assets_that_it_rests_on(
    asking: httpx2.AsyncClient, server: PathRagServer
) -> None:
    asset = await told(asking, server, subject="Chelsea")
    answer = await asking.post(ASK, json={"question": "who has whiskers?"})
    body = answer.json()
    assert answer.status_code == 200
    assert body["answer"].startswith("It is said")
    assert [one["id"] for one in body["assets"]] == [asset]
    assert body["assets"][0]["subject"] == "Chelsea"
    assert body["served_by"] == "pathrag"
    assert body["context"] is None


async def test_the_context_is_shown_to_who_asks_for_it(
    asking: httpx2.AsyncClient, server: PathRagServer
) -> None:
    await told(asking, server)
    body = {"question": "whiskers", "context": True, "mode": "local", "top_k": 1}
    answer = (await asking.post(ASK, json=body)).json()
    assert 'tag ""whiskers""' in answer["context"]


async def test_an_answer_without_a_context_rests_on_no_asset(
    asking: httpx2.AsyncClient,
) -> None:
    answer = await asking.post(ASK, json={"question": "anything?"})
    assert answer.json()["assets"] == []


async def test_an_asset_that_is_erased_is_not_shown_though_the_context_names_it(
    asking: httpx2.AsyncClient, server: PathRagServer
) -> None:
    asset = await told(asking, server)
    server.silent = {"deletes"}
    await asking.delete(f"/v1/assets/{asset}")
    body = {"question": "whiskers", "context": True}
    answer = (await asking.post(ASK, json=body)).json()
    assert asset.upper() in answer["context"]
    assert answer["assets"] == []


async def test_without_the_setting_the_answer_names_it(
    client: httpx2.AsyncClient,
) -> None:
    answer = await client.post(ASK, json={"question": "who?"})
    assert answer.status_code == 409
    assert answer.json()["type"] == "/problems/not-configured"
    assert answer.json()["setting"] == "DINOSERVE_PATHRAG"


@pytest.mark.parametrize("fault", ["500", "garbage", "cut", "huge", "no text"])
async def test_a_server_that_fails_is_told_as_unavailable(
    asking: httpx2.AsyncClient, server: PathRagServer, fault: Fault
) -> None:
    server.faults = {"/query": fault}
    answer = await asking.post(ASK, json={"question": "who?"})
    assert answer.status_code == 503
    assert answer.json()["port"] == "pathrag"
    assert "secret" not in answer.text


async def test_a_server_that_is_too_slow_for_the_caller_is_given_up(
    asking: httpx2.AsyncClient, server: PathRagServer
) -> None:
    server.faults = {"/query": "slow"}
    headers = {"x-request-timeout": "0.1"}
    answer = await asking.post(ASK, json={"question": "who?"}, headers=headers)
    assert answer.status_code == 504
    assert answer.json()["type"] == "/problems/deadline-exceeded"


async def test_a_server_that_is_too_slow_for_anybody_is_given_up(
    asking: httpx2.AsyncClient,
    server: PathRagServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(adapter, "_ASK_S", 0.1)
    server.faults = {"/query": "slow"}
    answer = await asking.post(ASK, json={"question": "who?"})
    assert answer.status_code == 504
    assert "PathRAG did not answer within 0.1 s" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("question", ""),
        ("question", " \n "),
        ("question", "x" * 4097),
        ("question", 7),
        ("mode", "magic"),
        ("top_k", 0),
        ("top_k", 201),
        ("top_k", "many"),
        ("context", "yes"),
        ("answer", "mine"),
    ],
)
async def test_what_cannot_be_asked_is_refused_by_its_name(
    asking: httpx2.AsyncClient, server: PathRagServer, field: str, value: object
) -> None:
    answer = await asking.post(ASK, json={"question": "who?"} | {field: value})
    assert answer.status_code == 422
    assert answer.json()["field"] == field
    assert server.answers == {}


async def test_a_server_without_its_pathrag_is_ready_and_says_so(
    asking: httpx2.AsyncClient, server: PathRagServer
) -> None:
    there = await port_of(asking)
    server.faults = {"*": "500"}
    away = await port_of(asking)
    assert (there["ok"], there["detail"]) == (True, "PathRAG 1.0.0")
    assert (away["ok"], away["detail"]) == (False, "PathRAG answered 500.")


async def test_a_pathrag_that_nobody_set_is_not_listed(
    client: httpx2.AsyncClient,
) -> None:
    ports = (await client.get("/readyz")).json()["ports"]
    assert "pathrag" not in {port["name"] for port in ports}


async def test_what_was_put_and_erased_while_it_was_away_reaches_it_later(
    connect: Connect,
) -> None:
    with pathrag() as server:
        pass
    port = int(server.url.rpartition(":")[2])
    async with connect(pathrag=server.url) as client:
        with pathrag(server, port):
            gone = await told(client, server, 1, subject="Ann")
        kept = await give(client, 2)
        await relate(client, f"asset:{kept}", "tag:paws")
        assert (await client.delete(f"/v1/assets/{gone}")).status_code == 204
        with pathrag(server, port):
            await until(lambda: kept.upper() in str(server.links))
            personal = ("Ann", "whiskers", gone.upper())
            await until(lambda: not any(one in server.kept for one in personal))


@pytest.mark.parametrize("what", ["collection", "subject"])
async def test_erasing_many_assets_leaves_nothing_of_them(
    asking: httpx2.AsyncClient, server: PathRagServer, what: str
) -> None:
    fields = {"collection": "shots", "subject": "Ann"}
    gone = [await told(asking, server, seed, **fields) for seed in (1, 2)]
    kept = await told(asking, server, 3)
    body = {"kind": "erase", "parameters": {what: fields[what]}}
    assert (await asking.post("/v1/jobs", json=body)).status_code == 202
    await until(lambda: not any(one.upper() in server.kept for one in gone))
    assert "Ann" not in server.kept
    assert "shots" not in server.kept
    assert kept.upper() in str(server.links)
