"""Jobs and chunks as rows of SQLite, and back."""

import json
from collections.abc import Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any, Final

from dinoserve.domain.assets import Metadata
from dinoserve.domain.jobs import Chunk, Failure, Job, Progress
from dinoserve.domain.times import from_microseconds, to_microseconds

JOB: Final = tuple(field.name for field in fields(Job))
"""Columns of a job."""

CHUNK: Final = tuple(field.name for field in fields(Chunk))
"""Columns of a chunk."""

_PROGRESS: Final = tuple(field.name for field in fields(Progress))


def job_row(job: Job) -> tuple[Any, ...]:
    """Return the values of `JOB`."""
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
        _integer(job.erased_at),
        job.has_leftovers,
    )


def chunk_row(chunk: Chunk) -> tuple[Any, ...]:
    """Return the values of `CHUNK`."""
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


def job_of(row: Sequence[Any]) -> Job:
    """Return the job of values of `JOB`."""
    found: dict[str, Any] = dict(zip(JOB, row, strict=True))
    for name in ("created_at", "started_at", "finished_at", "erased_at"):
        found[name] = _time(found[name])
    for name in ("has_finish", "has_leftovers"):
        found[name] = bool(found[name])
    found["parameters"] = json.loads(found["parameters"])
    found["progress"] = Progress(**json.loads(found["progress"]))
    if found["result"] is not None:
        found["result"] = json.loads(found["result"])
    return Job(**found)


def chunk_of(row: Sequence[Any]) -> Chunk:
    """Return the chunk of values of `CHUNK`."""
    found: dict[str, Any] = dict(zip(CHUNK, row, strict=True))
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
    return None if time is None else to_microseconds(time)


def _time(microseconds: int | None) -> datetime | None:
    return None if microseconds is None else from_microseconds(microseconds)
