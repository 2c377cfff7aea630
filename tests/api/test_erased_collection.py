"""What erasing a whole collection leaves of it in the graph: nothing, in any store."""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, closing, nullcontext
from pathlib import Path
from typing import Any

import httpx2
import pytest
from pymongo import AsyncMongoClient

from character_site import BUNDLED, checked, created, give, scene
from in_process import connect_in_process
from mongo_server import fresh_database

GONE = "gone-with-the-wind"
MONGO = pytest.param("mongo", marks=pytest.mark.needs("mongodb"))


@pytest.fixture(params=["sqlite", MONGO])
async def database(request: pytest.FixtureRequest) -> AsyncIterator[str]:
    """The URL of a database of its own."""
    here: AbstractAsyncContextManager[str] = nullcontext("sqlite:")
    async with fresh_database() if request.param == "mongo" else here as url:
        yield url


@pytest.fixture
async def client(database: str, tmp_path: Path) -> AsyncIterator[httpx2.AsyncClient]:
    app = connect_in_process(**BUNDLED, documents=database, data=tmp_path)
    async with app as client:
        yield client


async def done(client: httpx2.AsyncClient, kind: str, **asked: Any) -> dict[str, Any]:
    """Return the job once it is over."""
    answer = await client.post("/v1/jobs", json={"kind": kind, "parameters": asked})
    assert answer.status_code == 202, answer.text
    place = answer.headers["location"]
    await client.get(f"{place}/events")
    return (await client.get(place)).json()


async def related(client: httpx2.AsyncClient, ids: list[str]) -> None:
    """Relate these assets in every way that leaves the collection's name."""
    stated = [
        {"source": f"collection:{GONE}", "target": "tag:kept", "kind": "of_a_kind"},
        {"source": "entity:kept", "target": f"collection:{GONE}", "kind": "has"},
        {"source": f"asset:{ids[0]}", "target": "tag:kept", "kind": "shows"},
        {"source": "tag:kept", "target": "entity:kept", "kind": "has"},
    ]
    answer = await client.post("/v1/graph/relations", json={"relations": stated})
    assert answer.status_code == 200, answer.text
    job = await done(client, "network", collection=GONE, min_score=0.000001)
    assert job["result"]["relations_put"] > 0


async def kept(database: str, data: Path) -> dict[str, str]:
    """Return what every table or collection of the database has, as text."""
    if database != "sqlite:":
        async with AsyncMongoClient[dict[str, Any]](database) as server:
            mongo = server.get_default_database()
            names = await mongo.list_collection_names()
            return {name: str(await mongo[name].find().to_list()) for name in names}
    with closing(sqlite3.connect(data / "documents.sqlite")) as db:
        found = db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        return {
            name: str(db.execute(f'SELECT * FROM "{name}"').fetchall())
            for (name,) in found
        }


async def test_an_erased_collection_leaves_neither_assets_nor_its_name(
    client: httpx2.AsyncClient, database: str, tmp_path: Path
) -> None:
    ids = [await give(client, scene(n), collection=GONE) for n in range(3)]
    character = await created(client, {"asset": ids[0]}, collection=GONE)
    await checked(client, character, {"asset": ids[1]})
    await related(client, ids)

    job = await done(client, "erase", collection=GONE)

    assert job["state"] == "succeeded"
    told = await kept(database, tmp_path)
    # Jobs tell what they were asked until they are forgotten; notes of erasures go when
    # every process has seen them.
    for name, text in told.items():
        if name.startswith(("job", "erasure", "change")):
            continue
        assert not [key for key in ids if key in text], name
    relations = {name: text for name, text in told.items() if "relation" in name}
    assert "entity:kept" in str(relations)
    assert GONE not in str(relations)
    assert "of_a_kind" not in str(relations)
    path = f"/v1/graph/nodes/collection:{GONE}/neighbors"
    assert (await client.get(path)).status_code == 404


async def test_what_is_related_beside_an_erased_collection_stays(
    client: httpx2.AsyncClient,
) -> None:
    ids = [await give(client, scene(n), collection=GONE) for n in range(2)]
    await related(client, ids)

    await done(client, "erase", collection=GONE)

    answer = await client.get("/v1/graph/nodes/tag:kept/neighbors")
    assert [each["id"] for each in answer.json()["nodes"]] == ["entity:kept"]


async def test_erasing_some_of_a_collection_leaves_its_own_relations(
    client: httpx2.AsyncClient,
) -> None:
    ids = [await give(client, scene(n), collection=GONE, tags="old") for n in range(2)]
    await related(client, ids)

    job = await done(client, "erase", collection=GONE, tags=["old"])

    assert job["progress"]["done"] == 2
    path = f"/v1/graph/nodes/collection:{GONE}/neighbors"
    answer = await client.get(path)
    assert {each["id"] for each in answer.json()["nodes"]} == {
        "tag:kept",
        "entity:kept",
    }
