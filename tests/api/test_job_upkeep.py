"""Jobs over HTTP that take pictures in, move them to a recipe, and clean up."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from in_process import connect_in_process
from odd_files import photo


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of pictures that jobs may read."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for seed in range(3):
        (folder / f"{seed}.jpg").write_bytes(photo(seed, 64, 48))
    return folder


@pytest.fixture
async def client(folder: Path) -> AsyncIterator[httpx2.AsyncClient]:
    async with connect_in_process(
        queue="memory:", ingest_folders=str(folder)
    ) as client:
        yield client


async def ask(
    client: httpx2.AsyncClient, kind: str, **parameters: Any
) -> httpx2.Response:
    body = {"kind": kind, "parameters": parameters}
    return await client.post("/v1/jobs", json=body)


async def over(
    client: httpx2.AsyncClient, kind: str, **parameters: Any
) -> dict[str, Any]:
    """Return the job once it is over."""
    accepted = await ask(client, kind, **parameters)
    assert accepted.status_code == 202, accepted.text
    place = accepted.headers["location"]
    await client.get(f"{place}/events")
    return dict((await client.get(place)).json())


async def test_a_folder_is_taken_in_and_can_be_searched(
    client: httpx2.AsyncClient, folder: Path
) -> None:
    job = await over(client, "ingest", folder=str(folder), collection="cats")

    assert (job["state"], job["progress"]["done"]) == ("succeeded", 3)
    [first, *_] = (await client.get("/v1/assets?collection=cats")).json()["assets"]
    query = {"query": {"asset": first["id"]}, "collection": "cats"}
    assert len((await client.post("/v1/search", json=query)).json()["hits"]) == 2


async def test_a_folder_outside_is_refused_and_named(
    client: httpx2.AsyncClient, folder: Path
) -> None:
    answer = await ask(client, "ingest", folder=str(folder.parent))

    assert answer.status_code == 422
    assert answer.json()["field"] == "parameters.folder"
    assert (await client.get("/v1/jobs")).json()["jobs"] == []


async def test_a_row_that_is_wrong_is_named_with_its_line(
    client: httpx2.AsyncClient,
) -> None:
    answer = await ask(client, "ingest", manifest="path\n/a.jpg\n\nx\n")

    assert answer.status_code == 422
    assert answer.json()["field"] == "parameters.manifest"


async def test_the_recipe_to_move_to_is_told_to_who_does_not_name_it(
    client: httpx2.AsyncClient,
) -> None:
    models = (await client.get("/v1/models")).json()
    recipe = models["data"][0]["recipe"]["id"]

    answer = await ask(client, "reembed")

    assert answer.status_code == 422
    assert (answer.json()["field"], answer.json()["limit"]) == (
        "parameters.recipe",
        recipe,
    )
    job = await over(client, "reembed", recipe=recipe)
    assert (job["state"], job["result"]) == (
        "succeeded",
        {"recipe": recipe, "left": 0, "removed": 0},
    )


async def test_a_database_is_compacted(client: httpx2.AsyncClient) -> None:
    job = await over(client, "compact", older_than_days=1)

    assert job["state"] == "succeeded"
    assert job["result"] == {
        "removed": 0,
        "kept": 0,
        "forgotten": 0,
        "bytes_before": None,
        "bytes_after": None,
    }
