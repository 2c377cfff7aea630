"""What every `JobStore` does when jobs are accepted, changed, shown and forgotten."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace

import pytest

from dinoserve.domain.job_steps import Edited
from dinoserve.domain.jobs import FINISH, PLAN, Chunk, Job
from dinoserve.errors import InvalidInputError
from dinoserve.ports import ChunkQuery, Edit, JobQuery, JobStore
from jobs import EVERY, LONE, a_chunk, a_job, storing


async def numbers(jobs: JobStore, job: Job) -> list[int]:
    return [chunk.number for chunk in await jobs.chunks(ChunkQuery(EVERY, job.id))]


def unchanged(job: Job, chunks: Mapping[int, Chunk]) -> Edited:
    return Edited(job, list(chunks.values()))


def counted(job: Job, chunks: Mapping[int, Chunk]) -> Edited:
    """Add one to what the job and its chunk count."""
    progress = replace(job.progress, done=job.progress.done + 1)
    chunk = replace(chunks[1], starts=chunks[1].starts + 1)
    return Edited(replace(job, progress=progress, version=job.version + 1), [chunk])


async def test_an_accepted_job_is_returned_and_kept(jobs: JobStore) -> None:
    job = a_job()
    assert await jobs.accept(job, [a_chunk(job, 1, "a")]) == job
    assert await jobs.job(job.id) == job
    assert await jobs.chunks(ChunkQuery(EVERY, job.id)) == [a_chunk(job, 1, "a")]


async def test_a_job_may_come_without_chunks(jobs: JobStore) -> None:
    await jobs.accept(a_job(), [])
    assert await numbers(jobs, a_job()) == []


async def test_an_absent_job_is_none(jobs: JobStore) -> None:
    assert await jobs.job("f" * 32) is None


async def test_a_job_accepted_twice_is_the_first(jobs: JobStore) -> None:
    first = a_job(parameters={"n": 1})
    await jobs.accept(first, [])
    again = replace(first, parameters={"n": 2})
    assert await jobs.accept(again, [a_chunk(again)]) == first
    assert await jobs.job(first.id) == first
    assert await numbers(jobs, first) == []


async def test_a_second_job_with_one_key_is_the_first(jobs: JobStore) -> None:
    first, second = a_job(1, key="k"), a_job(2, key="k")
    await jobs.accept(first, [])
    assert await jobs.accept(second, [a_chunk(second)]) == first
    assert await jobs.job(second.id) is None
    assert await numbers(jobs, second) == []


async def test_the_key_of_a_job_that_is_over_still_belongs_to_it(
    jobs: JobStore,
) -> None:
    first = a_job(1, key="k", state="succeeded")
    await jobs.accept(first, [])
    assert await jobs.accept(a_job(2, key="k"), []) == first


async def test_jobs_without_key_are_all_accepted(jobs: JobStore) -> None:
    for seed in range(3):
        job = a_job(seed)
        assert await jobs.accept(job, []) == job
    assert len(await jobs.jobs(JobQuery())) == 3


async def test_keys_differ_by_every_character(jobs: JobStore) -> None:
    for key in ("k", "K", "k ", "", "k\0"):
        job = a_job(repr(key), key=key)
        assert await jobs.accept(job, []) == job


async def test_of_twenty_jobs_with_one_key_at_once_one_is_accepted(
    jobs: JobStore,
) -> None:
    asked = [a_job(seed, key="k") for seed in range(20)]
    told = await asyncio.gather(
        *(jobs.accept(job, [a_chunk(job, 1, "a")]) for job in asked)
    )
    [winner] = await jobs.jobs(JobQuery())
    assert told == [winner] * 20
    assert await jobs.chunks(ChunkQuery(EVERY)) == [a_chunk(winner, 1, "a")]


async def test_an_edit_replaces_the_job_and_its_chunk(jobs: JobStore) -> None:
    job = a_job()
    await jobs.accept(job, [a_chunk(job, 1, "a"), a_chunk(job, 2, "b")])
    wanted = Edited(
        replace(job, state="running", version=2),
        [replace(a_chunk(job, 1, "a"), state="running", worker="w")],
    )
    assert await jobs.edit(job.id, [1], storing(wanted)) == wanted
    assert await jobs.job(job.id) == wanted.job
    [first, second] = await jobs.chunks(ChunkQuery(EVERY, job.id))
    assert (first, second) == (wanted.chunks[0], a_chunk(job, 2, "b"))


async def test_an_edit_sees_the_chunks_it_asks_for_that_are_there(
    jobs: JobStore,
) -> None:
    job, other = a_job(1), a_job(2)
    chunks = {number: a_chunk(job, number, "a") for number in (FINISH, PLAN, 1, 2)}
    await jobs.accept(job, list(chunks.values()))
    await jobs.accept(other, [a_chunk(other, 3)])
    seen: list[tuple[Job, dict[int, Chunk]]] = []
    await jobs.edit(
        job.id, [FINISH, PLAN, 2, 3], lambda job, some: seen.append((job, {**some}))
    )
    assert seen[-1] == (job, {n: chunks[n] for n in (FINISH, PLAN, 2)})


async def test_an_edit_that_asks_for_no_chunks_sees_none(jobs: JobStore) -> None:
    job = a_job()
    await jobs.accept(job, [a_chunk(job)])
    seen: list[Mapping[int, Chunk]] = []
    await jobs.edit(job.id, [], lambda _, chunks: seen.append(chunks))
    assert seen[-1] == {}


async def test_an_edit_adds_new_chunks(jobs: JobStore) -> None:
    job = a_job()
    await jobs.accept(job, [a_chunk(job, PLAN)])
    new = [a_chunk(job, number, str(number)) for number in range(1, 601)]
    await jobs.edit(job.id, [PLAN], lambda job, _: Edited(job, new))
    query = ChunkQuery(EVERY, job.id, after=(job.id, PLAN), limit=1000)
    assert await jobs.chunks(query) == new
    seen: list[int] = []
    await jobs.edit(job.id, range(1000), lambda _, some: seen.extend(sorted(some)))
    assert seen[-601:] == list(range(601))


async def test_an_edit_that_wants_nothing_changes_nothing(jobs: JobStore) -> None:
    job = a_job()
    await jobs.accept(job, [a_chunk(job)])
    assert await jobs.edit(job.id, [1], storing(None)) is None
    assert await jobs.job(job.id) == job


async def test_an_edit_of_an_absent_job_is_not_asked(jobs: JobStore) -> None:
    asked: list[Job] = []
    absent = "f" * 32
    assert await jobs.edit(absent, [1], lambda job, _: asked.append(job)) is None
    assert asked == []


async def test_an_edit_that_raises_stores_nothing_and_raises_through(
    jobs: JobStore,
) -> None:
    class OddError(Exception):
        pass

    def broken(job: Job, chunks: Mapping[int, Chunk]) -> Edited:
        raise OddError(job.id, len(chunks))

    job = a_job()
    await jobs.accept(job, [a_chunk(job)])
    with pytest.raises(OddError):
        await jobs.edit(job.id, [1], broken)
    assert await jobs.job(job.id) == job
    assert await jobs.edit(job.id, [1], counted) is not None


async def test_an_edit_whose_last_chunk_is_refused_stores_nothing(
    jobs: JobStore,
) -> None:
    job = a_job()
    await jobs.accept(job, [a_chunk(job)])
    wanted = Edited(
        replace(job, version=2), [a_chunk(job, 1, "new"), a_chunk(job, 2, LONE)]
    )
    with pytest.raises(InvalidInputError):
        await jobs.edit(job.id, [1], storing(wanted))
    assert await jobs.job(job.id) == job
    assert await jobs.chunks(ChunkQuery(EVERY, job.id)) == [a_chunk(job)]


async def test_of_fifty_edits_of_one_job_at_once_none_is_lost(jobs: JobStore) -> None:
    job = a_job()
    await jobs.accept(job, [a_chunk(job)])
    edited = await asyncio.gather(*(jobs.edit(job.id, [1], counted) for _ in range(50)))
    assert sorted(each.job.version for each in edited if each) == [*range(2, 52)]
    kept = await jobs.job(job.id)
    [chunk] = await jobs.chunks(ChunkQuery(EVERY, job.id))
    assert kept is not None
    assert (kept.progress.done, kept.version, chunk.starts) == (50, 51, 50)


async def test_one_of_twenty_who_begin_a_chunk_at_once_gets_it(jobs: JobStore) -> None:
    def begun_by(worker: str) -> Edit:
        def begin(job: Job, chunks: Mapping[int, Chunk]) -> Edited | None:
            if chunks[1].state == "running":
                return None
            return Edited(job, [replace(chunks[1], state="running", worker=worker)])

        return begin

    job = a_job()
    await jobs.accept(job, [a_chunk(job)])
    edited = await asyncio.gather(
        *(jobs.edit(job.id, [1], begun_by(str(worker))) for worker in range(20))
    )
    [won] = [each.chunks[0] for each in edited if each]
    assert await jobs.chunks(ChunkQuery(EVERY)) == [won]


async def test_a_forgotten_job_is_gone_with_its_chunks(jobs: JobStore) -> None:
    job, other = a_job(1, key="k"), a_job(2)
    for each in (job, other):
        await jobs.accept(each, [a_chunk(each, number) for number in range(3)])
    await jobs.forget(job.id)
    assert await jobs.job(job.id) is None
    assert await numbers(jobs, job) == []
    assert await numbers(jobs, other) == [0, 1, 2]


async def test_the_key_of_a_forgotten_job_is_free(jobs: JobStore) -> None:
    first, second = a_job(1, key="k"), a_job(2, key="k")
    await jobs.accept(first, [])
    await jobs.forget(first.id)
    assert await jobs.accept(second, []) == second


async def test_forgetting_an_absent_job_does_nothing(jobs: JobStore) -> None:
    await jobs.accept(a_job(), [])
    await jobs.forget("f" * 32)
    assert await jobs.job(a_job().id) == a_job()


async def test_a_job_that_is_edited_while_it_is_forgotten_leaves_nothing(
    jobs: JobStore,
) -> None:
    job = a_job()
    for _ in range(10):
        await jobs.accept(job, [a_chunk(job)])
        await asyncio.gather(jobs.edit(job.id, [1], unchanged), jobs.forget(job.id))
        assert await jobs.job(job.id) is None
        assert await numbers(jobs, job) == []
