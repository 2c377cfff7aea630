"""Jobs and their chunks in SQLite: `ports.JobStore` in the file of the documents."""

import json
import sqlite3
from collections.abc import Collection, Sequence
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

from dinoserve.adapters.sqlite.chunks import marks
from dinoserve.adapters.sqlite.database import Database
from dinoserve.domain.assets import Metadata
from dinoserve.domain.job_steps import Edited
from dinoserve.domain.jobs import Chunk, Failure, Job, Progress
from dinoserve.ports import ChunkQuery, Edit, JobQuery

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

_JOB = tuple(field.name for field in fields(Job))
_CHUNK = tuple(field.name for field in fields(Chunk))
_PROGRESS = tuple(field.name for field in fields(Progress))
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


def _names(columns: Sequence[str]) -> str:
    return ", ".join(columns)


def _insert(table: str, columns: Sequence[str]) -> str:
    return f"INSERT INTO {table} ({_names(columns)}) VALUES ({marks(len(columns))})"  # noqa: S608 - only names of our columns are put in


def _changes(columns: Sequence[str]) -> str:
    return _names([f"{column} = excluded.{column}" for column in columns])


_SELECT_JOB = f"SELECT {_names(_JOB)} FROM job"  # noqa: S608 - only names of our columns are put in
_SELECT_CHUNK = f"SELECT {_names(_CHUNK)} FROM job_chunk"  # noqa: S608 - only names of our columns are put in
_IS_MEANT = "job_id = ? AND number IN (SELECT value FROM json_each(?))"
_SELECT_NUMBERED = f"{_SELECT_CHUNK} WHERE {_IS_MEANT}"
_ADD_JOB = f"{_insert('job', _JOB)} ON CONFLICT DO NOTHING"
_PUT_JOB = f"{_insert('job', _JOB)} ON CONFLICT (id) DO UPDATE SET {_changes(_JOB)}"
_PUT_CHUNK = (
    f"{_insert('job_chunk', _CHUNK)}"
    f" ON CONFLICT (job_id, number) DO UPDATE SET {_changes(_CHUNK)}"
)


def _accept(connection: sqlite3.Connection, job: Job, chunks: Sequence[Chunk]) -> Job:
    added = connection.execute(_ADD_JOB, _job_row(job))
    if added.rowcount == 1:
        connection.executemany(_PUT_CHUNK, map(_chunk_row, chunks))
        return job
    rows = connection.execute(
        f"{_SELECT_JOB} WHERE key = ?1 OR id = ?2 ORDER BY key IS ?1 DESC",
        (job.key, job.id),
    )
    return _job(rows.fetchone())


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
        connection.execute(_PUT_JOB, _job_row(edited.job))
    connection.executemany(_PUT_CHUNK, map(_chunk_row, edited.chunks))
    return edited


def _numbered(
    connection: sqlite3.Connection, job_id: str, numbers: Collection[int]
) -> dict[int, Chunk]:
    rows = connection.execute(_SELECT_NUMBERED, (job_id, json.dumps(list(numbers))))
    return {chunk.number: chunk for chunk in map(_chunk, rows)}


def _get(connection: sqlite3.Connection, job_id: str) -> Job | None:
    row = connection.execute(f"{_SELECT_JOB} WHERE id = ?", (job_id,)).fetchone()
    return _job(row) if row else None


def _forget(connection: sqlite3.Connection, job_id: str) -> None:
    connection.execute("DELETE FROM job WHERE id = ?", (job_id,))


def _jobs(connection: sqlite3.Connection, query: JobQuery) -> list[Job]:
    sign, order = (">", "ASC") if query.is_oldest_first else ("<", "DESC")
    conditions: _Conditions = {}
    if query.kind is not None:
        conditions["kind = ?"] = [query.kind]
    if query.collection is not None:
        conditions["collection = ?"] = [query.collection]
    if query.after is not None:
        place = [_integer(query.after.created_at), query.after.id]
        conditions[f"(created_at, id) {sign} (?, ?)"] = place
    select, values = _selection(_SELECT_JOB, query.states, conditions)
    rows = connection.execute(
        f"{select} ORDER BY created_at {order}, id {order} LIMIT ?",
        [*values, query.limit],
    )
    return [_job(row) for row in rows]


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
    return [_chunk(row) for row in rows]


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


def _job_row(job: Job) -> tuple[Any, ...]:
    return (
        job.id,
        job.kind,
        _json(job.parameters),
        _integer(job.created_at),
        job.fingerprint,
        job.collection,
        job.requester,
        job.key,
        job.has_finish,
        job.state,
        job.version,
        _integer(job.started_at),
        _integer(job.finished_at),
        _json({name: getattr(job.progress, name) for name in _PROGRESS}),
        None if job.result is None else _json(job.result),
        job.error,
    )


def _chunk_row(chunk: Chunk) -> tuple[Any, ...]:
    return (
        chunk.job_id,
        chunk.number,
        _integer(chunk.run_at),
        _json(chunk.items),
        chunk.cursor,
        chunk.state,
        chunk.worker,
        _integer(chunk.seen_at),
        chunk.starts,
        chunk.tries,
        chunk.crashes,
        chunk.done,
        _json(chunk.failures),
        chunk.error,
    )


def _job(row: Sequence[Any]) -> Job:
    found: dict[str, Any] = dict(zip(_JOB, row, strict=True))
    for name in ("created_at", "started_at", "finished_at"):
        found[name] = _time(found[name])
    found["has_finish"] = bool(found["has_finish"])
    found["parameters"] = json.loads(found["parameters"])
    found["progress"] = Progress(**json.loads(found["progress"]))
    if found["result"] is not None:
        found["result"] = json.loads(found["result"])
    return Job(**found)


def _chunk(row: Sequence[Any]) -> Chunk:
    found: dict[str, Any] = dict(zip(_CHUNK, row, strict=True))
    for name in ("run_at", "seen_at"):
        found[name] = _time(found[name])
    found["items"] = tuple(json.loads(found["items"]))
    failures = json.loads(found["failures"])
    found["failures"] = tuple(Failure(*failure) for failure in failures)
    return Chunk(**found)


def _json(value: Metadata | tuple[object, ...]) -> str:
    # Not ASCII only, so that lone surrogates are refused when it is stored.
    return json.dumps(value, ensure_ascii=False, default=dict)


def _integer(time: datetime | None) -> int | None:
    return None if time is None else (time - _EPOCH) // _MICROSECOND


def _time(microseconds: int | None) -> datetime | None:
    return None if microseconds is None else _EPOCH + microseconds * _MICROSECOND
