"""How every `JobStore` lists jobs and chunks: order, pages and conditions."""

import random
from dataclasses import replace
from datetime import timedelta
from typing import TypeAlias

import pytest

from dinoserve.domain.job_steps import Edited
from dinoserve.domain.jobs import FINISH, LIVE, PLAN, ChunkState, Job, JobState
from dinoserve.ports import ChunkQuery, JobCursor, JobQuery, JobStore
from jobs import EVERY, a_chunk, a_job, storing
from records import NOON

Shown: TypeAlias = tuple[str, int, str]

STATES: list[JobState] = ["queued", "running", "succeeded", "failed", "dead"]


async def filled(jobs: JobStore, count: int = 12) -> list[Job]:
    """Accept jobs of few moments, kinds and states; return them, oldest first."""
    accepted = [
        a_job(
            seed,
            kind=("embed", "quality")[seed % 2],
            created_at=NOON + timedelta(microseconds=seed // 4),
            state=STATES[seed % 5],
            collection=("one", "two", None)[seed % 3],
        )
        for seed in range(count)
    ]
    for job in random.sample(accepted, count):
        await jobs.accept(job, [])
    return sorted(accepted, key=place)


def place(job: Job) -> JobCursor:
    return JobCursor(job.created_at, job.id)


async def paged(jobs: JobStore, query: JobQuery) -> list[Job]:
    found: list[Job] = []
    while page := await jobs.jobs(query):
        assert len(page) <= query.limit
        found += page
        query = replace(query, after=place(page[-1]))
    return found


async def test_of_no_jobs_the_list_is_empty(jobs: JobStore) -> None:
    assert await jobs.jobs(JobQuery()) == []


async def test_jobs_are_listed_newest_first_ties_by_descending_id(
    jobs: JobStore,
) -> None:
    oldest_first = await filled(jobs)
    assert await jobs.jobs(JobQuery()) == oldest_first[::-1]


async def test_jobs_are_listed_oldest_first_ties_by_ascending_id(
    jobs: JobStore,
) -> None:
    oldest_first = await filled(jobs)
    assert await jobs.jobs(JobQuery(is_oldest_first=True)) == oldest_first


@pytest.mark.parametrize("limit", [1, 3, 4, 12, 13])
@pytest.mark.parametrize("is_oldest_first", [True, False])
async def test_pages_show_every_job_once(
    jobs: JobStore, limit: int, *, is_oldest_first: bool
) -> None:
    oldest_first = await filled(jobs)
    query = JobQuery(limit=limit, is_oldest_first=is_oldest_first)
    wanted = oldest_first if is_oldest_first else oldest_first[::-1]
    assert await paged(jobs, query) == wanted


@pytest.mark.parametrize("limit", [2, 50])
@pytest.mark.parametrize("is_oldest_first", [True, False])
async def test_pages_of_several_states_show_every_job_once(
    jobs: JobStore, limit: int, *, is_oldest_first: bool
) -> None:
    live = [job for job in await filled(jobs) if job.state in LIVE]
    query = JobQuery(LIVE, limit=limit, is_oldest_first=is_oldest_first)
    assert await paged(jobs, query) == (live if is_oldest_first else live[::-1])


async def test_a_page_continues_though_its_last_job_is_gone(jobs: JobStore) -> None:
    oldest_first = await filled(jobs)
    first = await jobs.jobs(JobQuery(limit=5))
    await jobs.forget(first[-1].id)
    rest = await jobs.jobs(JobQuery(after=place(first[-1])))
    assert first + rest == oldest_first[::-1]


@pytest.mark.parametrize(
    "query",
    [
        JobQuery(states=["dead"]),
        JobQuery(states={"succeeded", "failed", "cancelled"}),
        JobQuery(kind="quality"),
        JobQuery(collection="two"),
        JobQuery(kind="embed", collection="one"),
        JobQuery(states=("queued", "dead"), kind="embed", collection="one"),
        JobQuery(kind="absent"),
        JobQuery(states=STATES, limit=3),
    ],
    # Not as text: that of a set differs between the processes that share the tests.
    ids=range(8),
)
async def test_a_list_shows_just_the_jobs_that_are_meant(
    jobs: JobStore, query: JobQuery
) -> None:
    meant = [
        job
        for job in await filled(jobs, 30)
        if (not query.states or job.state in query.states)
        and query.kind in (None, job.kind)
        and query.collection in (None, job.collection)
    ]
    assert await jobs.jobs(query) == meant[::-1][: query.limit]


async def chunked(jobs: JobStore) -> list[Shown]:
    """Accept jobs with chunks of every state; return what a list shows of them."""
    shown: list[Shown] = []
    for seed in range(4):
        job = a_job(seed)
        chunks = [
            replace(a_chunk(job, number, str(number)), state=EVERY[(seed + number) % 4])
            for number in (9, FINISH, 10, PLAN, *range(1, 9))
        ]
        await jobs.accept(job, chunks)
        shown += [(job.id, chunk.number, chunk.state) for chunk in chunks]
    return sorted(shown)


async def all_shown(jobs: JobStore, query: ChunkQuery) -> list[Shown]:
    shown: list[Shown] = []
    while page := await jobs.chunks(query):
        assert len(page) <= query.limit
        assert all(chunk.items == (str(chunk.number),) for chunk in page)
        shown += [(chunk.job_id, chunk.number, chunk.state) for chunk in page]
        query = replace(query, after=(page[-1].job_id, page[-1].number))
    return shown


@pytest.mark.parametrize("limit", [1, 5, 1000])
@pytest.mark.parametrize(
    "states", [EVERY, ("waiting", "running"), ["buried"], frozenset({"done"})], ids=str
)
async def test_chunks_of_every_job_are_listed_by_job_and_number(
    jobs: JobStore, states: tuple[ChunkState, ...], limit: int
) -> None:
    meant = [each for each in await chunked(jobs) if each[2] in states]
    assert await all_shown(jobs, ChunkQuery(states, limit=limit)) == meant


@pytest.mark.parametrize("limit", [2, 50])
async def test_chunks_of_one_job_are_listed_by_number(
    jobs: JobStore, limit: int
) -> None:
    job_id = a_job(2).id
    states: tuple[ChunkState, ...] = ("waiting", "buried")
    meant = [e for e in await chunked(jobs) if e[0] == job_id and e[2] in states]
    assert await all_shown(jobs, ChunkQuery(states, job_id, limit=limit)) == meant


async def test_of_no_states_no_chunks_are_listed(jobs: JobStore) -> None:
    await chunked(jobs)
    assert await jobs.chunks(ChunkQuery(())) == []


async def test_an_absent_job_has_no_chunks(jobs: JobStore) -> None:
    await chunked(jobs)
    assert await jobs.chunks(ChunkQuery(EVERY, "f" * 32)) == []


async def test_an_edited_chunk_is_listed_under_its_new_state(jobs: JobStore) -> None:
    job = a_job()
    await jobs.accept(job, [a_chunk(job)])
    buried = replace(a_chunk(job), state="buried")
    await jobs.edit(job.id, [], storing(Edited(job, [buried])))
    assert await jobs.chunks(ChunkQuery(["waiting"])) == []
    assert await jobs.chunks(ChunkQuery(["buried"])) == [buried]


async def test_an_edited_job_is_listed_under_its_new_state(jobs: JobStore) -> None:
    job = a_job()
    await jobs.accept(job, [])
    over = replace(job, state="succeeded", version=2)
    await jobs.edit(job.id, [], storing(Edited(over)))
    assert await jobs.jobs(JobQuery(["queued"])) == []
    assert await jobs.jobs(JobQuery(["succeeded"])) == [over]
