"""Conditional and partial answers: ETag and Range of RFC 9110, one range only."""

import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

from fastapi import Request, Response
from fastapi.responses import StreamingResponse

from dinoserve.errors import RangeError

_ONE_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


@dataclass(frozen=True, slots=True)
class Portion:
    """Which bytes [start, stop) to send, and with which status: 200, 206 or 304."""

    status: int
    start: int
    stop: int


def portion(headers: Mapping[str, str], etag: str, size_bytes: int) -> Portion:
    """Return what of the content a request asks for.

    Several ranges, or a unit other than bytes, are answered with everything, as
    RFC 9110 §14.2 allows.

    Raises:
        RangeError: the range begins behind the end.
    """
    if _names(headers.get("if-none-match", ""), etag):
        return Portion(304, 0, 0)
    match = _ONE_RANGE.fullmatch(headers.get("range", "").replace(" ", ""))
    is_stale = headers.get("if-range", etag) != etag
    if not match or match[0] == "bytes=-" or is_stale:
        return Portion(200, 0, size_bytes)
    start, stop = _bounds(match[1], match[2], size_bytes)
    if start >= min(stop, size_bytes):
        raise RangeError(
            f"The content has {size_bytes} bytes, numbered from 0.",
            field="range",
            limit=size_bytes,
            value=match[0][:60],
        )
    return Portion(206, start, min(stop, size_bytes))


def conditions(request: Request) -> Mapping[str, str]:
    """Return the headers that `portion` reads; only GET has ranges (RFC 9110 §14.2)."""
    if request.method == "GET":
        return request.headers
    return {k: v for k, v in request.headers.items() if k != "range"}


def content_headers(etag: str) -> dict[str, str]:
    """Return the headers of every answer with content that never changes."""
    return {
        "etag": etag,
        "accept-ranges": "bytes",
        "cache-control": "private, max-age=31536000, immutable",
        # The bytes are a stranger's: a browser must not guess a type from them.
        "x-content-type-options": "nosniff",
        "content-security-policy": "default-src 'none'; sandbox",
    }


def send(
    request: Request,
    wanted: Portion,
    chunks: AsyncIterator[bytes],
    size_bytes: int,
    headers: Mapping[str, str],
) -> Response:
    """Return the answer that sends these bytes; to HEAD, the same without them.

    Args:
        request: GET or HEAD.
        wanted: what of the content goes out.
        chunks: just that.
        size_bytes: of the whole content.
        headers: `content-type` among them.
    """
    told = {**headers, "content-length": str(wanted.stop - wanted.start)}
    if wanted.status == 206:  # noqa: PLR2004 - partial content
        span = f"{wanted.start}-{wanted.stop - 1}"
        told["content-range"] = f"bytes {span}/{size_bytes}"
    if request.method == "HEAD":
        return Response(None, wanted.status, told)
    return StreamingResponse(chunks, wanted.status, told)


def _bounds(first: str, last: str, size_bytes: int) -> tuple[int, int]:
    if not first:  # the last N bytes
        return max(size_bytes - int(last), 0), size_bytes
    return int(first), int(last) + 1 if last else size_bytes


def _names(if_none_match: str, etag: str) -> bool:
    tags = [tag.strip().removeprefix("W/") for tag in if_none_match.split(",")]
    return etag in tags or tags == ["*"]
