"""What SQLite does with jobs beyond the contract: keep them, and find them quickly."""

import re
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from dinoserve.adapters.sqlite import SqliteDocuments, database
from dinoserve.adapters.sqlite.database import Database
from dinoserve.adapters.sqlite.jobs import SqliteJobs
from dinoserve.domain.job_steps import Edited
from dinoserve.ports import ChunkQuery, JobCursor, JobQuery
from jobs import EVERY, Story, a_chunk, a_job, storing
from records import NOON

# What a plan says when nothing is sorted and no row is read in vain.
IN_ORDER = {
    "MERGE (UNION ALL)",
    "LEFT",
    "RIGHT",
    "SCAN job USING INDEX",
    "SEARCH job USING INDEX",
    "SEARCH job_chunk USING INDEX",
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "documents.sqlite"


@pytest.fixture
def one_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection that is watched is the one that reads."""
    monkeypatch.setattr(database, "_READERS", 1)


async def test_jobs_are_there_after_reopening(path: Path) -> None:
    story = Story("ab", "c")
    async with SqliteDocuments.open(path) as documents:
        await documents.jobs.accept(story.job, [*story.chunks.values()])
        story.begins(1)
        edited = Edited(story.job, [story.chunks[1]])
        await documents.jobs.edit(story.job.id, [1], storing(edited))
    async with SqliteDocuments.open(path) as documents:
        found = await documents.jobs.chunks(ChunkQuery(EVERY))
        assert await documents.jobs.job(story.job.id) == story.job
        assert found == [*story.chunks.values()]


async def test_a_forgotten_job_leaves_no_row(path: Path) -> None:
    job = a_job()
    async with SqliteDocuments.open(path) as documents:
        await documents.jobs.accept(job, [a_chunk(job, 1), a_chunk(job, 2)])
        await documents.jobs.forget(job.id)
    with closing(sqlite3.connect(path)) as connection:
        for table in ("job", "job_chunk"):
            assert connection.execute(f"SELECT * FROM {table}").fetchall() == []


@pytest.mark.usefixtures("one_reader")
@pytest.mark.parametrize("is_oldest_first", [True, False])
@pytest.mark.parametrize(
    "query",
    [
        JobQuery(),
        JobQuery(("queued", "running")),
        JobQuery(("dead",), after=JobCursor(NOON, "a")),
        JobQuery(kind="embed"),
        JobQuery(collection="default", after=JobCursor(NOON, "a")),
    ],
    ids=str,
)
async def test_jobs_come_out_of_an_index_in_their_order(
    path: Path, query: JobQuery, *, is_oldest_first: bool
) -> None:
    query = replace(query, is_oldest_first=is_oldest_first)
    assert await plan(path, lambda jobs: jobs.jobs(query)) <= IN_ORDER


@pytest.mark.usefixtures("one_reader")
@pytest.mark.parametrize(
    "query",
    [
        ChunkQuery(("waiting", "running")),
        ChunkQuery(("waiting", "running"), "a"),
        ChunkQuery(("buried",), after=("a", 1)),
        ChunkQuery(("done", "buried"), "a", after=("a", 1)),
    ],
    ids=str,
)
async def test_chunks_come_out_of_an_index_in_their_order(
    path: Path, query: ChunkQuery
) -> None:
    assert await plan(path, lambda jobs: jobs.chunks(query)) <= IN_ORDER


async def plan(path: Path, ask: Callable[[SqliteJobs], Awaitable[object]]) -> set[str]:
    """Return how SQLite goes about what the store asks of it, a word a step."""
    opened, asked = Database(path), list[str]()
    try:
        await opened.read(lambda reader: reader.set_trace_callback(asked.append))
        await ask(SqliteJobs(opened))
        with closing(sqlite3.connect(path)) as connection:
            steps = connection.execute(f"EXPLAIN QUERY PLAN {asked[-1]}").fetchall()
        return {re.sub(r"(USING INDEX).*", r"\1", step[3]) for step in steps}
    finally:
        opened.close()
