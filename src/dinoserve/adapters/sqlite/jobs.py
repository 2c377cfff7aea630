"""Jobs and their chunks in SQLite: `ports.JobStore` in the file of the documents."""

import sqlite3
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, TypeAlias

from dinoserve.adapters.sqlite import job_upkeep
from dinoserve.adapters.sqlite.chunks import marks
from dinoserve.adapters.sqlite.database import Database
from dinoserve.adapters.sqlite.job_rows import (
    CHUNK,
    JOB,
    chunk_of,
    chunk_row,
    job_of,
    job_row,
)
from dinoserve.domain.job_erasure import Erasure
from dinoserve.domain.job_steps import Edited
from dinoserve.domain.jobs import Chunk, Job
from dinoserve.domain.times import to_microseconds
from dinoserve.ports import ChunkQuery, Edit, JobQuery, Waiting

_Conditions: TypeAlias = dict[str, list[Any]]


class SqliteJobs:
    """`ports.JobStore` in one SQLite file; see there for what methods do.

    Every write is committed and synced before it is acknowledged; edits come one
    after the other.

    Args:
        database: open; whoever opened it closes it.

    Raises:
        UnavailableError: SQLite failed (every method).
        StorageFullError: the disk is full (every method that writes).
        InvalidInputError: text that is not Unicode (every method).
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def accept(self, job: Job, chunks: Sequence[Chunk]) -> Job:
        """Store a new job; return it, or the one that has its id or key."""
        return await self._database.write(_accept, job, chunks)

    async def edit(
        self, job_id: str, numbers: Collection[int], edit: Edit
    ) -> Edited | None:
        """Store what `edit` makes of the job and these chunks, in one transaction."""
        return await self._database.write(_edit, job_id, numbers, edit)

    async def jobs(self, query: JobQuery) -> list[Job]:
        """Return jobs in the query's order."""
        return await self._database.read(_jobs, query)

    async def job(self, job_id: str) -> Job | None:
        """Return the job. Absent: None."""
        return await self._database.read(_get, job_id)

    async def chunks(self, query: ChunkQuery) -> list[Chunk]:
        """Return chunks, by job id, then number."""
        return await self._database.read(_chunks, query)

    async def forget(self, job_id: str) -> None:
        """Erase a job with its chunks; absent: nothing happens."""
        await self._database.write(_forget, job_id)

    async def telling(
        self, names: Collection[str], after: str, limit: int
    ) -> list[Job]:
        """Return jobs that cover any of these names, by id."""
        return await self._database.read(job_upkeep.telling, names, after, limit)

    async def untidy(self, before: datetime, limit: int) -> list[Job]:
        """Return jobs with leftovers that were over by then, by id."""
        return await self._database.read(job_upkeep.untidy, before, limit)

    async def waiting(self, most: int) -> list[Waiting]:
        """Return how much waits of each kind and collection."""
        return await self._database.read(job_upkeep.waiting, most)

    async def erasures(self, limit: int) -> list[Erasure]:
        """Return erasures that were not settled, the oldest first."""
        return await self._database.read(job_upkeep.erasures, limit)

    async def settle(self, erasures: Collection[Erasure]) -> None:
        """Forget these erasures."""
        await self._database.write(job_upkeep.settle, erasures)


def _names(columns: Sequence[str]) -> str:
    return ", ".join(columns)


def _insert(table: str, columns: Sequence[str]) -> str:
    return f"INSERT INTO {table} ({_names(columns)}) VALUES ({marks(len(columns))})"  # noqa: S608 - only names of our columns are put in


def _changes(columns: Sequence[str]) -> str:
    return _names([f"{column} = excluded.{column}" for column in columns])


_SELECT_JOB = f"SELECT {_names(JOB)} FROM job"  # noqa: S608 - only names of our columns are put in
_SELECT_CHUNK = f"SELECT {_names(CHUNK)} FROM job_chunk"  # noqa: S608 - only names of our columns are put in
_SELECT_NUMBERED = f"{_SELECT_CHUNK} WHERE job_id = ? AND number = ?"
_ADD_JOB = f"{_insert('job', JOB)} ON CONFLICT DO NOTHING"
_PUT_JOB = f"{_insert('job', JOB)} ON CONFLICT (id) DO UPDATE SET {_changes(JOB)}"
_PUT_CHUNK = (
    f"{_insert('job_chunk', CHUNK)}"
    f" ON CONFLICT (job_id, number) DO UPDATE SET {_changes(CHUNK)}"
)


def _accept(connection: sqlite3.Connection, job: Job, chunks: Sequence[Chunk]) -> Job:
    added = connection.execute(_ADD_JOB, job_row(job))
    if added.rowcount == 1:
        connection.executemany(_PUT_CHUNK, map(chunk_row, chunks))
        job_upkeep.cover(connection, None, job)
        return job
    rows = connection.execute(
        f"{_SELECT_JOB} WHERE key = ?1 OR id = ?2 ORDER BY key IS ?1 DESC",
        (job.key, job.id),
    )
    return job_of(rows.fetchone())


def _edit(
    connection: sqlite3.Connection, job_id: str, numbers: Collection[int], edit: Edit
) -> Edited | None:
    job = _get(connection, job_id)
    if job is None:
        return None
    edited = edit(job, _numbered(connection, job_id, numbers))
    if edited is None:
        return None
    if edited.job is not job:
        connection.execute(_PUT_JOB, job_row(edited.job))
        job_upkeep.cover(connection, job, edited.job)
    connection.executemany(_PUT_CHUNK, map(chunk_row, edited.chunks))
    return edited


def _numbered(
    connection: sqlite3.Connection, job_id: str, numbers: Collection[int]
) -> dict[int, Chunk]:
    found: dict[int, Chunk] = {}
    for number in numbers:
        for row in connection.execute(_SELECT_NUMBERED, (job_id, number)):
            found[number] = chunk_of(row)
    return found


def _get(connection: sqlite3.Connection, job_id: str) -> Job | None:
    row = connection.execute(f"{_SELECT_JOB} WHERE id = ?", (job_id,)).fetchone()
    return job_of(row) if row else None


def _forget(connection: sqlite3.Connection, job_id: str) -> None:
    connection.execute("DELETE FROM job WHERE id = ?", (job_id,))


def _jobs(connection: sqlite3.Connection, query: JobQuery) -> list[Job]:
    sign, order = (">", "ASC") if query.is_oldest_first else ("<", "DESC")
    conditions: _Conditions = {}
    if query.kind is not None:
        conditions["kind = ?"] = [query.kind]
    if query.collection is not None:
        conditions["collection IS nullif(?, '')"] = [query.collection]
    if query.after is not None:
        place = [to_microseconds(query.after.created_at), query.after.id]
        conditions[f"(created_at, id) {sign} (?, ?)"] = place
    select, values = _selection(_SELECT_JOB, query.states, conditions)
    rows = connection.execute(
        f"{select} ORDER BY created_at {order}, id {order} LIMIT ?",
        [*values, query.limit],
    )
    return [job_of(row) for row in rows]


def _chunks(connection: sqlite3.Connection, query: ChunkQuery) -> list[Chunk]:
    if not query.states:
        return []
    conditions: _Conditions = {}
    if query.job_id is not None:
        conditions["job_id = ?"] = [query.job_id]
    if query.after is not None and query.after[0] == query.job_id:
        # The same as below, told so that the index finds where to begin.
        conditions["number > ?"] = [query.after[1]]
    elif query.after is not None:
        conditions["(job_id, number) > (?, ?)"] = [*query.after]
    select, values = _selection(_SELECT_CHUNK, query.states, conditions)
    rows = connection.execute(
        f"{select} ORDER BY job_id, number LIMIT ?", [*values, query.limit]
    )
    return [chunk_of(row) for row in rows]


def _selection(
    select: str, states: Collection[str], conditions: _Conditions
) -> tuple[str, list[Any]]:
    """Return the statement up to its order, and the values of its question marks.

    Each state is looked up by itself: its rows come out of the index in order, and
    SQLite merges them without reading more than the limit of any.
    """
    select = f"{select} WHERE {' AND '.join(['true', *conditions])}"
    values = [value for some in conditions.values() for value in some]
    if not states:
        return select, values
    merged = " UNION ALL ".join([f"{select} AND state = ?"] * len(states))
    return merged, [value for state in states for value in (*values, state)]
