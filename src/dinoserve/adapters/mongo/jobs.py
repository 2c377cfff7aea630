"""Jobs and their chunks in MongoDB: `ports.JobStore` beside the assets.

A job's chunks are documents of their own, as many of them outgrow one document.
Parameters, progress and result are JSON text, and times microseconds, for the reasons
that records.py gives.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from typing import Any

from pymongo import ReplaceOne
from pymongo.errors import DuplicateKeyError

from dinoserve.adapters.mongo.database import Database
from dinoserve.adapters.mongo.records import Document, microseconds
from dinoserve.adapters.mongo.schema import Documents
from dinoserve.domain.assets import Metadata
from dinoserve.domain.job_steps import Edited
from dinoserve.domain.jobs import Chunk, Failure, Job, Progress
from dinoserve.ports import ChunkQuery, Edit, JobQuery

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

_PROGRESS = tuple(field.name for field in fields(Progress))


class MongoJobs:
    """`ports.JobStore` in MongoDB; see there for what methods do.

    An edit that met another one of the same records is made again of what that one
    left, so `edit` may be asked more than once.

    Args:
        database: open; whoever opened it closes it.

    Raises:
        UnavailableError: MongoDB failed or cannot be reached (every method). A write
            that was answered so may have happened.
        StorageFullError: disk or quota are full (every method that writes).
        InvalidInputError: text that is not Unicode, or a record above 16 MiB.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def accept(self, job: Job, chunks: Sequence[Chunk]) -> Job:
        """Store a new job; return it, or the one that has its id or key."""
        try:
            return await self._database.transact(_accept, job, chunks)
        except _TakenError:
            # By another that came at the same moment, and that can be read now.
            return await self._database.transact(_accept, job, chunks)

    async def edit(
        self, job_id: str, numbers: Collection[int], edit: Edit
    ) -> Edited | None:
        """Store what `edit` makes of the job and these chunks, in one transaction."""
        return await self._database.transact(_edit, job_id, numbers, edit)

    async def jobs(self, query: JobQuery) -> list[Job]:
        """Return jobs in the query's order."""
        return await self._database.run(_jobs, query)

    async def job(self, job_id: str) -> Job | None:
        """Return the job. Absent: None."""
        return await self._database.run(_get, job_id)

    async def chunks(self, query: ChunkQuery) -> list[Chunk]:
        """Return chunks, by job id, then number."""
        return await self._database.run(_chunks, query)

    async def forget(self, job_id: str) -> None:
        """Erase a job with its chunks; absent: nothing happens."""
        await self._database.transact(_forget, job_id)


class _TakenError(Exception):
    """Another job got the id or the key first."""


async def _accept(database: Documents, job: Job, chunks: Sequence[Chunk]) -> Job:
    keyed = [] if job.key is None else [{"key": job.key}]
    for where in (*keyed, {"_id": job.id}):
        if known := await database.jobs.find_one(where):
            return _job(known)
    try:
        await database.jobs.insert_one(_job_document(job))
    except DuplicateKeyError as error:
        raise _TakenError from error
    if chunks:
        await database.job_chunks.insert_many(map(_chunk_document, chunks))
    return job


async def _edit(
    database: Documents, job_id: str, numbers: Collection[int], edit: Edit
) -> Edited | None:
    job = await _get(database, job_id)
    if job is None:
        return None
    edited = edit(job, await _numbered(database, job_id, numbers))
    if edited is None:
        return None
    if edited.job is not job:
        await database.jobs.replace_one({"_id": job_id}, _job_document(edited.job))
    documents = [_chunk_document(chunk) for chunk in edited.chunks]
    if documents:
        await database.job_chunks.bulk_write(
            [ReplaceOne({"_id": each["_id"]}, each, upsert=True) for each in documents]
        )
    return edited


async def _numbered(
    database: Documents, job_id: str, numbers: Collection[int]
) -> dict[int, Chunk]:
    if not numbers:
        return {}
    ids = [_chunk_id(job_id, number) for number in numbers]
    cursor = database.job_chunks.find({"_id": {"$in": ids}})
    return {found["number"]: _chunk(found) async for found in cursor}


async def _get(database: Documents, job_id: str) -> Job | None:
    found = await database.jobs.find_one({"_id": job_id})
    return _job(found) if found else None


async def _forget(database: Documents, job_id: str) -> None:
    await database.jobs.delete_one({"_id": job_id})
    await database.job_chunks.delete_many({"job_id": job_id})


async def _jobs(database: Documents, query: JobQuery) -> list[Job]:
    sign, order = ("$gt", 1) if query.is_oldest_first else ("$lt", -1)
    meant: Document = {}
    if query.states:
        meant["state"] = {"$in": list(query.states)}
    if query.kind is not None:
        meant["kind"] = query.kind
    if query.collection is not None:
        meant["collection"] = query.collection
    if query.after is not None:
        # A bound for the index; then, among jobs of that moment, those behind it.
        moment = microseconds(query.after.created_at)
        meant["created_at"] = {f"{sign}e": moment}
        behind = [{"created_at": {sign: moment}}, {"_id": {sign: query.after.id}}]
        meant["$or"] = behind
    places = [("created_at", order), ("_id", order)]
    cursor = database.jobs.find(meant, sort=places, limit=query.limit)
    return [_job(found) async for found in cursor]


async def _chunks(database: Documents, query: ChunkQuery) -> list[Chunk]:
    meant: Document = {"state": {"$in": list(query.states)}}
    if query.job_id is not None:
        meant["job_id"] = query.job_id
    if query.after is not None and query.after[0] == query.job_id:
        meant["number"] = {"$gt": query.after[1]}
    elif query.after is not None:
        job_id, number = query.after
        later = [{"job_id": {"$gt": job_id}}, {"number": {"$gt": number}}]
        # A bound for the index, as above.
        meant["$and"] = [{"job_id": {"$gte": job_id}}, {"$or": later}]
    places = [("job_id", 1), ("number", 1)]
    cursor = database.job_chunks.find(meant, sort=places, limit=query.limit)
    return [_chunk(found) async for found in cursor]


def _job_document(job: Job) -> Document:
    return {
        "_id": job.id,
        "kind": job.kind,
        "parameters": _json(job.parameters),
        "created_at": microseconds(job.created_at),
        "fingerprint": job.fingerprint,
        "collection": job.collection,
        "requester": job.requester,
        "key": job.key,
        "has_finish": job.has_finish,
        "state": job.state,
        "version": job.version,
        "started_at": _integer(job.started_at),
        "finished_at": _integer(job.finished_at),
        "progress": _json({name: getattr(job.progress, name) for name in _PROGRESS}),
        "result": None if job.result is None else _json(job.result),
        "error": job.error,
    }


def _job(found: Mapping[str, Any]) -> Job:
    values = {name: value for name, value in found.items() if name != "_id"}
    result = values["result"]
    values |= {
        "id": found["_id"],
        "parameters": json.loads(found["parameters"]),
        "progress": Progress(**json.loads(found["progress"])),
        "result": None if result is None else json.loads(result),
    }
    for name in ("created_at", "started_at", "finished_at"):
        values[name] = _time(found[name])
    return Job(**values)


def _chunk_document(chunk: Chunk) -> Document:
    return {
        "_id": _chunk_id(chunk.job_id, chunk.number),
        "job_id": chunk.job_id,
        "number": chunk.number,
        "run_at": microseconds(chunk.run_at),
        "items": list(chunk.items),
        "cursor": chunk.cursor,
        "state": chunk.state,
        "worker": chunk.worker,
        "seen_at": _integer(chunk.seen_at),
        "starts": chunk.starts,
        "tries": chunk.tries,
        "crashes": chunk.crashes,
        "done": chunk.done,
        "failures": [failure._asdict() for failure in chunk.failures],
        "error": chunk.error,
    }


def _chunk(found: Mapping[str, Any]) -> Chunk:
    values = {name: value for name, value in found.items() if name != "_id"}
    values |= {
        "items": tuple(found["items"]),
        "failures": tuple(Failure(**failure) for failure in found["failures"]),
        "run_at": _time(found["run_at"]),
        "seen_at": _time(found["seen_at"]),
    }
    return Chunk(**values)


def _chunk_id(job_id: str, number: int) -> str:
    return f"{job_id}/{number}"


def _json(value: Metadata) -> str:
    # Not ASCII only, so that lone surrogates are refused when it is stored.
    return json.dumps(value, ensure_ascii=False, default=dict)


def _integer(time: datetime | None) -> int | None:
    return None if time is None else microseconds(time)


def _time(integer: int | None) -> datetime | None:
    return None if integer is None else _EPOCH + integer * _MICROSECOND
