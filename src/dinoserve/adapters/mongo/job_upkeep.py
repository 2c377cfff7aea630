"""What keeps results of jobs true, and queues bounded: `ports.JobUpkeep` in MongoDB."""

import json
from collections import Counter
from collections.abc import Collection
from datetime import datetime

from bson import ObjectId

from dinoserve.adapters.mongo.job_records import job_of
from dinoserve.adapters.mongo.schema import Documents
from dinoserve.domain.assets import Asset
from dinoserve.domain.job_erasure import Erasure
from dinoserve.domain.jobs import LIVE, Job
from dinoserve.domain.times import to_microseconds
from dinoserve.ports import Waiting


async def note(database: Documents, asset: Asset) -> None:
    """Note that the asset was erased. Needs a transaction."""
    await database.erasures.insert_one(
        {"asset_id": asset.id, "collection": asset.collection}
    )


async def telling(
    database: Documents, names: Collection[str], after: str, limit: int
) -> list[Job]:
    """Return jobs that cover any of these names, by id."""
    meant = {"covers": {"$in": list(names)}, "_id": {"$gt": after}}
    cursor = database.jobs.find(meant, sort=[("_id", 1)], limit=limit)
    return [job_of(found) async for found in cursor]


async def untidy(database: Documents, before: datetime, limit: int) -> list[Job]:
    """Return jobs with leftovers that were over by then, by id."""
    moment = to_microseconds(before)
    meant = {"has_leftovers": True, "finished_at": {"$lte": moment}}
    cursor = database.jobs.find(meant, sort=[("_id", 1)], limit=limit)
    return [job_of(found) async for found in cursor]


async def waiting(database: Documents, most: int) -> list[Waiting]:
    """Return how much waits of each kind and collection."""
    jobs: Counter[tuple[str, str | None]] = Counter()
    chunks: Counter[tuple[str, str | None]] = Counter()
    shown = {"kind": True, "collection": True, "progress": True}
    async for found in database.jobs.find({"state": {"$in": sorted(LIVE)}}, shown):
        key, progress = (found["kind"], found["collection"]), found["progress"]
        told = json.loads(progress)
        jobs[key] += 1
        chunks[key] += min(most, max(1, told["chunks"] - told["ended"]))
    return [Waiting(*key, jobs[key], chunks[key]) for key in jobs]


async def erasures(database: Documents, limit: int) -> list[Erasure]:
    """Return erasures that were not settled, the oldest first."""
    cursor = database.erasures.find({}, sort=[("_id", 1)], limit=limit)
    return [
        Erasure(str(found["_id"]), found["asset_id"], found["collection"])
        async for found in cursor
    ]


async def settle(database: Documents, erasures: Collection[Erasure]) -> None:
    """Forget these erasures."""
    ids = [ObjectId(each.key) for each in erasures]
    await database.erasures.delete_many({"_id": {"$in": ids}})
