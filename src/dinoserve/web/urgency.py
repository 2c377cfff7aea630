"""How urgent a request is, as its caller says in two headers."""

import asyncio
import re
from collections.abc import Mapping
from typing import Any, get_args

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dinoserve.domain.urgency import Priority, priority
from dinoserve.errors import DeadlineError, HeaderError
from dinoserve.web.middleware import OPEN_PATHS
from dinoserve.web.problems import answer

MAX_TIMEOUT_S = 3600
"""Seconds that a caller may set at most; longer is no deadline."""

_TIMEOUT = "x-request-timeout"
_PRIORITY = "x-request-priority"
_SECONDS = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")
_SHOWN = 40

URGENCY_HEADERS: list[dict[str, Any]] = [
    {
        "name": _TIMEOUT,
        "in": "header",
        "description": "Seconds until the answer must begin; then 504.",
        "schema": {"type": "number", "exclusiveMinimum": 0, "maximum": MAX_TIMEOUT_S},
    },
    {
        "name": _PRIORITY,
        "in": "header",
        "description": "`bulk` lets requests of callers that wait go first.",
        "schema": {"enum": list(get_args(Priority)), "default": "interactive"},
    },
]
"""The headers as parameters of an OpenAPI operation."""


class Urgent:
    """Gives each request the priority and the deadline that its headers ask for.

    The deadline is set here, around the whole request, because a body that arrives
    too slowly or a store that hangs must not outlast it either. It ends with the
    first byte of the answer. Probes have neither header.

    Args:
        app: what is called.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or answer 400 or 504."""
        if scope["type"] != "http" or scope["path"] in OPEN_PATHS:
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        try:
            asked, timeout_s = _priority(headers), _timeout_s(headers)
        except HeaderError as error:
            await answer(scope["path"], error)(scope, receive, send)
            return
        token = priority.set(asked)
        try:
            if await self._is_late(timeout_s, scope, receive, send):
                error = _late(timeout_s)
                await answer(scope["path"], error)(scope, receive, send)
        finally:
            priority.reset(token)

    async def _is_late(
        self, timeout_s: float | None, scope: Scope, receive: Receive, send: Send
    ) -> bool:
        """Let the app answer; True if its time passed first and nothing was sent."""
        limit = asyncio.timeout(timeout_s)

        async def in_time(message: Message) -> None:
            # What the app still sends while it is cancelled would be a second answer.
            if limit.expired():
                return
            limit.reschedule(None)
            await send(message)

        try:
            async with limit:
                await self._app(scope, receive, in_time)
        except TimeoutError:
            if not limit.expired():  # one of the app's own
                raise
        return limit.expired()


def _timeout_s(headers: Mapping[str, str]) -> float | None:
    text = headers.get(_TIMEOUT)
    if text is None:
        return None
    seconds = float(text) if _SECONDS.fullmatch(text) else 0.0
    if not 0 < seconds <= MAX_TIMEOUT_S:
        raise HeaderError(
            f"{_TIMEOUT} is a decimal number of seconds above 0, at most"
            f" {MAX_TIMEOUT_S}, e.g. 2.5.",
            field=_TIMEOUT,
            limit=MAX_TIMEOUT_S,
            value=text[:_SHOWN],
        )
    return seconds


def _priority(headers: Mapping[str, str]) -> Priority:
    text = headers.get(_PRIORITY, "interactive")
    for known in get_args(Priority):
        if text == known:
            return known
    raise HeaderError(
        f"{_PRIORITY} is `interactive` or `bulk`.",
        field=_PRIORITY,
        limit=list(get_args(Priority)),
        value=text[:_SHOWN],
    )


def _late(timeout_s: float | None) -> DeadlineError:
    return DeadlineError(
        f"No answer had begun within the {timeout_s:g} s of {_TIMEOUT}.",
        field=_TIMEOUT,
        limit=timeout_s,
    )
