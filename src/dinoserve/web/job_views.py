"""Jobs as they are shown."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Self, cast

from pydantic import BaseModel, Field

from dinoserve.domain.jobs import LIVE, Job, JobState
from dinoserve.services.job_pages import FailedItem
from dinoserve.services.jobs import DeadLetter

_LONG_LIST = 100
_LONG_TEXT = 1000


class _View(BaseModel):
    @classmethod
    def _like(cls, source: object, **others: object) -> Self:
        """Return a view of what the source has by the same names, and of the others."""
        names = cls.model_fields.keys() - others.keys()
        return cls.model_validate(
            {name: getattr(source, name) for name in names} | others
        )


class ProgressView(_View):
    """How far a job has come."""

    items: int = Field(description="Found so far.")
    done: int
    failed: int = Field(description="Items that were given up.")
    reasons: dict[str, int] = Field(description="How many failed, by error code.")
    chunks: int = Field(description="With items, made so far.")
    ended: int = Field(description="Of the chunks, done or buried.")
    buried: int = Field(description="Of the chunks, in the dead letters.")
    is_planned: bool = Field(description="No items will be added.")
    percent: float | None = Field(description="Null until every item is found.")
    rate_per_s: float | None = Field(description="Items since it was started.")
    eta_s: float | None = Field(description="Seconds left at this rate.")

    @classmethod
    def of(cls, job: Job, now: datetime) -> "ProgressView":
        """Return how far the job has come, with its rate until now."""
        progress = job.progress
        ended = progress.done + progress.failed
        rate = _rate(job, ended, now)
        has_eta = progress.is_planned and job.state in LIVE
        return cls._like(
            progress,
            percent=_percent(ended, progress.items) if progress.is_planned else None,
            rate_per_s=None if rate is None else round(rate, 3),
            eta_s=round((progress.items - ended) / rate, 1)
            if has_eta and rate
            else None,
        )


class JobView(_View):
    """A job as it is shown."""

    id: str
    kind: str
    collection: str | None
    parameters: dict[str, Any] = Field(
        description=f"Lists of over {_LONG_LIST} entries as `{{count}}`, texts of over"
        f" {_LONG_TEXT} characters as `{{characters}}`."
    )
    requester: str | None = Field(
        description="First 12 hex digits of the SHA-256 of the caller's key."
    )
    state: JobState
    version: int = Field(description="Grows with every change.")
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    progress: ProgressView
    result: dict[str, Any] | None
    erased_at: datetime | None = Field(
        description="When what it made was erased, with an asset that it covers."
    )
    error: str | None

    @classmethod
    def of(cls, job: Job, now: datetime) -> "JobView":
        """Return the view of a job at this time."""
        return cls._like(
            job,
            parameters=_brief(job.parameters),
            progress=ProgressView.of(job, now),
            result=_shown(job.result),
        )


class FailureView(BaseModel):
    """An item that was given up, and why."""

    item: str
    code: str
    detail: str
    chunk: int

    @classmethod
    def of(cls, failed: FailedItem) -> "FailureView":
        """Return the view of a failed item."""
        item, code, detail = failed.failure
        return cls(item=item, code=code, detail=detail, chunk=failed.chunk)


class DeadLetterView(_View):
    """A chunk that was given up."""

    id: str = Field(description="The job's id, a dot, the chunk's number.")
    job: str
    kind: str
    collection: str | None
    chunk: int = Field(description="-1 makes the result, 0 finds the items.")
    items: int
    error: str | None
    starts: int = Field(description="How often it was begun.")
    tries: int = Field(description="How often it ended with an error.")
    crashes: int = Field(description="How often its worker was not heard of again.")
    worker: str | None = Field(description="The last one.")

    @classmethod
    def of(cls, letter: DeadLetter) -> "DeadLetterView":
        """Return the view of a dead letter."""
        job, chunk = letter
        return cls._like(
            chunk,
            id=f"{job.id}.{chunk.number}",
            job=job.id,
            kind=job.kind,
            collection=job.collection,
            chunk=chunk.number,
            items=len(chunk.items),
        )


class OpenedLetterView(DeadLetterView):
    """A dead letter with what it was to do."""

    parameters: dict[str, Any] = Field(description="Of the job, shortened as there.")
    contents: list[str] = Field(description="The items: asset ids, names or URLs.")

    @classmethod
    def of(cls, letter: DeadLetter) -> "OpenedLetterView":
        """Return the view of a dead letter with its items."""
        return cls(
            **DeadLetterView.of(letter).model_dump(),
            parameters=_brief(letter.job.parameters),
            contents=list(letter.chunk.items),
        )


def _rate(job: Job, ended: int, now: datetime) -> float | None:
    """Return items per second since the job was first started."""
    if job.started_at is None:
        return None
    seconds = ((job.finished_at or now) - job.started_at).total_seconds()
    return ended / seconds if seconds > 0 else None


def _percent(ended: int, items: int) -> float:
    return round(100 * ended / items, 1) if items else 100.0


def _shown(result: Mapping[str, object] | None) -> dict[str, Any] | None:
    """Return a result without where its file is kept."""
    if result is None:
        return None
    file = result.get("file")
    if not isinstance(file, Mapping):
        return dict(result)
    told = cast("Mapping[str, object]", file)
    return {**result, "file": {key: told[key] for key in told if key != "chunk"}}


def _brief(parameters: Mapping[str, object]) -> dict[str, Any]:
    """Return parameters without what would make every look at the job long."""
    return {name: _short(value) for name, value in parameters.items()}


def _short(value: object) -> object:
    match value:
        case list() if len(value) > _LONG_LIST:  # pyright: ignore[reportUnknownArgumentType] - JSON of any shape
            return {"count": len(value)}  # pyright: ignore[reportUnknownArgumentType] - JSON of any shape
        case str() if len(value) > _LONG_TEXT:
            return {"characters": len(value)}
        case _:
            return value
