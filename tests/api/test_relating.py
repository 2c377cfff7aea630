"""What fills the graph, over HTTP: duplicates, networks, and what erasing leaves."""

import asyncio
import io
import sqlite3
from collections.abc import AsyncGenerator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx2
import pytest
from PIL import Image

from character_site import BUNDLED, checked, created, give, scene
from in_process import connect_in_process
from odd_files import encoded


@pytest.fixture
async def client() -> AsyncGenerator[httpx2.AsyncClient]:
    async with connect_in_process(**BUNDLED) as client:
        yield client


def again(data: bytes, kind: str = "BMP", **how: Any) -> bytes:
    """Return the picture encoded anew."""
    return encoded(Image.open(io.BytesIO(data)).convert("RGB"), kind, **how)


async def relations(
    client: httpx2.AsyncClient, node: str, **asked: Any
) -> list[dict[str, Any]]:
    answer = await client.get(f"/v1/graph/nodes/{node}/neighbors", params=asked)
    if answer.status_code == 404:
        return []
    assert answer.status_code == 200, answer.text
    return answer.json()["relations"]


async def done(client: httpx2.AsyncClient, kind: str, **asked: Any) -> dict[str, Any]:
    """Return a job once it is over."""
    answer = await client.post("/v1/jobs", json={"kind": kind, "parameters": asked})
    assert answer.status_code == 202, answer.text
    async with asyncio.timeout(60):
        while True:
            job = (await client.get(f"/v1/jobs/{answer.json()['id']}")).json()
            if job["state"] not in {"queued", "running"}:
                return job
            await asyncio.sleep(0.01)


async def copies(client: httpx2.AsyncClient) -> tuple[str, str, str, str]:
    """Give a picture, its bytes elsewhere, its pixels again, and a near copy."""
    data = scene(1)
    return (
        await give(client, data),
        await give(client, data, collection="b"),
        await give(client, again(data)),
        await give(client, again(data, "JPEG", quality=40)),
    )


async def test_duplicates_are_related_with_their_evidence(
    client: httpx2.AsyncClient,
) -> None:
    ids = await copies(client)

    body = {"assets": ids, "relate": True}
    answer = (await client.post("/v1/duplicates", json=body)).json()

    made = {
        (each["source"], each["target"], each["kind"]): each
        for key in ids
        for each in await relations(client, f"asset:{key}")
    }
    assert answer["related"] == len(made)
    expected = {
        (f"asset:{copy}", f"asset:{group['keep']['asset']}", by)
        for name, by in (("exact", "bytes"), ("same_pixels", "pixels"))
        for group in answer[name]
        for copy in set(group["assets"]) - {group["keep"]["asset"]}
    }
    same = [each for each in made.values() if each["kind"] == "duplicate"]
    assert {
        (each["source"], each["target"], each["attributes"]["by"]) for each in same
    } == expected
    assert len(expected) == 2
    [near] = [each for each in made.values() if each["kind"] == "near_duplicate"]
    [pair] = answer["near"][0]["pairs"]
    assert near["weight"] == 1 - pair["distance"] / 64
    assert near["attributes"]["patch_share"] == pytest.approx(pair["patch_share"])
    assert {each["origin"] for each in made.values()} == {"duplicates"}


async def test_nothing_is_related_unless_it_is_asked_for(
    client: httpx2.AsyncClient,
) -> None:
    one, *others = await copies(client)

    answer = await client.post("/v1/duplicates", json={"assets": [one, *others]})

    assert answer.json()["related"] is None
    assert await relations(client, f"asset:{one}") == []


async def test_a_job_relates_the_same_and_a_stricter_one_takes_back(
    client: httpx2.AsyncClient,
) -> None:
    ids = await copies(client)
    first = await done(client, "duplicates", assets=ids, relate=True)
    found = [each for key in ids for each in await relations(client, f"asset:{key}")]

    await done(
        client, "duplicates", assets=ids, relate=True, lists=["near"], min_patch_share=1
    )

    assert first["result"]["related"] == 3
    assert {each["origin"] for each in found} == {f"job:{first['id']}"}
    kinds = {
        each["kind"] for key in ids for each in await relations(client, f"asset:{key}")
    }
    assert kinds == {"duplicate"}


async def test_a_network_is_walked_over_http(client: httpx2.AsyncClient) -> None:
    ids = [await give(client, scene(n)) for n in range(4)]

    job = await done(client, "network", collection="default", k=3, min_score=0.01)

    assert job["state"] == "succeeded"
    assert job["result"]["relations_put"] == 12
    told = await relations(client, f"asset:{ids[0]}", kind="similar", direction="out")
    assert {each["target"] for each in told} == {f"asset:{key}" for key in ids[1:]}


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"collection": "a", "min_score": 0}, "parameters.min_score"),
        ({"collection": "a", "k": 101}, "parameters.k"),
        ({"collection": "a", "assets": ["0" * 32]}, "parameters"),
        ({}, "parameters"),
    ],
    ids=["score", "k", "two choices", "no choice"],
)
async def test_a_network_that_cannot_be_is_refused(
    client: httpx2.AsyncClient, asked: dict[str, Any], field: str
) -> None:
    body = {"kind": "network", "parameters": asked}

    answer = await client.post("/v1/jobs", json=body)

    assert answer.status_code == 422
    assert answer.json()["field"].startswith(field)


async def test_nothing_of_erased_assets_is_left_in_the_database(
    tmp_path: Path,
) -> None:
    app = connect_in_process(**BUNDLED, documents="sqlite:", data=tmp_path)
    async with app as client:
        best, *ids = await copies(client)
        character = await created(client, {"asset": best})
        await checked(client, character, {"asset": ids[1]})
        await done(client, "network", collection="default", min_score=0.01)
        await done(client, "duplicates", assets=[best, *ids], relate=True)
        assert len(await relations(client, f"asset:{best}")) > 3

        await client.delete(f"/v1/assets/{best}")
        await done(client, "erase", collection="b")

        told = [await relations(client, f"asset:{key}") for key in ids]
        assert best not in str(told)
    assert best not in told_of_relations(tmp_path)
    assert ids[0] not in told_of_relations(tmp_path)


def told_of_relations(data: Path) -> str:
    """Return all that the database keeps of relations, as text."""
    with closing(sqlite3.connect(data / "documents.sqlite")) as db:
        tables = [
            name
            for (name,) in db.execute(
                "SELECT name FROM sqlite_master WHERE type='table'"
            )
            if "relation" in name or "character" in name
        ]
        assert any("relation" in name for name in tables)
        return str(
            [db.execute(f'SELECT * FROM "{name}"').fetchall() for name in tables]
        )
