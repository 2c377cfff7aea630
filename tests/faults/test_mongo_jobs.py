"""Jobs in a MongoDB that breaks off or conflicts: nothing is lost or done twice."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import replace

import pytest

from dinoserve.adapters.mongo import MongoDocuments
from dinoserve.domain.job_steps import Edited
from dinoserve.domain.jobs import Chunk, Job
from dinoserve.ports import ChunkQuery, JobStore
from jobs import EVERY, a_chunk, a_job
from mongo_server import failing, fresh_database

pytestmark = pytest.mark.needs("mongodb")

CONFLICT = {"errorCode": 112, "errorLabels": ["TransientTransactionError"]}
BROKEN_OFF = {"closeConnection": True}


@pytest.fixture
async def url() -> AsyncIterator[str]:
    async with fresh_database() as url:
        yield url


@pytest.fixture
async def jobs(url: str) -> AsyncIterator[JobStore]:
    async with MongoDocuments.open(url) as documents:
        yield documents.jobs


def counted(job: Job, chunks: Mapping[int, Chunk]) -> Edited:
    chunk = replace(chunks[1], starts=chunks[1].starts + 1)
    return Edited(replace(job, version=job.version + 1), [chunk])


@pytest.mark.parametrize("how", [CONFLICT, BROKEN_OFF], ids=["conflict", "broken off"])
@pytest.mark.parametrize("command", ["find", "update", "commitTransaction"])
async def test_an_edit_that_is_interrupted_is_made_once(
    url: str, jobs: JobStore, command: str, how: dict[str, object]
) -> None:
    job = a_job()
    await jobs.accept(job, [a_chunk(job)])
    async with failing(url, command, times=1, **how):
        assert await jobs.edit(job.id, [1], counted)
    [chunk] = await jobs.chunks(ChunkQuery(EVERY))
    assert await jobs.job(job.id) == replace(job, version=2)
    assert chunk.starts == 1


@pytest.mark.parametrize("how", [CONFLICT, BROKEN_OFF], ids=["conflict", "broken off"])
@pytest.mark.parametrize("command", ["insert", "commitTransaction"])
async def test_a_job_whose_acceptance_is_interrupted_is_accepted_once(
    url: str, jobs: JobStore, command: str, how: dict[str, object]
) -> None:
    job = a_job(key="k")
    async with failing(url, command, times=1, **how):
        assert await jobs.accept(job, [a_chunk(job, 1, "a")]) == job
    assert await jobs.chunks(ChunkQuery(EVERY)) == [a_chunk(job, 1, "a")]
