"""Dead letters over HTTP: chunks of jobs that were given up."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Annotated, Literal, Self

from fastapi import APIRouter, Path, Query, Request
from pydantic import BaseModel, Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from dinoserve.domain.jobs import Job
from dinoserve.domain.paging import MAX_PAGE
from dinoserve.errors import (
    ConflictError,
    JobNotFoundError,
    StorageFullError,
    UnavailableError,
)
from dinoserve.services.job_pages import JobPages
from dinoserve.services.jobs import JobService
from dinoserve.web.bodies import json_body, read_json
from dinoserve.web.deps import ServicesDep, unless_caller_leaves
from dinoserve.web.job_views import DeadLetterView, OpenedLetterView
from dinoserve.web.problems import Fault, responses
from dinoserve.web.schemas import Body

router = APIRouter(prefix="/v1/jobs/dead", tags=["jobs"])

_PATTERN = r"^[0-9a-f]{32}\.(-1|0|[1-9][0-9]{0,8})$"
_MAX_TOLD = 100

LetterIdPath = Annotated[str, Path(pattern=_PATTERN)]
LetterIdText = Annotated[str, StringConstraints(pattern=_PATTERN)]


class DeadLettersPage(BaseModel):
    """Some dead letters, perhaps none though there are more."""

    dead_letters: list[DeadLetterView]
    next_cursor: str | None


class LettersQuery(Body):
    """Which dead letters to list."""

    kind: str | None = Field(default=None, max_length=80)
    cursor: str | None = Field(default=None, pattern=_PATTERN)
    limit: int = Field(default=50, ge=1, le=MAX_PAGE)


class LettersBody(Body):
    """Which dead letters are meant: these, or all of them."""

    ids: list[LetterIdText] | None = Field(
        default=None, min_length=1, max_length=MAX_PAGE
    )
    all: Literal[True] | None = None
    kind: str | None = Field(
        default=None, max_length=80, description="With `all`: of such jobs only."
    )

    @model_validator(mode="after")
    def _one_choice(self) -> Self:
        if (self.ids is None) == (self.all is None):
            raise PydanticCustomError("one_of", "give `ids`, or `all`: true")
        if self.ids and self.kind is not None:
            raise PydanticCustomError("one_of", "`kind` belongs to `all`")
        return self


class LettersView(BaseModel):
    """What became of the dead letters that were meant."""

    changed: int
    refused: int = Field(description="That are not there, or whose job is over.")
    errors: list[Fault] = Field(description=f"Why, up to {_MAX_TOLD}.")


@router.get("", responses=responses(UnavailableError))
async def list_dead_letters(
    asked: Annotated[LettersQuery, Query()], services: ServicesDep
) -> DeadLettersPage:
    """List dead letters, by job and chunk."""
    after = _place(asked.cursor) if asked.cursor else None
    pages = JobPages(services.jobs)
    letters, place = await pages.of_letters(asked.kind, after, asked.limit)
    return DeadLettersPage(
        dead_letters=[DeadLetterView.of(letter) for letter in letters],
        next_cursor=f"{place[0]}.{place[1]}" if place else None,
    )


@router.get("/{letter_id}", responses=responses(JobNotFoundError, UnavailableError))
async def get_dead_letter(
    letter_id: LetterIdPath, services: ServicesDep
) -> OpenedLetterView:
    """Show one dead letter with what it was to do."""
    return OpenedLetterView.of(await services.jobs.dead_letter(*_place(letter_id)))


@router.post(
    "/requeue",
    openapi_extra=json_body(LettersBody),
    responses=responses(UnavailableError, StorageFullError),
)
async def requeue_dead_letters(request: Request, services: ServicesDep) -> LettersView:
    """Try them anew; their jobs go on."""
    asked = await read_json(request, LettersBody)
    work = _each(asked, services.jobs, services.jobs.requeue)
    return await unless_caller_leaves(request, work)


@router.post(
    "/discard",
    openapi_extra=json_body(LettersBody),
    responses=responses(UnavailableError, StorageFullError),
)
async def discard_dead_letters(request: Request, services: ServicesDep) -> LettersView:
    """Give their items up for good: each is a failure of its job."""
    asked = await read_json(request, LettersBody)
    work = _each(asked, services.jobs, services.jobs.discard)
    return await unless_caller_leaves(request, work)


async def _each(
    asked: LettersBody,
    jobs: JobService,
    change: Callable[[str, int], Awaitable[Job]],
) -> LettersView:
    changed, refused, errors = 0, 0, list[Fault]()
    async for job_id, number in _meant(asked, jobs):
        try:
            await change(job_id, number)
        except (JobNotFoundError, ConflictError) as error:
            refused += 1
            if len(errors) < _MAX_TOLD:
                errors.append(Fault(field=f"{job_id}.{number}", detail=error.detail))
        else:
            changed += 1
    return LettersView(changed=changed, refused=refused, errors=errors)


async def _meant(
    asked: LettersBody, jobs: JobService
) -> AsyncGenerator[tuple[str, int]]:
    for letter_id in asked.ids or ():
        yield _place(letter_id)
    if asked.all:
        async for job, chunk in JobPages(jobs).every_letter(asked.kind):
            yield job.id, chunk.number


def _place(letter_id: str) -> tuple[str, int]:
    job_id, _, number = letter_id.partition(".")
    return job_id, int(number)
