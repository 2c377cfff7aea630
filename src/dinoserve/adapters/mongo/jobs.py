"""Jobs and their chunks in MongoDB: `ports.JobStore` beside the assets.

A job's chunks are documents of their own, as many of them outgrow one document.
"""

from collections.abc import Collection, Sequence
from datetime import datetime

from pymongo import ReplaceOne
from pymongo.errors import DuplicateKeyError

from dinoserve.adapters.mongo import job_upkeep
from dinoserve.adapters.mongo.database import Database
from dinoserve.adapters.mongo.job_records import (
    chunk_document,
    chunk_id,
    chunk_of,
    job_document,
    job_of,
)
from dinoserve.adapters.mongo.records import Document
from dinoserve.adapters.mongo.schema import Documents
from dinoserve.domain.job_erasure import Erasure
from dinoserve.domain.job_steps import Edited
from dinoserve.domain.jobs import Chunk, Job
from dinoserve.domain.times import to_microseconds
from dinoserve.ports import ChunkQuery, Edit, JobQuery, Waiting


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

    async def telling(
        self, names: Collection[str], after: str, limit: int
    ) -> list[Job]:
        """Return jobs that cover any of these names, by id."""
        return await self._database.run(job_upkeep.telling, names, after, limit)

    async def untidy(self, before: datetime, limit: int) -> list[Job]:
        """Return jobs with leftovers that were over by then, by id."""
        return await self._database.run(job_upkeep.untidy, before, limit)

    async def waiting(self, most: int) -> list[Waiting]:
        """Return how much waits of each kind and collection."""
        return await self._database.run(job_upkeep.waiting, most)

    async def erasures(self, limit: int) -> list[Erasure]:
        """Return erasures that were not settled, the oldest first."""
        return await self._database.run(job_upkeep.erasures, limit)

    async def settle(self, erasures: Collection[Erasure]) -> None:
        """Forget these erasures."""
        await self._database.run(job_upkeep.settle, erasures)


class _TakenError(Exception):
    """Another job got the id or the key first."""


async def _accept(database: Documents, job: Job, chunks: Sequence[Chunk]) -> Job:
    keyed = [] if job.key is None else [{"key": job.key}]
    for where in (*keyed, {"_id": job.id}):
        if known := await database.jobs.find_one(where):
            return job_of(known)
    try:
        await database.jobs.insert_one(job_document(job))
    except DuplicateKeyError as error:
        raise _TakenError from error
    if chunks:
        await database.job_chunks.insert_many(map(chunk_document, chunks))
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
        await database.jobs.replace_one({"_id": job_id}, job_document(edited.job))
    documents = [chunk_document(chunk) for chunk in edited.chunks]
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
    ids = [chunk_id(job_id, number) for number in numbers]
    cursor = database.job_chunks.find({"_id": {"$in": ids}})
    return {found["number"]: chunk_of(found) async for found in cursor}


async def _get(database: Documents, job_id: str) -> Job | None:
    found = await database.jobs.find_one({"_id": job_id})
    return job_of(found) if found else None


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
        meant["collection"] = query.collection or None
    if query.after is not None:
        # A bound for the index; then, among jobs of that moment, those behind it.
        moment = to_microseconds(query.after.created_at)
        meant["created_at"] = {f"{sign}e": moment}
        behind = [{"created_at": {sign: moment}}, {"_id": {sign: query.after.id}}]
        meant["$or"] = behind
    places = [("created_at", order), ("_id", order)]
    cursor = database.jobs.find(meant, sort=places, limit=query.limit)
    return [job_of(found) async for found in cursor]


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
    return [chunk_of(found) async for found in cursor]
