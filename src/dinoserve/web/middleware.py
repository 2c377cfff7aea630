"""What happens to every request: an id, the key, a bound on the body, a log line."""

import hmac
import logging
import re
import time
import uuid
from collections.abc import Sequence
from hashlib import sha256

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dinoserve.errors import BodyTooLargeError, DinoserveError, UnauthorizedError
from dinoserve.telemetry import Metrics, request_id
from dinoserve.web.problems import answer, bug

_log = logging.getLogger("dinoserve.access")
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,128}")
_NO_ANSWER = 499  # nginx's word for a caller that left before the answer
OPEN_PATHS = frozenset({"/livez", "/readyz"})


class Observed:
    """Gives each request its id, counts and times it, and logs one line."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        name = _header(scope, b"x-request-id")
        own = name if _REQUEST_ID.fullmatch(name) else uuid.uuid4().hex
        token = request_id.set(own)
        start = time.perf_counter()
        status = _NO_ANSWER

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"].append((b"x-request-id", own.encode()))
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        except Exception as error:
            if status != _NO_ANSWER:  # too late to say it in words
                raise
            # Here, because the framework would answer outside and without the id.
            await bug(scope["path"], error)(scope, receive, send_with_id)
        finally:
            self._record(scope, status, time.perf_counter() - start)
            request_id.reset(token)

    def _record(self, scope: Scope, status: int, seconds: float) -> None:
        # A template or `unmatched`: raw paths would make a series per asset.
        route = getattr(scope.get("route"), "path", "unmatched")
        self._metrics.requests.labels(route, scope["method"], status).inc()
        self._metrics.request_seconds.labels(route).observe(seconds)
        _log.info(
            "%s %s %d %.1f ms", scope["method"], scope["path"], status, seconds * 1000
        )


class Guarded:
    """Lets only callers with a key pass, where keys are configured.

    Args:
        app: what is guarded.
        key_digests: SHA-256 of every valid key; empty means that all may pass.
    """

    def __init__(self, app: ASGIApp, key_digests: Sequence[bytes]) -> None:
        self._app = app
        self._digests = tuple(key_digests)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or answer 401."""
        if scope["type"] != "http" or not self._digests or self._may_pass(scope):
            await self._app(scope, receive, send)
            return
        error = UnauthorizedError(
            "Send a valid key as `Authorization: Bearer <key>` or `x-api-key: <key>`."
        )
        await answer(scope["path"], error)(scope, receive, send)

    def _may_pass(self, scope: Scope) -> bool:
        if scope["path"] in OPEN_PATHS:
            return True
        bearer = _header(scope, b"authorization")
        given = bearer[7:] if bearer[:7].lower() == "bearer " else ""
        digest = sha256((given or _header(scope, b"x-api-key")).encode()).digest()
        # Every key is compared: the time must not tell which one was near.
        found = [hmac.compare_digest(digest, own) for own in self._digests]
        return any(found)


class Bounded:
    """Refuses bodies over a limit: by their header, else while they arrive."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or answer 413."""
        declared = _header(scope, b"content-length") if scope["type"] == "http" else ""
        if declared.isdecimal() and int(declared) > self._max_bytes:
            await self._refuse(int(declared), scope, receive, send)
        elif scope["type"] == "http":
            await self._count(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _count(self, scope: Scope, receive: Receive, send: Send) -> None:
        received, has_answered = 0, False

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._max_bytes:
                raise _too_large(self._max_bytes, received)
            return message

        async def unless_too_large(message: Message) -> None:
            nonlocal has_answered
            # The framework turns what `counted` raised into an answer of its own.
            if received <= self._max_bytes:
                has_answered = True
                await send(message)

        try:
            await self._app(scope, counted, unless_too_large)
        except DinoserveError:
            if received <= self._max_bytes:
                raise
        if received > self._max_bytes and not has_answered:
            await self._refuse(received, scope, receive, send)

    async def _refuse(
        self, value: int, scope: Scope, receive: Receive, send: Send
    ) -> None:
        error = _too_large(self._max_bytes, value)
        await answer(scope["path"], error)(scope, receive, send)


def _too_large(limit: int, value: int) -> BodyTooLargeError:
    return BodyTooLargeError(
        f"A request body may be {limit} bytes (DINOSERVE_MAX_BODY_BYTES).",
        field="body",
        limit=limit,
        value=value,
    )


def _header(scope: Scope, name: bytes) -> str:
    for key, value in scope["headers"]:
        if key == name:
            return value.decode("latin-1")
    return ""
