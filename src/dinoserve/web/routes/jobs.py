"""Jobs over HTTP: ask for them, watch them, end them, have what they made."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel, Field

from dinoserve.domain.jobs import JOB_ID_PATTERN, JobState
from dinoserve.domain.paging import MAX_PAGE, Cursor
from dinoserve.errors import (
    IdempotencyError,
    JobNotFoundError,
    JobStateError,
    OverloadedError,
    ResultErasedError,
    StorageFullError,
    UnavailableError,
)
from dinoserve.ports import JobCursor, JobQuery
from dinoserve.services.job_pages import FailurePlace, JobPages
from dinoserve.web.deps import ServicesDep
from dinoserve.web.job_events import (
    LAST_ID_HEADER,
    MEDIA_TYPE,
    JobEvents,
    last_event_id,
)
from dinoserve.web.job_files import send_result
from dinoserve.web.job_requests import job_body, read_job
from dinoserve.web.job_views import FailureView, JobView
from dinoserve.web.problems import responses
from dinoserve.web.schemas import Body, CollectionText

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])

JobIdPath = Annotated[str, Path(pattern=JOB_ID_PATTERN)]
_EVENTS: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {MEDIA_TYPE: {"schema": {"type": "string"}}},
        "description": "The job at every change, until it is over.",
    }
}
_RESULT: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {"application/json": {}, "*/*": {}},
        "description": "The result, or the file that was made.",
    }
}


class JobsPage(BaseModel):
    """Some jobs, newest first."""

    jobs: list[JobView]
    next_cursor: str | None


class FailuresPage(BaseModel):
    """Some items that were given up, perhaps none though there are more."""

    failures: list[FailureView]
    next_cursor: str | None


class JobsQuery(Body):
    """Which jobs to list."""

    state: list[JobState] = Field(default=[], max_length=6)
    kind: str | None = Field(default=None, max_length=80)
    collection: CollectionText | None = None
    cursor: str | None = Field(default=None, max_length=200)
    limit: int = Field(default=50, ge=1, le=MAX_PAGE)

    def to_domain(self) -> JobQuery:
        """Return the query; errors as `Cursor.decode`."""
        place = Cursor.decode(self.cursor) if self.cursor else None
        return JobQuery(
            states=tuple(dict.fromkeys(self.state)),
            kind=self.kind,
            collection=self.collection,
            after=JobCursor(place.created_at, place.id) if place else None,
            limit=self.limit,
        )


class FailuresQuery(Body):
    """Which failures to list."""

    cursor: str | None = Field(default=None, pattern=r"^[0-9]{1,9}\.[0-9]{1,9}$")
    limit: int = Field(default=50, ge=1, le=MAX_PAGE)

    def to_domain(self) -> FailurePlace | None:
        """Return behind which failure the page begins."""
        if self.cursor is None:
            return None
        chunk, _, behind = self.cursor.partition(".")
        return FailurePlace(int(chunk), int(behind))


@router.post(
    "",
    status_code=202,
    openapi_extra=job_body(),
    responses={200: {"model": JobView, "description": "The key's job was there."}}
    | responses(IdempotencyError, OverloadedError, UnavailableError, StorageFullError),
)
async def submit_job(
    request: Request, response: Response, services: ServicesDep
) -> JobView:
    """Accept a job; once this is answered, it is done whatever happens.

    With an `idempotency-key` the same request may be sent again: the answer is the
    first one's job (200), and 409 if kind or parameters differ.
    """
    asked = await read_job(request, services.jobs.kinds)
    job, is_new = await services.jobs.submit(asked)
    response.status_code = 202 if is_new else 200
    response.headers["location"] = f"{router.prefix}/{job.id}"
    return JobView.of(job, services.jobs.now())


@router.get("", responses=responses(UnavailableError))
async def list_jobs(
    asked: Annotated[JobsQuery, Query()], services: ServicesDep
) -> JobsPage:
    """List jobs, newest first; `state` may be repeated, one of them must fit."""
    found, after = await JobPages(services.jobs).of_jobs(asked.to_domain())
    now = services.jobs.now()
    return JobsPage(
        jobs=[JobView.of(job, now) for job in found],
        next_cursor=Cursor(after.created_at, after.id).encode() if after else None,
    )


@router.get("/{job_id}", responses=responses(JobNotFoundError, UnavailableError))
async def get_job(job_id: JobIdPath, services: ServicesDep) -> JobView:
    """Show one job."""
    return JobView.of(await services.jobs.get(job_id), services.jobs.now())


@router.get(
    "/{job_id}/failures", responses=responses(JobNotFoundError, UnavailableError)
)
async def list_failures(
    job_id: JobIdPath, asked: Annotated[FailuresQuery, Query()], services: ServicesDep
) -> FailuresPage:
    """List the items that were given up, each with its reason."""
    pages = JobPages(services.jobs)
    items, after = await pages.of_failures(job_id, asked.to_domain(), asked.limit)
    return FailuresPage(
        failures=[FailureView.of(item) for item in items],
        next_cursor=f"{after.chunk}.{after.behind}" if after else None,
    )


@router.get(
    "/{job_id}/events",
    response_class=Response,
    openapi_extra={"parameters": [LAST_ID_HEADER]},
    responses=_EVENTS | responses(JobNotFoundError, OverloadedError, UnavailableError),
)
async def watch_job(
    job_id: JobIdPath, request: Request, services: ServicesDep
) -> Response:
    """Send the job whenever it has changed, until it is over.

    `last-event-id` says which version is known: what is newer comes at once. States
    between two events may be left out, the last one never is.
    """
    return JobEvents(services.watching, job_id, last_event_id(request))


@router.post(
    "/{job_id}/cancel",
    responses=responses(
        JobNotFoundError, JobStateError, UnavailableError, StorageFullError
    ),
)
async def cancel_job(job_id: JobIdPath, services: ServicesDep) -> JobView:
    """End the job; whoever works on it stops within a second."""
    return JobView.of(await services.jobs.cancel(job_id), services.jobs.now())


@router.post(
    "/{job_id}/retry",
    responses=responses(
        JobNotFoundError, JobStateError, UnavailableError, StorageFullError
    ),
)
async def retry_job(job_id: JobIdPath, services: ServicesDep) -> JobView:
    """Try the items again that failed."""
    return JobView.of(await services.jobs.retry(job_id), services.jobs.now())


@router.get(
    "/{job_id}/result",
    response_class=Response,
    responses=_RESULT
    | responses(JobNotFoundError, JobStateError, ResultErasedError, UnavailableError),
)
async def get_result(job_id: JobIdPath, services: ServicesDep) -> Response:
    """Send what the job made: JSON, or a file."""
    return await send_result(await services.jobs.get(job_id), services.jobs.results)


@router.delete(
    "/{job_id}",
    status_code=204,
    response_class=Response,
    responses=responses(
        JobNotFoundError, JobStateError, UnavailableError, StorageFullError
    ),
)
async def forget_job(job_id: JobIdPath, services: ServicesDep) -> None:
    """Forget a job that is over, with what it made; what it did stays done."""
    await services.jobs.forget(job_id)
