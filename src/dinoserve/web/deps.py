"""What routes are given: the services, the options, and a caller who may leave."""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Request

from dinoserve.errors import OverloadedError
from dinoserve.services import Services
from dinoserve.telemetry import Metrics
from dinoserve.web.forms import JSON, media_type_of

_T = TypeVar("_T")

# 64 ids with their quotes are 2.3 kB; an image in base64 is seldom this small.
_SHORT_BYTES = 8192


@dataclass(frozen=True, slots=True)
class WebOptions:
    """What the HTTP edge itself must know.

    Attributes:
        key_digests: SHA-256 of every API key; empty means no key is asked for.
        max_body_bytes: bound on a request body.
        max_held_bytes: bound on all bodies of requests not answered yet, in memory.
        max_spooled_bytes: the same on the disk for temporary files.
        max_inputs: bound on the images of one embeddings request.
    """

    key_digests: tuple[bytes, ...]
    max_body_bytes: int
    max_held_bytes: int
    max_spooled_bytes: int
    max_inputs: int


class CallerLeftError(Exception):
    """The caller closed the connection; nobody reads the answer."""


def services_of(request: Request) -> Services:
    """Return the services that the app's lifespan opened."""
    return request.app.state.services


def options_of(request: Request) -> WebOptions:
    """Return the options of the HTTP edge."""
    return request.app.state.options


# These are coroutines because the framework runs plain functions in threads, which
# costs each request more than what they do.
async def _services(request: Request) -> Services:
    return services_of(request)


async def _options(request: Request) -> WebOptions:
    return options_of(request)


async def _metrics(request: Request) -> Metrics:
    return request.app.state.metrics


async def refuse_when_full(request: Request) -> None:
    """Refuse images before they are read while the engine admits none.

    Reading and parsing them would cost those who were admitted. A short body of JSON
    passes: it may hold nothing but ids, whose vectors are stored.

    Raises:
        OverloadedError: the engine is full.
    """
    if _may_be_ids(request):
        return
    load = services_of(request).models.load
    if load.waiting < load.capacity:
        return
    raise OverloadedError(
        f"{load.waiting} images are waiting; {load.capacity} may.",
        retry_after_s=load.retry_after_s,
    )


def _may_be_ids(request: Request) -> bool:
    length = request.headers.get("content-length", "")
    is_short = length.isdecimal() and int(length) <= _SHORT_BYTES
    return is_short and media_type_of(request) in {"", JSON}


ServicesDep = Annotated[Services, Depends(_services)]
OptionsDep = Annotated[WebOptions, Depends(_options)]
NotWhenFull = Depends(refuse_when_full)
MetricsDep = Annotated[Metrics, Depends(_metrics)]


async def unless_caller_leaves(request: Request, work: Coroutine[Any, Any, _T]) -> _T:
    """Return what the work gives; cancel it once the caller has left.

    Call it after the body was read, so that the next message is the farewell.

    Raises:
        CallerLeftError: the work was cancelled.
    """
    task = asyncio.create_task(work)
    farewell = asyncio.create_task(_farewell(request))
    try:
        await asyncio.wait({task, farewell}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise CallerLeftError
    finally:
        farewell.cancel()
        task.cancel()
        await asyncio.gather(task, farewell, return_exceptions=True)


async def _farewell(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
