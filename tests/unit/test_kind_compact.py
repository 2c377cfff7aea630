"""Compacting: old vectors and jobs go, and the file becomes smaller."""

from collections.abc import AsyncGenerator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from dinoserve.adapters.memory import MemoryObjects
from dinoserve.domain.jobs import Job
from dinoserve.domain.vectors import Embedding
from dinoserve.errors import InvalidInputError
from dinoserve.ports import JobQuery
from dinoserve.services import Services
from dinoserve.services.job_results import JobResults
from dinoserve.services.jobs import Asked
from dinoserve.services.kinds.compact import CompactKind
from dinoserve.services.upload import Upload
from dinoserve.settings import Settings
from dinoserve.telemetry import Metrics
from dinoserve.wiring import open_services
from jobs import a_job
from odd_files import photo
from working import at_work, make_working

OLD = "feedfacefeedface"
OLDER = "0123456789abcdef"
WIDE = np.full(4096, 1 / 64, np.float32)
NOW = datetime.now(UTC)


@pytest.fixture
async def services(tmp_path: Path) -> AsyncGenerator[Services]:
    settings = {"data": str(tmp_path), "queue": "memory:", "model": "stub"}
    async with open_services(Settings.model_validate(settings), Metrics()) as services:
        yield services


@pytest.fixture
def kind(services: Services) -> CompactKind:
    return CompactKind(
        services.assets.documents,
        services.embeddings,
        JobResults(MemoryObjects()),
        lambda: NOW,
    )


async def give(services: Services, seed: int, *others: str, embed: bool = True) -> str:
    """Store a picture with wide vectors of other recipes; return the asset's id."""
    uploaded = await services.assets.upload(Upload(photo(seed, 64, 48)), embed=embed)
    for recipe in others:
        await services.assets.documents.put(Embedding(uploaded.asset.id, recipe, WIDE))
    return uploaded.asset.id


async def done(kind: CompactKind, **parameters: object) -> Job:
    """Return the job once it is over."""
    async with at_work(make_working(kind)) as working:
        job, _ = await working.jobs.submit(Asked("compact", parameters))
        return await working.over(job.id)


async def test_vectors_of_the_named_recipes_go(
    services: Services, kind: CompactKind
) -> None:
    for seed in range(3):
        await give(services, seed, OLD, OLDER)

    job = await done(kind, remove_recipes=[OLD, OLD])

    assert job.state == "succeeded"
    assert (job.result or {})["removed"] == 3
    loaded = services.models.card.recipe.id
    assert await services.assets.documents.counts() == {loaded: 3, OLDER: 3}


async def test_an_asset_keeps_its_only_vectors(
    services: Services, kind: CompactKind
) -> None:
    alone = await give(services, 1, OLD, embed=False)
    await give(services, 2, OLD)

    job = await done(kind, remove_recipes=[OLD])

    assert (job.result or {})["removed"] == 1
    assert (job.result or {})["kept"] == 1
    assert (await services.assets.get(alone)).has_recipe(OLD)


async def test_the_database_becomes_smaller(
    services: Services, kind: CompactKind
) -> None:
    for seed in range(60):
        await give(services, seed, OLD)

    job = await done(kind, remove_recipes=[OLD])

    result = dict(job.result or {})
    before, after = result["bytes_before"], result["bytes_after"]
    assert isinstance(before, int)
    assert isinstance(after, int)
    assert before - after > 40 * WIDE.nbytes


async def test_jobs_that_were_over_long_ago_are_forgotten(
    services: Services, kind: CompactKind
) -> None:
    store = services.assets.documents.jobs
    old, young = (
        replace(
            a_job(days, state="succeeded"),
            created_at=NOW - timedelta(days=100),
            finished_at=NOW - timedelta(days=days),
        )
        for days in (31, 29)
    )
    running = replace(a_job(3), created_at=NOW - timedelta(days=100))
    for job in (old, young, running):
        await store.accept(job, [])

    over = await done(kind, older_than_days=30)

    assert (over.result or {})["forgotten"] == 1
    left = {job.id for job in await store.jobs(JobQuery())}
    assert left == {young.id, running.id}


async def test_without_parameters_only_space_is_given_back(
    services: Services, kind: CompactKind
) -> None:
    await give(services, 1, OLD)

    job = await done(kind)

    result = dict(job.result or {})
    assert (result["removed"], result["forgotten"]) == (0, 0)
    assert len(await services.assets.documents.counts()) == 2


async def test_the_loaded_recipe_is_never_removed(kind: CompactKind) -> None:
    loaded = kind.embeddings.recipe.id

    with pytest.raises(InvalidInputError) as caught:
        await done(kind, remove_recipes=[OLD, loaded])

    assert caught.value.extra["field"] == "parameters.remove_recipes"


@pytest.mark.parametrize("days", [-1, True, "30", 1e9, float("nan")])
async def test_days_that_are_no_number_of_days_are_refused(
    kind: CompactKind, days: object
) -> None:
    with pytest.raises(InvalidInputError) as caught:
        await done(kind, older_than_days=days)

    assert caught.value.extra["field"] == "parameters.older_than_days"
