"""Changes of a job as server-sent events (WHATWG HTML §9.2)."""

import json
from collections.abc import AsyncGenerator
from typing import Any, Final

from fastapi import Request, Response
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from dinoserve.domain.jobs import Job
from dinoserve.errors import HeaderError
from dinoserve.services.job_watching import JobWatching, Watched
from dinoserve.web.job_views import JobView

BEAT_S: Final = 15.0
"""Seconds of silence after which a comment tells that the connection is alive."""

MEDIA_TYPE: Final = "text/event-stream"
_LAST = "last-event-id"
_DIGITS = 15

LAST_ID_HEADER: Final[dict[str, Any]] = {
    "name": _LAST,
    "in": "header",
    "description": "Version that is known already.",
    "schema": {"type": "string", "pattern": f"^[0-9]{{1,{_DIGITS}}}$"},
}
"""The header as a parameter of an OpenAPI operation."""


class JobEvents(Response):
    """Streams what happens to a job until it is over.

    Args:
        watching: gives the changes.
        job_id: which job.
        after: version that the caller knows; None: none.
    """

    def __init__(self, watching: JobWatching, job_id: str, after: int | None) -> None:
        super().__init__(media_type=MEDIA_TYPE)
        self._watching = watching
        self._job_id = job_id
        self._after = after

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Watch while the caller is there; errors as `JobWatching.watch`."""
        # Here, so that the watch ends with the answer, whether or not it ever began.
        async with self._watching.watch(self._job_id, self._shown) as watched:
            headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
            frames = _frames(self._job_id, watched, self._after)
            answer = StreamingResponse(frames, 200, headers, MEDIA_TYPE)
            await answer(scope, receive, send)

    def _shown(self, job: Job) -> bytes:
        view = JobView.of(job, self._watching.jobs.now())
        return _frame("job", view.model_dump_json(), job.version)


def last_event_id(request: Request) -> int | None:
    """Return the version that the caller knows already.

    Raises:
        HeaderError: the header is none that a stream of ours gave out.
    """
    text = request.headers.get(_LAST)
    if text is None:
        return None
    if text.isascii() and text.isdecimal() and len(text) <= _DIGITS:
        return int(text)
    raise HeaderError(
        f"{_LAST} is the `id` of the last event that came, a whole number.",
        field=_LAST,
        value=text[:80],
    )


async def _frames(
    job_id: str, watched: Watched, after: int | None
) -> AsyncGenerator[bytes]:
    async for seen in watched.states(after, BEAT_S):
        if seen is None:
            yield b": still here\n\n"
            continue
        if seen.shown:
            yield seen.shown
        if seen.is_last:
            yield _frame("end", json.dumps({"id": job_id, "state": seen.state}))


def _frame(event: str, data: str, version: int | None = None) -> bytes:
    name = "" if version is None else f"id: {version}\n"
    return f"event: {event}\n{name}data: {data}\n\n".encode()
