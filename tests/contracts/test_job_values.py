"""Every `JobStore` gives jobs and chunks back just as they were given."""

from dataclasses import replace
from datetime import timedelta, timezone

import pytest

from dinoserve.domain.job_steps import Edited
from dinoserve.domain.jobs import Chunk, Failure, Progress
from dinoserve.errors import InvalidInputError
from dinoserve.ports import ChunkQuery, JobQuery, JobStore
from jobs import EVERY, LONE, ODD_TEXT, a_chunk, a_job, storing
from records import NOON


async def test_every_field_of_a_job_comes_back_as_it_was_given(jobs: JobStore) -> None:
    later = NOON + timedelta(microseconds=1)
    job = replace(
        a_job(parameters={"nested": {ODD_TEXT: [1, 2.5, None, True, 2**60]}}),
        requester=ODD_TEXT,
        collection=ODD_TEXT,
        key=ODD_TEXT,
        has_finish=True,
        state="failed",
        version=2**40,
        started_at=later,
        finished_at=later + timedelta(days=400),
        progress=Progress(9, 8, 7, {"a.b$c": 6, "": 1}, 5, 4, 3, is_planned=True),
        result={"at": [ODD_TEXT], "empty": {}},
        error=ODD_TEXT,
    )
    await jobs.accept(job, [])
    assert await jobs.job(job.id) == job
    assert await jobs.jobs(JobQuery()) == [job]


async def test_every_field_of_a_chunk_comes_back_as_it_was_given(
    jobs: JobStore,
) -> None:
    job = a_job()
    chunk = Chunk(
        job_id=job.id,
        number=7,
        run_at=NOON + timedelta(microseconds=1),
        items=("", ODD_TEXT, "x" * 500),
        cursor=ODD_TEXT,
        state="buried",
        worker=ODD_TEXT,
        seen_at=NOON - timedelta(microseconds=1),
        starts=1,
        tries=2,
        crashes=3,
        done=4,
        failures=(Failure("a", "image-damaged", ODD_TEXT), Failure("", "", "")),
        error=ODD_TEXT,
    )
    await jobs.accept(job, [chunk])
    assert await jobs.chunks(ChunkQuery(["buried"])) == [chunk]


async def test_a_bare_job_and_chunk_come_back_bare(jobs: JobStore) -> None:
    job = a_job(collection=None)
    await jobs.accept(job, [a_chunk(job)])
    [chunk] = await jobs.chunks(ChunkQuery(EVERY))
    assert await jobs.job(job.id) == job
    assert (chunk.items, chunk.failures, chunk.cursor, chunk.seen_at) == (
        (),
        (),
        None,
        None,
    )


async def test_a_result_that_is_empty_is_not_none(jobs: JobStore) -> None:
    job = replace(a_job(), result={})
    await jobs.accept(job, [])
    assert await jobs.job(job.id) == job


async def test_an_edit_may_take_values_away(jobs: JobStore) -> None:
    job = replace(a_job(), result={"a": 1}, error="e", finished_at=NOON)
    bare = replace(job, result=None, error=None, finished_at=None)
    await jobs.accept(job, [])
    await jobs.edit(job.id, [], storing(Edited(bare)))
    assert await jobs.job(job.id) == bare


async def test_a_time_in_another_zone_is_the_same_time(jobs: JobStore) -> None:
    tokyo = NOON.astimezone(timezone(timedelta(hours=9)))
    await jobs.accept(a_job(created_at=tokyo), [])
    assert await jobs.job(a_job().id) == a_job()


async def test_large_parameters_and_many_items_come_back(jobs: JobStore) -> None:
    job = a_job(parameters={"ids": [f"{n:032x}" for n in range(30_000)]})
    chunk = a_chunk(job, 1, *(f"{n:032x}" for n in range(5000)))
    await jobs.accept(job, [chunk])
    assert await jobs.job(job.id) == job
    assert await jobs.chunks(ChunkQuery(EVERY)) == [chunk]


async def test_changing_what_was_given_or_read_changes_nothing_stored(
    jobs: JobStore,
) -> None:
    parameters: dict[str, object] = {"list": [1]}
    reasons = {"a": 1}
    job = a_job(parameters=parameters)
    job = replace(job, progress=Progress(reasons=reasons), result=parameters)
    await jobs.accept(job, [])
    parameters["list"] = reasons["a"] = 2
    read = await jobs.job(job.id)
    assert read is not None
    read.parameters["more"] = 1  # pyright: ignore[reportIndexIssue] - just what nobody should do
    kept = await jobs.job(job.id)
    assert kept is not None
    assert kept.parameters == kept.result == {"list": [1]}
    assert kept.progress.reasons == {"a": 1}


@pytest.mark.parametrize(
    "bad",
    [
        {"kind": LONE},
        {"parameters": {LONE: 1}},
        {"collection": LONE},
        {"requester": LONE},
        {"key": LONE},
        {"result": {"a": [LONE]}},
        {"error": LONE},
        {"progress": Progress(reasons={LONE: 1})},
    ],
    ids=lambda bad: next(iter(bad)),
)
async def test_a_job_with_text_that_is_not_unicode_is_refused(
    jobs: JobStore, bad: dict[str, object]
) -> None:
    job = a_job()
    with pytest.raises(InvalidInputError):
        await jobs.accept(replace(job, **bad), [a_chunk(job)])
    assert await jobs.jobs(JobQuery()) == []
    assert await jobs.chunks(ChunkQuery(EVERY)) == []


@pytest.mark.parametrize(
    "bad",
    [
        {"items": ("a", LONE)},
        {"cursor": LONE},
        {"worker": LONE},
        {"failures": (Failure("a", "b", LONE),)},
        {"error": LONE},
    ],
    ids=lambda bad: next(iter(bad)),
)
async def test_a_chunk_with_text_that_is_not_unicode_refuses_its_job(
    jobs: JobStore, bad: dict[str, object]
) -> None:
    job = a_job()
    with pytest.raises(InvalidInputError):
        await jobs.accept(job, [a_chunk(job), replace(a_chunk(job, 2), **bad)])
    assert await jobs.jobs(JobQuery()) == []
    assert await jobs.chunks(ChunkQuery(EVERY)) == []


async def test_looking_for_text_that_is_not_unicode_is_refused(jobs: JobStore) -> None:
    with pytest.raises(InvalidInputError):
        await jobs.job(LONE)
    with pytest.raises(InvalidInputError):
        await jobs.jobs(JobQuery(collection=LONE))
    with pytest.raises(InvalidInputError):
        await jobs.chunks(ChunkQuery(EVERY, LONE))
