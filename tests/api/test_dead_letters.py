"""Dead letters over HTTP: seen, tried anew, given up."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest

from served_jobs import Served, failing, served
from working import NotingKind

NOBODY = f"{'0' * 32}.1"


@asynccontextmanager
async def buried(jobs: int = 1) -> AsyncGenerator[tuple[Served, NotingKind, list[Any]]]:
    """The app, its kind, and jobs of two chunks each that are both buried."""
    kind = NotingKind(found=["a", "b"], chunk_items=1)
    kind.before = lambda chunk: failing("it broke")(chunk) if chunk.number else None
    async with served(kind, tries=1) as app:
        asked = [await app.submitted() for _ in range(jobs)]
        yield app, kind, [await app.over_now(job) for job in asked]


async def letters(app: Served, **query: str) -> dict[str, Any]:
    return (await app.client.get("/v1/jobs/dead", params=query)).json()


async def test_a_dead_letter_tells_its_error_and_attempts() -> None:
    async with buried() as (app, _, [job]):
        listed = (await letters(app))["dead_letters"]
        letter = (await app.client.get(f"/v1/jobs/dead/{job['id']}.1")).json()
    assert [each["id"] for each in listed] == [f"{job['id']}.1", f"{job['id']}.2"]
    assert (letter["error"], letter["starts"]) == ("RuntimeError: it broke", 1)
    assert (letter["contents"], letter["kind"]) == (["a"], "embed")


async def test_a_job_with_dead_letters_is_dead() -> None:
    async with buried() as (_, _, [job]):
        assert (job["state"], job["progress"]["buried"]) == ("dead", 2)


async def test_dead_letters_are_listed_page_by_page() -> None:
    async with buried(jobs=2) as (app, _, jobs):
        seen, page = list[str](), await letters(app, limit="3")
        while page["next_cursor"]:
            seen += [each["id"] for each in page["dead_letters"]]
            page = await letters(app, limit="3", cursor=page["next_cursor"])
        seen += [each["id"] for each in page["dead_letters"]]
    assert seen == sorted(f"{job['id']}.{number}" for job in jobs for number in (1, 2))


async def test_dead_letters_are_listed_by_kind() -> None:
    async with buried() as (app, _, _):
        own, other = await letters(app, kind="embed"), await letters(app, kind="erase")
    assert (len(own["dead_letters"]), other["dead_letters"]) == (2, [])


async def test_requeued_dead_letters_bring_their_job_to_its_end() -> None:
    async with buried() as (app, kind, [job]):
        kind.before = lambda _: None
        answer = await app.client.post("/v1/jobs/dead/requeue", json={"all": True})
        over = await app.over_now(job)
    assert answer.json() == {"changed": 2, "refused": 0, "errors": []}
    assert (over["state"], over["progress"]["done"]) == ("succeeded", 2)


async def test_one_dead_letter_of_two_is_requeued() -> None:
    async with buried() as (app, kind, [job]):
        kind.before = lambda _: None
        ids = [f"{job['id']}.1"]
        await app.client.post("/v1/jobs/dead/requeue", json={"ids": ids})
        over = await app.over_now(job)
    assert (over["progress"]["done"], over["progress"]["buried"]) == (1, 1)


async def test_discarded_dead_letters_are_failures_of_their_job() -> None:
    async with buried() as (app, _, [job]):
        answer = await app.client.post("/v1/jobs/dead/discard", json={"all": True})
        over = await app.over_now(job)
    assert answer.json()["changed"] == 2
    assert (over["state"], over["progress"]["reasons"]) == ("failed", {"buried": 2})


async def test_all_of_another_kind_are_left_alone() -> None:
    async with buried() as (app, _, _):
        body = {"all": True, "kind": "erase"}
        answer = await app.client.post("/v1/jobs/dead/discard", json=body)
        left = (await letters(app))["dead_letters"]
    assert (answer.json()["changed"], len(left)) == (0, 2)


async def test_an_id_that_is_no_dead_letter_does_not_hold_up_the_others() -> None:
    async with buried() as (app, _, [job]):
        body = {"ids": [NOBODY, f"{job['id']}.1"]}
        answer = (await app.client.post("/v1/jobs/dead/discard", json=body)).json()
    assert (answer["changed"], answer["refused"]) == (1, 1)
    assert answer["errors"][0]["field"] == NOBODY


async def test_a_dead_letter_that_is_not_there_is_not_found(
    client: httpx2.AsyncClient,
) -> None:
    answer = await client.get(f"/v1/jobs/dead/{NOBODY}")
    assert answer.json()["type"] == "/problems/job-not-found"


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"ids": []},
        {"ids": ["x"]},
        {"ids": [NOBODY] * 1001},
        {"all": False},
        {"all": True, "ids": [NOBODY]},
        {"ids": [NOBODY], "kind": "embed"},
        {"everything": True},
    ],
)
async def test_which_dead_letters_are_meant_must_be_told(
    client: httpx2.AsyncClient, body: Any
) -> None:
    answer = await client.post("/v1/jobs/dead/requeue", json=body)
    assert answer.status_code == 422
