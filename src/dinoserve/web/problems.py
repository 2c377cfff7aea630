"""Errors over HTTP: one table, one body (RFC 9457), one shape for OpenAI's routes."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.routing import Match, Route

from dinoserve.errors import (
    BodyTooLargeError,
    ConflictError,
    DeadlineError,
    DinoserveError,
    FetchDisabledError,
    FetchFailedError,
    FetchRefusedError,
    ForeignCallerError,
    HeaderError,
    ImageDamagedError,
    ImageEmptyError,
    ImageTooLargeError,
    ImageUnsupportedError,
    InvalidInputError,
    LinkRefusedError,
    NotConfiguredError,
    NotFoundError,
    NotInstalledError,
    OverloadedError,
    RangeError,
    RenditionRefusedError,
    ResultErasedError,
    StorageFullError,
    UnauthorizedError,
    UnavailableError,
)
from dinoserve.telemetry import request_id
from dinoserve.web.faults import Fault, fault_of

_log = logging.getLogger(__name__)

_TOLD = 20

# The nearest class in an error's ancestry decides.
STATUS: dict[type[DinoserveError], tuple[int, str]] = {
    InvalidInputError: (422, "The request cannot be used as it is"),
    ImageUnsupportedError: (415, "Not an image that is read here"),
    ImageTooLargeError: (413, "The image is too large"),
    BodyTooLargeError: (413, "The request body is too large"),
    HeaderError: (400, "A request header cannot be used"),
    RangeError: (416, "The byte range lies outside the content"),
    RenditionRefusedError: (403, "This rendition takes a signed link"),
    FetchFailedError: (422, "The URL did not give an image"),
    NotFoundError: (404, "There is no such thing"),
    ResultErasedError: (410, "What the job made was erased"),
    ConflictError: (409, "The request does not fit the present state"),
    NotInstalledError: (409, "A library that this takes is not installed"),
    NotConfiguredError: (409, "This server is not set up for it"),
    UnauthorizedError: (401, "A valid API key is needed"),
    ForeignCallerError: (403, "Without API keys only this machine is served"),
    LinkRefusedError: (403, "The signed link cannot be used"),
    OverloadedError: (429, "Too much work is waiting"),
    DeadlineError: (504, "The caller's time passed before the answer"),
    UnavailableError: (503, "Something the service needs does not answer"),
    StorageFullError: (507, "The store is full"),
}
# What middleware may answer on every route, and wrong input on nearly every one.
_ANYWHERE = (
    InvalidInputError,
    HeaderError,
    BodyTooLargeError,
    UnauthorizedError,
    ForeignCallerError,
    LinkRefusedError,
    OverloadedError,
    DeadlineError,
)
IMAGE_FAULTS = (
    ImageEmptyError,
    ImageDamagedError,
    ImageTooLargeError,
    ImageUnsupportedError,
    FetchDisabledError,
    FetchRefusedError,
    FetchFailedError,
)
"""What may be wrong with an image that a route takes, or with its URL."""
INTERNAL = (500, "internal", "This is a fault of the server")
ROUTING = {
    404: ("route-not-found", "There is no such route"),
    405: ("method-not-allowed", "The route has no such method"),
}
OPENAI_ROUTES = ("/v1/embeddings", "/embeddings", "/v1/models")


class Problem(BaseModel):
    """RFC 9457 problem document."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(description="`/problems/<code>`; stable.")
    title: str
    status: int
    detail: str
    instance: str = Field(description="The request id, as in `x-request-id`.")
    errors: list[Fault] | None = None


class OpenAIErrorBody(BaseModel):
    """What OpenAI's clients look for in an error."""

    message: str
    type: str
    param: str | None
    code: str


class OpenAIError(BaseModel):
    """An error in OpenAI's shape."""

    error: OpenAIErrorBody


def responses(*kinds: type[DinoserveError]) -> dict[int | str, dict[str, Any]]:
    """Return the `responses=` of a route that may fail in these ways."""
    return _declare(kinds, "application/problem+json", "Problem")


def openai_responses(*kinds: type[DinoserveError]) -> dict[int | str, dict[str, Any]]:
    """Return the `responses=` of a route in OpenAI's shape."""
    return _declare(kinds, "application/json", "OpenAIError")


def _declare(
    kinds: Sequence[type[DinoserveError]], media_type: str, schema: str
) -> dict[int | str, dict[str, Any]]:
    codes: dict[int, list[str]] = {}
    for kind in (*kinds, *_ANYWHERE):
        names = codes.setdefault(status_of(kind)[0], [])
        names += [] if f"`{kind.code}`" in names else [f"`{kind.code}`"]
    content = {media_type: {"schema": {"$ref": f"#/components/schemas/{schema}"}}}
    return {
        status: {"description": " · ".join(names), "content": content}
        for status, names in sorted(codes.items())
    }


def status_of(kind: type[DinoserveError]) -> tuple[int, str]:
    """Return the HTTP status and title of an error class."""
    for ancestor in kind.__mro__:
        if ancestor in STATUS:
            return STATUS[ancestor]
    return INTERNAL[0], INTERNAL[2]


def install(app: FastAPI) -> None:
    """Answer every error of the app as a problem."""
    app.add_exception_handler(DinoserveError, _on_expected)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(HTTPException, _on_http)


def answer(path: str, error: DinoserveError) -> JSONResponse:
    """Return the error as an answer in the shape that the path's clients read."""
    status, title = status_of(type(error))
    headers: dict[str, str] = {}
    if isinstance(error, OverloadedError):
        headers["retry-after"] = str(error.retry_after_s)
    if isinstance(error, RangeError):  # RFC 9110 §14.4: of how many bytes
        headers["content-range"] = f"bytes */{error.extra['limit']}"
    if isinstance(error, UnauthorizedError):
        headers["www-authenticate"] = "Bearer"
    body = _body(path, status, (error.code, title), error.detail, **error.extra)
    return _respond(path, status, body, headers)


def _body(
    path: str, status: int, kind: tuple[str, str], detail: str, **extra: object
) -> dict[str, object]:
    code, title = kind
    if path.startswith(OPENAI_ROUTES):
        family = "invalid_request_error" if status < 500 else "server_error"  # noqa: PLR2004 - 5xx begins here
        return {
            "error": {
                "message": detail,
                "type": family,
                "param": extra.get("field"),
                "code": code,
            }
        }
    return {
        "type": f"/problems/{code}",
        "title": title,
        "status": status,
        "detail": detail,
        "instance": request_id.get(),
        **extra,
    }


def _respond(
    path: str, status: int, body: object, headers: dict[str, str] | None = None
) -> JSONResponse:
    is_openai = path.startswith(OPENAI_ROUTES)
    media_type = "application/json" if is_openai else "application/problem+json"
    return JSONResponse(body, status, headers, media_type)


async def _on_expected(request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, DinoserveError):  # Starlette's signature is that wide
        raise error
    _log.warning("%s: %s", error.code, error.detail)
    return answer(request.url.path, error)


async def _on_invalid(request: Request, error: Exception) -> JSONResponse:
    invalid = error if isinstance(error, RequestValidationError) else None
    faults: Sequence[Any] = invalid.errors() if invalid else []
    errors = [fault_of(fault).model_dump(exclude_none=True) for fault in faults[:_TOLD]]
    first = dict(errors[0] if errors else {"field": "body", "detail": "unreadable"})
    body = _body(
        request.url.path,
        422,
        (InvalidInputError.code, STATUS[InvalidInputError][1]),
        f"{first['field']}: {first.pop('detail')}",
        **first,
        errors=errors,
    )
    return _respond(request.url.path, 422, body)


async def _on_http(request: Request, error: Exception) -> JSONResponse:
    status = error.status_code if isinstance(error, HTTPException) else 500
    given: Mapping[str, str] = getattr(error, "headers", None) or {}
    headers = {name.lower(): value for name, value in given.items()}
    unreadable = (InvalidInputError.code, STATUS[InvalidInputError][1])
    detail = str(getattr(error, "detail", "")) or "The request could not be read."
    if status == 400:  # noqa: PLR2004 - the framework's own "body is no text"
        status, detail = 422, "The body is not JSON in UTF-8."
    if status == 404:  # noqa: PLR2004 - the framework's own "no such route"
        detail = f"There is no {request.url.path[:200]}; see /docs for what there is."
    if status == 405:  # noqa: PLR2004 - the framework's own "no such method"
        headers["allow"] = _allowed(request)
        detail = f"{request.method} is not possible here; {headers['allow']} is."
    kind = ROUTING.get(status, unreadable)
    body = _body(request.url.path, status, kind, detail)
    return _respond(request.url.path, status, body, headers)


def _allowed(request: Request) -> str:
    """Return every method of the path; the framework tells those of one route."""
    routes: list[Route] = request.app.state.routes
    fitting = [r for r in routes if r.matches(request.scope)[0] is Match.PARTIAL]
    return ", ".join(sorted({name for r in fitting for name in r.methods or ()}))


def bug(path: str, error: Exception) -> JSONResponse:
    """Return the answer to a fault of ours: a request id, and no detail."""
    _log.error("a bug in %s", path, exc_info=error)
    status, code, title = INTERNAL
    detail = f"Please report it with the request id {request_id.get()}."
    return _respond(path, status, _body(path, status, (code, title), detail))
