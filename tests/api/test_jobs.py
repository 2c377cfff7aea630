"""Jobs over HTTP: asked for, listed, ended, and what they made."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import httpx2
import pytest

from dinoserve.domain.assets import Metadata
from dinoserve.domain.jobs import Job, part_name
from dinoserve.services.job_results import JobResults
from in_process import Connect
from odd_files import photo
from served_jobs import Served, ask, served
from working import NotingKind


async def test_a_job_is_accepted_with_its_place(client: httpx2.AsyncClient) -> None:
    answer = await ask(client, {"kind": "embed"})
    assert answer.status_code == 202
    assert answer.headers["location"] == f"/v1/jobs/{answer.json()['id']}"


async def test_a_job_embeds_what_lacks_a_vector(client: httpx2.AsyncClient) -> None:
    ids = [
        (
            await client.post("/v1/assets?embed=false", files={"file": photo(seed)})
        ).json()["id"]
        for seed in range(3)
    ]
    place = (await ask(client, {"kind": "embed"})).headers["location"]
    await client.get(f"{place}/events")

    job = (await client.get(place)).json()
    assets = [(await client.get(f"/v1/assets/{each}")).json() for each in ids]
    assert (job["state"], job["progress"]["done"]) == ("succeeded", 3)
    assert [len(asset["embeddings"]) for asset in assets] == [1, 1, 1]


async def test_a_job_erases_one_collection_only(client: httpx2.AsyncClient) -> None:
    for collection in ("kept", "gone"):
        form = {"collection": collection}
        await client.post("/v1/assets", files={"file": photo(1)}, data=form)
    place = (await ask(client, {"kind": "erase", "collection": "gone"})).headers[
        "location"
    ]
    await client.get(f"{place}/events")

    left = (await client.get("/v1/assets")).json()["assets"]
    assert [asset["collection"] for asset in left] == ["kept"]


async def test_the_same_key_gives_the_same_job(client: httpx2.AsyncClient) -> None:
    first = await ask(client, {"kind": "embed"}, idempotency_key="one")
    again = await ask(client, {"kind": "embed"}, idempotency_key="one")
    assert (first.status_code, again.status_code) == (202, 200)
    assert again.headers["location"] == first.headers["location"]


async def test_a_job_tells_whose_key_asked_for_it(connect: Connect) -> None:
    async with connect(api_keys="first,second") as client:
        answer = await ask(client, {"kind": "embed"}, x_api_key="second")
    assert answer.json()["requester"] == sha256(b"second").hexdigest()[:12]


async def test_long_parameters_are_shown_as_their_length(
    client: httpx2.AsyncClient,
) -> None:
    ids = [f"{number:032x}" for number in range(101)]
    answer = await ask(client, {"kind": "embed", "parameters": {"assets": ids}})
    assert answer.json()["parameters"] == {"assets": {"count": 101}}


async def test_jobs_are_listed_page_by_page_newest_first() -> None:
    async with served(NotingKind(found=[]), is_at_work=False) as app:
        ids = [(await app.submitted())["id"] for _ in range(5)]
        seen: list[str] = []
        cursor: str | None = ""
        while cursor is not None:
            page = await app.client.get(
                "/v1/jobs", params={"limit": 2} | ({"cursor": cursor} if cursor else {})
            )
            seen += [job["id"] for job in page.json()["jobs"]]
            cursor = page.json()["next_cursor"]
    assert seen == ids[::-1]


async def test_a_last_page_that_is_full_leads_to_no_other() -> None:
    async with served(NotingKind(found=[]), is_at_work=False) as app:
        for _ in range(2):
            await app.submitted()
        page = await app.client.get("/v1/jobs?limit=2")
    assert page.json()["next_cursor"] is None


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("state=queued", 1),
        ("state=queued&state=cancelled", 2),
        ("state=running", 0),
        ("kind=embed&collection=a", 1),
        ("kind=erase", 0),
    ],
)
async def test_jobs_are_listed_by_state_kind_and_collection(
    query: str, count: int
) -> None:
    async with served(NotingKind(found=[]), is_at_work=False) as app:
        await app.submitted(collection="a")
        job = await app.submitted(collection="b")
        await app.client.post(f"/v1/jobs/{job['id']}/cancel")
        answer = await app.client.get(f"/v1/jobs?{query}")
    assert len(answer.json()["jobs"]) == count


async def test_a_result_that_is_json_is_sent_as_such() -> None:
    async with served(NotingKind(found=["a", "b"], has_finish=True)) as app:
        job = await app.over_now(await app.submitted())
        answer = await app.client.get(f"/v1/jobs/{job['id']}/result")
    assert answer.json() == job["result"] == {"done": 2}


@dataclass
class MakingKind(NotingKind):
    """A kind whose result is a file of two lines."""

    results: JobResults | None = None

    async def finish(self, job: Job) -> Metadata:
        assert self.results
        lines = _pieces(b"{}\n", b"[]\n")
        kind = "application/x-ndjson"
        file = await self.results.keep(job.id, "a.ndjson", kind, lines)
        return {"file": file.to_json()}


async def _pieces(*pieces: bytes) -> AsyncGenerator[bytes]:
    for piece in pieces:
        yield piece


@asynccontextmanager
async def made() -> AsyncGenerator[tuple[Served, dict[str, Any]]]:
    """The app, and a job that has made a file."""
    kind = MakingKind(found=["a"], has_finish=True)
    async with served(kind) as app:
        kind.results = app.working.jobs.results
        yield app, await app.over_now(await app.submitted())


async def test_a_result_that_is_a_file_is_sent_under_its_name() -> None:
    async with made() as (app, job):
        answer = await app.client.get(f"/v1/jobs/{job['id']}/result")
    assert answer.content == b"{}\n[]\n"
    assert answer.headers["content-type"] == "application/x-ndjson"
    assert 'filename="a.ndjson"' in answer.headers["content-disposition"]


async def test_a_file_that_is_gone_is_unavailable() -> None:
    async with made() as (app, job):
        await app.working.jobs.results.erase(job["id"])
        answer = await app.client.get(f"/v1/jobs/{job['id']}/result")
    assert (answer.status_code, answer.json()["port"]) == (503, "objects")


async def test_a_forgotten_job_leaves_neither_record_nor_result() -> None:
    async with served(NotingKind(found=["a"])) as app:
        job = await app.over_now(await app.submitted())
        results = app.working.jobs.results
        await results.write(job["id"], 1, b"part")
        answer = await app.client.delete(f"/v1/jobs/{job['id']}")
        again = await app.client.delete(f"/v1/jobs/{job['id']}")
        left = await results.objects.size(part_name(job["id"], 1))
    assert (answer.status_code, again.status_code, left) == (204, 404, None)


async def test_failures_are_listed_page_by_page_with_their_reasons() -> None:
    kind = NotingKind(found=list("abcdefg"), spoilt=frozenset("abdef"), chunk_items=1)
    async with served(kind) as app:
        job = await app.over_now(await app.submitted())
        place, seen = f"/v1/jobs/{job['id']}/failures", list[Any]()
        cursor: str | None = ""
        while cursor is not None:
            query = {"limit": "2"} | ({"cursor": cursor} if cursor else {})
            page = (await app.client.get(place, params=query)).json()
            seen += page["failures"]
            cursor = page["next_cursor"]
    assert [failure["item"] for failure in seen] == list("abdef")
    assert {failure["code"] for failure in seen} == {"spoilt"}


async def test_what_failed_is_tried_again_on_request() -> None:
    kind = NotingKind(found=list("abc"), spoilt=frozenset("b"))
    async with served(kind) as app:
        job = await app.over_now(await app.submitted())
        kind.spoilt = frozenset()
        answer = await app.client.post(f"/v1/jobs/{job['id']}/retry")
        over = await app.over_now(job)
    assert (answer.status_code, over["progress"]["done"]) == (200, 3)


async def test_progress_has_a_percentage_only_once_every_item_is_found() -> None:
    async with served(NotingKind(found=list("abc")), is_at_work=False) as app:
        job = await app.submitted()
    assert job["progress"]["percent"] is None


async def test_a_finished_job_tells_its_rate_and_that_all_is_done() -> None:
    async with served(NotingKind(found=list("abc"))) as app:
        progress = (await app.over_now(await app.submitted()))["progress"]
    assert (progress["percent"], progress["eta_s"]) == (100.0, None)
    assert progress["rate_per_s"] > 0
