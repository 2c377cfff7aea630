"""What jobs made goes with its assets, whoever dies, and whenever that is."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import replace

import pytest

from dinoserve.domain import job_erasure as erasure
from dinoserve.domain import job_steps as steps
from dinoserve.domain.assets import Metadata
from dinoserve.domain.job_erasure import covered
from dinoserve.domain.jobs import FINISH, Job
from dinoserve.services.job_results import ResultFile
from dinoserve.services.jobs import Asked
from filed_jobs import Filed, filed
from jobs import LATER, Story, a_job
from working import NotingKind, at_work, make_working


@pytest.fixture
async def shop() -> AsyncGenerator[Filed]:
    async with filed() as shop:
        yield shop


async def objects_of(shop: Filed, job: Job) -> list[str]:
    results = shop.services.jobs.results.objects
    return [found.sha256 async for found in results.scan(job.id)]


async def test_results_go_though_who_erased_the_asset_died_before(shop: Filed) -> None:
    asset, *_ = await shop.give(1, 2, 3)
    job = await shop.done("export")
    await shop.documents.remove(asset.id)

    await shop.services.jobs.erasure.catch_up()

    now = await shop.services.jobs.get(job.id)
    assert (now.state, now.result, now.erased_at is None) == ("succeeded", None, False)
    assert await objects_of(shop, job) == []
    assert await shop.documents.jobs.erasures(10) == []


async def test_a_file_goes_though_who_noted_its_erasure_died_before(
    shop: Filed,
) -> None:
    await shop.give(1, 2)
    job = await shop.done("export")
    await shop.documents.jobs.edit(
        job.id, [], lambda now, _: erasure.erase(now, None, LATER)
    )
    assert await objects_of(shop, job)

    await replace(shop.services.jobs.erasure, rest_s=0).catch_up()

    assert await objects_of(shop, job) == []


@pytest.mark.usefixtures("parts_stay")
async def test_parts_are_there_until_somebody_erases_them(shop: Filed) -> None:
    await shop.give(1, 2)
    job = await shop.done("export")

    assert len(await objects_of(shop, job)) == 2


async def test_parts_go_though_who_ended_the_job_died_before(shop: Filed) -> None:
    await shop.give(1, 2)
    job = await shop.done("export")
    await shop.services.jobs.results.write(job.id, 1, b"a part")

    await replace(shop.services.jobs.erasure, rest_s=0).catch_up()

    file = ResultFile.of(job)
    assert file
    assert len(await objects_of(shop, job)) == 1
    assert await shop.file(job)
    assert not (await shop.services.jobs.get(job.id)).has_leftovers


async def test_a_bulk_erasure_erases_a_result_once(shop: Filed) -> None:
    assets = await shop.give(*range(20))
    job = await shop.done("export")
    for asset in assets:
        await shop.documents.remove(asset.id)
        await shop.services.jobs.erasure.of_asset(asset.id, asset.collection)

    assert (await shop.services.jobs.get(job.id)).version == job.version + 1


async def test_a_result_that_is_being_made_is_made_again() -> None:
    kind = FinishingKind(found=["a"], has_finish=True)
    working = make_working(kind)
    async with at_work(working):
        job, _ = await working.jobs.submit(Asked("note", {"collection": "cats"}))
        await kind.begun.wait()
        await working.jobs.erasure.of_asset("a", "cats")
        kind.may_end.set()
        over = await working.over(job.id)

    assert (over.state, over.result, over.erased_at) == ("succeeded", {"try": 2}, None)


class FinishingKind(NotingKind):
    """A kind that waits while it makes its result."""

    def __init__(self, found: list[str], *, has_finish: bool) -> None:
        super().__init__(found=found, has_finish=has_finish)
        self.begun, self.may_end, self.tries = asyncio.Event(), asyncio.Event(), 0

    async def finish(self, job: Job) -> Metadata:
        del job
        self.tries += 1
        number = self.tries
        self.begun.set()
        await self.may_end.wait()
        return {"try": number}


def finishing() -> Story:
    """Return a job whose result is being made."""
    story = Story("a", has_finish=True)
    story.begins(1)
    story.ends(1)
    story.begins(FINISH)
    return story


def test_who_made_a_result_of_what_was_erased_meanwhile_is_too_late() -> None:
    story = finishing()
    story.does(FINISH, erasure.erase, LATER)

    assert story.does(FINISH, steps.complete, {}, LATER) is None
    assert story.begins(FINISH)
    assert story.chunks[FINISH].crashes == 0


def test_a_job_in_the_dead_letters_fails_with_what_it_misses() -> None:
    story = Story("a", "b", has_finish=True)
    story.is_buried(1)
    story.is_buried(2)

    edited = erasure.erase(story.job, None, LATER)

    assert edited
    assert (edited.job.state, edited.job.erased_at) == ("failed", LATER)
    assert not edited.job.can_be_retried


def test_a_job_whose_parts_are_gone_covers_nothing() -> None:
    job = a_job(kind="export", has_finish=True)

    assert covered(replace(job, state="running")) == {""}
    assert covered(replace(job, state="failed")) == frozenset()
    assert covered(replace(job, state="cancelled")) == frozenset()
