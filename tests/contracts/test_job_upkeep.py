"""How every `JobStore` tells what waits, what was erased, and what was left over."""

from dataclasses import replace
from datetime import timedelta

from dinoserve.domain.job_steps import Edited
from dinoserve.domain.jobs import Job, JobState, Progress
from dinoserve.ports import DocumentStore, JobQuery, JobStore, Waiting
from jobs import a_job, storing
from records import NOON, an_asset


async def kept(jobs: JobStore, *accepted: Job) -> None:
    for job in accepted:
        await jobs.accept(job, [])


async def told(jobs: JobStore, *names: str) -> list[str]:
    return [job.id for job in await jobs.telling(names, "", 100)]


def making(seed: int, **parameters: object) -> Job:
    """Return a job that makes a result."""
    return a_job(seed, kind="export", parameters=parameters, has_finish=True)


async def test_jobs_tell_of_the_assets_and_collections_that_they_name(
    jobs: JobStore,
) -> None:
    assets, cats = making(1, assets=["a", "b"]), making(2, collection="cats")
    both, every = making(3, collections=["cats", "dogs"]), making(4)
    await kept(jobs, assets, cats, both, every)

    assert await told(jobs, "b") == [assets.id]
    assert await told(jobs, "cats") == sorted([cats.id, both.id])
    assert await told(jobs, "cats", "dogs", "") == sorted([cats.id, both.id, every.id])
    assert await told(jobs, "nobody") == []


async def test_jobs_without_a_result_tell_of_nothing(jobs: JobStore) -> None:
    upkeep = a_job(1, kind="compact", has_finish=True)
    await kept(jobs, a_job(2, parameters={"collection": "cats"}), upkeep)

    assert await told(jobs, "cats", "") == []


async def test_a_job_tells_of_nothing_once_its_result_is_erased(jobs: JobStore) -> None:
    job = making(1, collection="cats")
    await kept(jobs, job)
    await jobs.edit(job.id, [], storing(Edited(replace(job, erased_at=NOON))))

    assert await told(jobs, "cats") == []
    assert (await jobs.job(job.id)) == replace(job, erased_at=NOON)


async def test_jobs_that_tell_are_listed_page_by_page(jobs: JobStore) -> None:
    await kept(jobs, *(making(seed) for seed in range(7)))

    seen: list[str] = []
    while page := await jobs.telling([""], seen[-1] if seen else "", 3):
        seen += [job.id for job in page]

    assert seen == sorted(making(seed).id for seed in range(7))


async def test_a_forgotten_job_tells_of_nothing(jobs: JobStore) -> None:
    await kept(jobs, making(1, collection="cats"))
    await jobs.forget(making(1).id)

    assert await told(jobs, "cats") == []


async def test_leftovers_are_listed_once_their_job_is_over_for_long_enough(
    jobs: JobStore,
) -> None:
    for seed, left in enumerate([True, False]):
        job = replace(making(seed), finished_at=NOON, has_leftovers=left)
        await jobs.accept(replace(job, state="succeeded"), [])

    assert await jobs.untidy(NOON - timedelta(seconds=1), 10) == []
    assert [job.id for job in await jobs.untidy(NOON, 10)] == [making(0).id]


async def test_what_waits_is_told_by_kind_and_collection(jobs: JobStore) -> None:
    states: list[JobState] = ["queued", "running", "succeeded", "dead"]
    for seed, state in enumerate(states):
        job = a_job(seed, state=state, collection="cats")
        await jobs.accept(replace(job, progress=Progress(chunks=9, ended=4)), [])
    await kept(jobs, a_job(9, kind="export", collection=None))

    assert set(await jobs.waiting(100)) == {
        Waiting("embed", "cats", 2, 10),
        Waiting("export", None, 1, 1),
    }


async def test_no_job_counts_for_more_than_asked(jobs: JobStore) -> None:
    await jobs.accept(replace(a_job(1), progress=Progress(chunks=99)), [])

    assert await jobs.waiting(16) == [Waiting("embed", "default", 1, 16)]


async def test_jobs_of_no_collection_are_listed_by_the_empty_name(
    jobs: JobStore,
) -> None:
    await kept(jobs, a_job(1), a_job(2, collection=None))

    assert await jobs.jobs(JobQuery(collection="")) == [a_job(2, collection=None)]


async def test_an_erasure_is_noted_until_it_is_settled(
    documents: DocumentStore,
) -> None:
    jobs, asset = documents.jobs, an_asset(1, collection="cats")
    await kept(jobs, making(1, collection="cats"))
    await documents.add(asset, None)
    await documents.remove(asset.id)

    [noted] = await jobs.erasures(10)
    assert (noted.asset_id, noted.collection) == (asset.id, "cats")
    await jobs.settle([noted])
    await jobs.settle([noted])
    assert await jobs.erasures(10) == []


async def test_an_erasure_noted_later_stays_when_one_is_settled(
    documents: DocumentStore,
) -> None:
    jobs, asset = documents.jobs, an_asset(1)
    await kept(jobs, making(1))
    for _ in range(2):
        await documents.add(asset, None)
        await documents.remove(asset.id)

    first, second = await jobs.erasures(10)
    await jobs.settle([first])
    assert await jobs.erasures(10) == [second]
