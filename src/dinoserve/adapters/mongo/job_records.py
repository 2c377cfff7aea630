"""Jobs and chunks as documents of MongoDB, and back.

Parameters, progress and result are JSON text, and times microseconds, for the reasons
that records.py gives.
"""

import json
from collections.abc import Mapping
from dataclasses import fields
from datetime import datetime
from typing import Any, Final

from dinoserve.adapters.mongo.records import Document
from dinoserve.domain.assets import Metadata
from dinoserve.domain.job_erasure import covered
from dinoserve.domain.jobs import Chunk, Failure, Job, Progress
from dinoserve.domain.times import from_microseconds, to_microseconds

_JOB: Final = tuple(field.name for field in fields(Job))
_PROGRESS: Final = tuple(field.name for field in fields(Progress))


def job_document(job: Job) -> Document:
    """Return the document of a job; `covers`: see domain/job_erasure.py."""
    return {
        "_id": job.id,
        "kind": job.kind,
        "parameters": _json(job.parameters),
        "created_at": to_microseconds(job.created_at),
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
        "erased_at": _integer(job.erased_at),
        "has_leftovers": job.has_leftovers,
        "covers": sorted(covered(job)),
    }


def job_of(found: Mapping[str, Any]) -> Job:
    """Return the job of a document."""
    values = {name: found[name] for name in _JOB if name in found}
    result = values["result"]
    values |= {
        "id": found["_id"],
        "parameters": json.loads(found["parameters"]),
        "progress": Progress(**json.loads(found["progress"])),
        "result": None if result is None else json.loads(result),
    }
    for name in ("created_at", "started_at", "finished_at", "erased_at"):
        values[name] = _time(found.get(name))
    return Job(**values)


def chunk_document(chunk: Chunk) -> Document:
    """Return the document of a chunk."""
    return {
        "_id": chunk_id(chunk.job_id, chunk.number),
        "job_id": chunk.job_id,
        "number": chunk.number,
        "run_at": to_microseconds(chunk.run_at),
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


def chunk_of(found: Mapping[str, Any]) -> Chunk:
    """Return the chunk of a document."""
    values = {name: value for name, value in found.items() if name != "_id"}
    values |= {
        "items": tuple(found["items"]),
        "failures": tuple(Failure(**failure) for failure in found["failures"]),
        "run_at": _time(found["run_at"]),
        "seen_at": _time(found["seen_at"]),
    }
    return Chunk(**values)


def chunk_id(job_id: str, number: int) -> str:
    """Return the `_id` of a chunk."""
    return f"{job_id}/{number}"


def _json(value: Metadata) -> str:
    # Not ASCII only, so that lone surrogates are refused when it is stored.
    return json.dumps(value, ensure_ascii=False, default=dict)


def _integer(time: datetime | None) -> int | None:
    return None if time is None else to_microseconds(time)


def _time(integer: int | None) -> datetime | None:
    return None if integer is None else from_microseconds(integer)
