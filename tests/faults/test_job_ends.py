"""Jobs that are cancelled, and chunks that kill whoever works on them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from dinoserve.settings import Settings
from dinoserve.stores import open_objects
from job_host import POISON
from job_load import loaded, over, submitted
from job_site import JobSite, job_site, until

ROUNDS = 3
FOR_EVER_S = 3600


@pytest.fixture
def site(tmp_path: Path) -> Iterator[JobSite]:
    with job_site(tmp_path) as site:
        yield site


async def test_a_chunk_that_kills_its_workers_is_buried_and_hurts_no_other(
    site: JobSite,
) -> None:
    load = await loaded(site, 2)
    poisoned, other = load.submit(), load.submit()
    poison = site.data / POISON
    poison.write_text(f"{poisoned} 5")
    with site.client() as client:
        until(lambda: site.has_worker(crashes=3) and bool(dead_letters(client)))
        assert over(client, other)["state"] == "succeeded"
        assert over(client, poisoned)["progress"]["ended"] == 40
        [letter] = dead_letters(client)
        assert (letter["job"], letter["chunk"]) == (poisoned, 5)
        assert letter["crashes"] == 3

        poison.unlink()
        answer = client.post("/v1/jobs/dead/requeue", json={"ids": [letter["id"]]})
        assert answer.json()["changed"] == 1
    await load.check()


async def test_a_chunk_that_kills_takes_no_other_with_it_again_and_again(
    site: JobSite,
) -> None:
    load = await loaded(site, 1, items=8)
    job = load.submit()
    (site.data / POISON).write_text(f"{job} 2")
    with site.client() as client:
        # Long enough that the chunk beside it is not done before the worker dies.
        until(
            lambda: (
                site.has_worker(crashes=3, pause_s=0.5)
                and client.get(f"/v1/jobs/{job}").json()["state"] == "dead"
            )
        )
        assert [each["chunk"] for each in dead_letters(client)] == [2]


async def test_a_running_job_that_is_cancelled_frees_its_workers_and_leaves_nothing(
    site: JobSite,
) -> None:
    load = await loaded(site, ROUNDS, items=8)
    site.worker(pause_s=FOR_EVER_S)
    with site.client() as client:
        for _ in range(ROUNDS):
            job = load.submit()
            site.host.said(rf"^begun \d+ {job}", times=2)
            client.post(f"/v1/jobs/{job}/cancel").raise_for_status()
            assert over(client, job)["state"] == "cancelled"


async def test_a_cancelled_export_leaves_no_part_of_its_file(site: JobSite) -> None:
    load = await loaded(site, 1, items=12)
    site.worker(export=2)
    with site.client() as client:
        over(client, load.submit())
        for _ in range(ROUNDS):
            job = submitted(client, "export")
            site.host.said(rf"^ended \d+ {job}", times=2)
            assert await kept(site, job)
            client.post(f"/v1/jobs/{job}/cancel").raise_for_status()
            assert over(client, submitted(client, "export"))["state"] == "succeeded"
            assert not await kept(site, job)


async def test_a_queued_job_that_is_cancelled_is_never_begun(site: JobSite) -> None:
    load = await loaded(site, 2)
    with site.client() as client:
        job, other = load.submit(), load.submit()
        client.post(f"/v1/jobs/{job}/cancel").raise_for_status()
        site.worker()
        assert over(client, other)["state"] == "succeeded"
        assert client.get(f"/v1/jobs/{job}").json()["progress"]["done"] == 0
    assert not any(job in line for line in site.host.lines if "begun" in line)


def dead_letters(client: httpx2.Client) -> list[dict[str, Any]]:
    return list(client.get("/v1/jobs/dead").json()["dead_letters"])


async def kept(site: JobSite, job: str) -> list[str]:
    """Return the objects of the job."""
    settings = Settings.model_validate({"data": site.data})
    results = await open_objects(settings, "results")
    return [each.sha256 async for each in results.scan(job)]
