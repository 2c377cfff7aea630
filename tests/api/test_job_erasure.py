"""Who erases an asset erases what jobs made of it: over HTTP, on real stores."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest

from in_process import connect_in_process
from odd_files import photo

MAKING: dict[str, dict[str, Any]] = {
    "similarity": {"collection": "cats", "mode": "matrix"},
    "export": {"collection": "cats", "format": "npz"},
    "quality": {"collection": "cats"},
    "groups": {"collection": "cats"},
    "duplicates": {"collections": ["cats"]},
}


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[httpx2.AsyncClient]:
    async with connect_in_process(
        data=str(tmp_path),
        documents="sqlite:",
        objects="file:",
        queue="memory:",
    ) as client:
        yield client


async def given(
    client: httpx2.AsyncClient, count: int = 3, collection: str = "cats"
) -> list[str]:
    """Upload pictures; return their ids."""
    ids: list[str] = []
    for seed in range(count):
        answer = await client.post(
            "/v1/assets",
            files={"file": photo(seed, 64, 48)},
            data={"collection": collection},
        )
        assert answer.status_code == 201, answer.text
        ids.append(answer.json()["id"])
    return ids


async def over(
    client: httpx2.AsyncClient, kind: str, **parameters: Any
) -> dict[str, Any]:
    """Return the job once it is over."""
    body = {"kind": kind, "parameters": parameters}
    accepted = await client.post("/v1/jobs", json=body)
    assert accepted.status_code == 202, accepted.text
    place = accepted.headers["location"]
    await client.get(f"{place}/events")
    return dict((await client.get(place)).json())


async def erase(client: httpx2.AsyncClient, asset: str) -> None:
    assert (await client.delete(f"/v1/assets/{asset}")).status_code == 204


def made_of(folder: Path, job: dict[str, Any]) -> list[Path]:
    """Return the files that are kept of the job."""
    found = (folder / "results").rglob(f"*{job['id']}*")
    return [path for path in found if path.is_file()]


async def vector_of(client: httpx2.AsyncClient, asset: str) -> bytes:
    body = {"input": [asset], "model": "default"}
    answer = await client.post("/v1/embeddings", json=body)
    return np.float32(answer.json()["data"][0]["embedding"]).tobytes()


def telling(folder: Path, *secrets: bytes) -> list[Path]:
    """Return the files in which one of these is; records of jobs may name it."""
    return [
        path
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith("documents.sqlite")
        if any(each in path.read_bytes() for each in secrets)
    ]


@pytest.mark.parametrize("kind", list(MAKING))
async def test_what_a_job_made_goes_with_an_asset_that_it_covers(
    client: httpx2.AsyncClient, tmp_path: Path, kind: str
) -> None:
    asset, *_ = await given(client)
    job = await over(client, kind, **MAKING[kind])
    assert job["state"] == "succeeded", job
    assert len(made_of(tmp_path, job)) == 1

    await erase(client, asset)

    place = f"/v1/jobs/{job['id']}"
    answer, record = await client.get(f"{place}/result"), await client.get(place)
    assert (answer.status_code, answer.json()["type"]) == (
        410,
        "/problems/result-erased",
    )
    assert record.json()["state"] == "succeeded"
    assert record.json()["result"] is None
    assert record.json()["erased_at"]
    assert made_of(tmp_path, job) == []


async def test_nothing_that_is_kept_tells_of_an_erased_asset(
    client: httpx2.AsyncClient, tmp_path: Path
) -> None:
    asset, *_ = await given(client)
    vector = await vector_of(client, asset)
    for kind, parameters in MAKING.items():
        await over(client, kind, **parameters)
    assert telling(tmp_path, vector), "the search would find nothing in any case"

    await erase(client, asset)

    assert telling(tmp_path, vector, asset.encode(), asset.encode("utf-32-le")) == []


async def test_a_job_of_named_assets_loses_its_result_with_one_of_them_only(
    client: httpx2.AsyncClient,
) -> None:
    one, two, other = await given(client)
    job = await over(client, "similarity", assets=[one, two])
    place = f"/v1/jobs/{job['id']}/result"

    await erase(client, other)
    before = await client.get(place)
    await erase(client, two)

    assert (before.status_code, (await client.get(place)).status_code) == (200, 410)


async def test_a_job_of_another_collection_keeps_its_result(
    client: httpx2.AsyncClient,
) -> None:
    asset, *_ = await given(client)
    await given(client, collection="dogs")
    job = await over(client, "export", collection="dogs")

    await erase(client, asset)

    assert (await client.get(f"/v1/jobs/{job['id']}/result")).status_code == 200


async def test_a_result_goes_with_an_asset_of_the_set_that_it_refers_to(
    client: httpx2.AsyncClient,
) -> None:
    asset, *_ = await given(client)
    await given(client, collection="dogs")
    job = await over(client, "quality", collection="dogs", reference="cats")
    assert job["state"] == "succeeded", job

    await erase(client, asset)

    assert (await client.get(f"/v1/jobs/{job['id']}/result")).status_code == 410


async def test_a_job_that_names_neither_asset_nor_collection_covers_every_asset(
    client: httpx2.AsyncClient,
) -> None:
    asset, *_ = await given(client)
    job = await over(client, "export")

    await erase(client, asset)

    assert (await client.get(f"/v1/jobs/{job['id']}/result")).status_code == 410


async def test_an_erase_job_erases_results_too(
    client: httpx2.AsyncClient, tmp_path: Path
) -> None:
    await given(client, 5)
    job = await over(client, "export", collection="cats")

    await over(client, "erase", collection="cats")

    assert (await client.get(f"/v1/jobs/{job['id']}/result")).status_code == 410
    assert made_of(tmp_path, job) == []


async def test_a_job_does_not_tell_under_which_number_its_file_is_kept(
    client: httpx2.AsyncClient,
) -> None:
    await given(client)
    job = await over(client, "export", collection="cats")
    assert job["result"]["file"].keys() == {
        "name",
        "media_type",
        "size_bytes",
        "sha256",
    }


async def test_an_erased_job_is_not_retried(client: httpx2.AsyncClient) -> None:
    asset, *_ = await given(client)
    absent = "0" * 32
    job = await over(client, "similarity", assets=[asset, absent])
    assert job["progress"]["failed"] == 1

    await erase(client, asset)
    answer = await client.post(f"/v1/jobs/{job['id']}/retry")

    assert (answer.status_code, answer.json()["field"]) == (409, "state")


async def test_upkeep_keeps_its_result(client: httpx2.AsyncClient) -> None:
    asset, *_ = await given(client)
    job = await over(client, "compact")

    await erase(client, asset)

    assert (await client.get(f"/v1/jobs/{job['id']}/result")).status_code == 200


async def test_parts_stay_as_long_as_a_retry_needs_them(
    client: httpx2.AsyncClient, tmp_path: Path
) -> None:
    asset, other, _ = await given(client)
    job = await over(client, "similarity", assets=[asset, other, "0" * 32])

    retried = await client.post(f"/v1/jobs/{job['id']}/retry")
    await client.get(f"/v1/jobs/{job['id']}/events")
    again = (await client.get(f"/v1/jobs/{job['id']}")).json()

    assert (retried.status_code, again["state"]) == (200, "succeeded")
    assert again["result"]["assets"] == 2
    assert len(made_of(tmp_path, job)) > 1
