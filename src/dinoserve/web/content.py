"""Conditional and partial answers: ETag and Range of RFC 9110, one range only."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

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


def _bounds(first: str, last: str, size_bytes: int) -> tuple[int, int]:
    if not first:  # the last N bytes
        return max(size_bytes - int(last), 0), size_bytes
    return int(first), int(last) + 1 if last else size_bytes


def _names(if_none_match: str, etag: str) -> bool:
    tags = [tag.strip().removeprefix("W/") for tag in if_none_match.split(",")]
    return etag in tags or tags == ["*"]
