"""The collections that jobs are kept in."""

from collections.abc import Mapping
from typing import Final

from pymongo import IndexModel

from dinoserve.adapters.mongo.layout import Layout

_BOOL = {"bsonType": "bool"}
_TEXT = {"bsonType": "string"}
_TEXT_OR_NULL = {"bsonType": ["string", "null"]}
_TEXTS = {"bsonType": "array", "items": _TEXT}
_INTEGER = {"bsonType": ["int", "long"]}
_INTEGER_OR_NULL = {"bsonType": ["int", "long", "null"]}

JOBS: Final[Mapping[str, Layout]] = {
    "jobs": Layout(
        # See domain/jobs.py. Times: microseconds since 1970 UTC. parameters, progress,
        # result: JSON.
        {
            **dict.fromkeys(("_id", "fingerprint", "kind", "state"), _TEXT),
            **dict.fromkeys(("parameters", "progress"), _TEXT),
            **dict.fromkeys(("collection", "error", "key"), _TEXT_OR_NULL),
            **dict.fromkeys(("requester", "result"), _TEXT_OR_NULL),
            **dict.fromkeys(("created_at", "version"), _INTEGER),
            **dict.fromkeys(("started_at", "finished_at"), _INTEGER_OR_NULL),
            "erased_at": _INTEGER_OR_NULL,
            **dict.fromkeys(("has_finish", "has_leftovers"), _BOOL),
            # See domain/job_erasure.py.
            "covers": _TEXTS,
        },
        (
            IndexModel(
                [("collection", 1), ("state", 1), ("created_at", -1), ("_id", -1)],
                name="by_turn",
            ),
            IndexModel([("covers", 1), ("_id", 1)], name="by_cover"),
            IndexModel(
                [("has_leftovers", 1), ("_id", 1)],
                name="with_leftovers",
                partialFilterExpression={"has_leftovers": True},
            ),
            IndexModel([("created_at", -1), ("_id", -1)], name="by_time"),
            *(
                IndexModel(
                    [(name, 1), ("created_at", -1), ("_id", -1)], name=f"by_{name}"
                )
                for name in ("state", "kind", "collection")
            ),
            IndexModel(
                "key",
                name="by_key",
                unique=True,
                partialFilterExpression={"key": {"$type": "string"}},
            ),
        ),
    ),
    "erasures": Layout(
        {"_id": {"bsonType": "objectId"}, "asset_id": _TEXT, "collection": _TEXT}
    ),
    "job_chunks": Layout(
        # _id: job/number.
        {
            **dict.fromkeys(("_id", "job_id", "state"), _TEXT),
            **dict.fromkeys(("cursor", "error", "worker"), _TEXT_OR_NULL),
            **dict.fromkeys(("crashes", "done", "number"), _INTEGER),
            **dict.fromkeys(("run_at", "starts", "tries"), _INTEGER),
            "seen_at": _INTEGER_OR_NULL,
            "items": _TEXTS,
            "failures": {"bsonType": "array", "items": {"bsonType": "object"}},
        },
        (
            IndexModel([("job_id", 1), ("number", 1)], name="by_job"),
            IndexModel([("state", 1), ("job_id", 1), ("number", 1)], name="by_state"),
        ),
    ),
}
