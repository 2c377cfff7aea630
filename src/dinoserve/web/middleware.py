"""What happens to every request: an id, the key, a bound on the body, a log line."""

import hmac
import ipaddress
import logging
import re
import time
import uuid
from collections.abc import Sequence
from functools import lru_cache
from hashlib import sha256
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dinoserve.domain.links import Signer
from dinoserve.errors import (
    DinoserveError,
    ForeignCallerError,
    LinkRefusedError,
    UnauthorizedError,
)
from dinoserve.telemetry import Metrics, request_id
from dinoserve.web.body_room import SCOPE_KEY, Body, BodyRoom
from dinoserve.web.problems import answer, bug

_log = logging.getLogger("dinoserve.access")
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,128}")
_LOGGED_CHARS = 100
_REQUESTER_CHARS = 12
_NO_ANSWER = 499  # nginx's word for a caller that left before the answer
OPEN_PATHS = frozenset({"/livez", "/readyz", "/v1/graph/view"})
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
        # The id of an upload is long, and its end tells what was said of the image.
        path = scope["path"][:_LOGGED_CHARS]
        _log.info("%s %s %d %.1f ms", scope["method"], path, status, seconds * 1000)


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
        pairs = [(d, own) for d in digests for own in self._digests]
        found = [own for d, own in pairs if hmac.compare_digest(d, own)]
        for own in found:  # who asked for a job; the key itself is never kept
            scope.setdefault("state", {})["requester"] = own.hex()[:_REQUESTER_CHARS]
        return bool(found)


class Bounded:
    """Refuses bodies over a limit, alone or all together.

    By their header, else while they arrive. Who moves a body's bytes to the disk says
    so to `body_of`.

    Args:
        app: what is guarded.
        room: the limits.
    """

    def __init__(self, app: ASGIApp, room: BodyRoom) -> None:
        self._app = app
        self._room = room

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or answer 413 or 429."""
        declared = _header(scope, b"content-length") if scope["type"] == "http" else ""
        if declared.isdecimal() and int(declared) > self._room.max_bytes:
            error = self._room.too_large(int(declared))
            await answer(scope["path"], error)(scope, receive, send)
        elif scope["type"] == "http":
            await self._count(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _count(self, scope: Scope, receive: Receive, send: Send) -> None:
        has_answered = False
        refusal: DinoserveError | None = None
        body = scope[SCOPE_KEY] = Body(self._room)

        async def counted() -> Message:
            nonlocal refusal
            message = await receive()
            try:
                body.arrive(len(message.get("body", b"")))
            except DinoserveError as error:
                refusal = error
                raise
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
            body.leave()
        if refusal and not has_answered:
            await answer(scope["path"], refusal)(scope, receive, send)


def _is_link(scope: Scope) -> bool:
    signer: Signer = scope["app"].state.services.links
    query = scope["query_string"].decode("latin-1")
    is_link = signer.check(scope["method"], scope["path"], query, time.time())
    scope.setdefault("state", {})["is_link"] = is_link  # for routes that give it more
    return is_link


def is_loopback(host: str) -> bool:
    """Tell whether only this machine itself is meant by the name or address."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


# Every request asks it of the same few hosts.
@lru_cache(maxsize=128)
def _is_own(url: str) -> bool:
    try:
        return is_loopback(urlsplit(url).hostname or "")
    except ValueError:
        return False


def _header(scope: Scope, name: bytes) -> str:
    for key, value in scope["headers"]:
        if key == name:
            return value.decode("latin-1")
    return ""
