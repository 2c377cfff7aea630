"""What happens to every request: an id, the key, a bound on the body, a log line."""

import hmac
import ipaddress
import logging
import re
import time
import uuid
from collections.abc import Sequence
from hashlib import sha256
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dinoserve.domain.links import Signer
from dinoserve.errors import (
    BodyTooLargeError,
    DinoserveError,
    ForeignCallerError,
    LinkRefusedError,
    OverloadedError,
    UnauthorizedError,
)
from dinoserve.telemetry import Metrics, request_id
from dinoserve.web.problems import answer, bug

_log = logging.getLogger("dinoserve.access")
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,128}")
_NO_ANSWER = 499  # nginx's word for a caller that left before the answer
OPEN_PATHS = frozenset({"/livez", "/readyz"})
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_NO_KEY = "Send a valid key as `Authorization: Bearer <key>` or `x-api-key: <key>`."
_FOREIGN = (
    "Without API keys only callers on this machine are served, under 127.0.0.1, [::1]"
    " or localhost. Set DINOSERVE_API_KEYS to be called otherwise."
)


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
        method = scope["method"] if scope["method"] in _METHODS else "other"
        self._metrics.requests.labels(route, method, status).inc()
        self._metrics.request_seconds.labels(route).observe(seconds)
        _log.info(
            "%s %s %d %.1f ms", scope["method"], scope["path"], status, seconds * 1000
        )


class Guarded:
    """Lets only callers with a key pass; without keys, only this machine's own.

    A link that the server signed is a key to what it names.

    Args:
        app: what is guarded.
        key_digests: SHA-256 of every valid key; empty means that none is asked for.
    """

    def __init__(self, app: ASGIApp, key_digests: Sequence[bytes]) -> None:
        self._app = app
        self._digests = tuple(key_digests)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or answer 401 or 403."""
        error = self._refusal(scope) if scope["type"] == "http" else None
        app = answer(scope["path"], error) if error else self._app
        await app(scope, receive, send)

    def _refusal(self, scope: Scope) -> DinoserveError | None:
        if scope["path"] in OPEN_PATHS:
            return None
        try:
            if _is_link(scope):
                return None
        except LinkRefusedError as error:
            return error
        if self._digests:
            return None if self._has_key(scope) else UnauthorizedError(_NO_KEY)
        # A page from elsewhere may make a browser here call us, under our own address
        # (CSRF) or under a name of its own that leads here (DNS rebinding).
        origin = _header(scope, b"origin")
        names = [f"//{_header(scope, b'host')}", *([origin] if origin else [])]
        return None if all(map(_is_own, names)) else ForeignCallerError(_FOREIGN)

    def _has_key(self, scope: Scope) -> bool:
        bearer = _header(scope, b"authorization")
        given = [_header(scope, b"x-api-key")]
        if bearer[:7].lower() == "bearer ":
            given.append(bearer[7:])
        digests = [sha256(key.encode()).digest() for key in given if key]
        # Every key is compared: the time must not tell which one was near.
        found = [hmac.compare_digest(d, own) for d in digests for own in self._digests]
        return any(found)


class Bounded:
    """Refuses bodies over a limit, alone or all together.

    By their header, else while they arrive.

    Args:
        app: what is guarded.
        max_bytes: of one body.
        max_held_bytes: of all bodies whose requests are not answered yet.
    """

    def __init__(self, app: ASGIApp, max_bytes: int, max_held_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._max_held_bytes = max_held_bytes
        self._held_bytes = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or answer 413 or 429."""
        declared = _header(scope, b"content-length") if scope["type"] == "http" else ""
        if declared.isdecimal() and int(declared) > self._max_bytes:
            error = _too_large(self._max_bytes, int(declared))
            await answer(scope["path"], error)(scope, receive, send)
        elif scope["type"] == "http":
            await self._count(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _count(self, scope: Scope, receive: Receive, send: Send) -> None:
        received, has_answered = 0, False
        refusal: DinoserveError | None = None

        async def counted() -> Message:
            nonlocal received, refusal
            message = await receive()
            size = len(message.get("body", b""))
            received += size
            self._held_bytes += size
            if size and (refusal := self._refusal(received)):
                raise refusal
            return message

        async def unless_refused(message: Message) -> None:
            nonlocal has_answered
            # The framework turns what `counted` raised into an answer of its own.
            if refusal is None:
                has_answered = True
                await send(message)

        try:
            await self._app(scope, counted, unless_refused)
        except DinoserveError:
            if refusal is None:
                raise
        finally:
            self._held_bytes -= received
        if refusal and not has_answered:
            await answer(scope["path"], refusal)(scope, receive, send)

    def _refusal(self, received: int) -> DinoserveError | None:
        if received > self._max_bytes:
            return _too_large(self._max_bytes, received)
        if self._held_bytes > self._max_held_bytes:
            return OverloadedError(
                f"Requests that are not answered yet hold {self._held_bytes} bytes;"
                f" {self._max_held_bytes} are allowed (DINOSERVE_MAX_HELD_BYTES)."
            )
        return None


def _is_link(scope: Scope) -> bool:
    signer: Signer = scope["app"].state.services.links
    query = scope["query_string"].decode("latin-1")
    return signer.check(scope["method"], scope["path"], query, time.time())


def is_loopback(host: str) -> bool:
    """Tell whether only this machine itself is meant by the name or address."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _is_own(url: str) -> bool:
    try:
        return is_loopback(urlsplit(url).hostname or "")
    except ValueError:
        return False


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
