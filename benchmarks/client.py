"""The load: a process of its own that sends pictures over HTTP and takes the time.

`python -m benchmarks.client PICTURES`; orders come in on standard input. Threads and
`http.client`, because they cost the machine less than an asyncio client does.
"""

import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import NamedTuple, TypeAlias
from urllib.parse import urlsplit

from benchmarks.pictures import Picture, read_pictures
from benchmarks.protocol import LoadOrder, Sample, answer_orders
from benchmarks.shapes import QUESTIONS, SHAPES, Request

Maker: TypeAlias = Callable[[], Request]
"""What makes the next request."""

_TIMEOUT_S = 120
_PAUSE_AFTER_ERROR_S = 0.05
_MAX_RETRY_S = 1.0
_NO_ANSWER = "none"
_REFUSED = "429"


class _Answer(NamedTuple):
    """What came back; the status is `_NO_ANSWER` where the connection broke."""

    status: str
    content: bytes
    retry_after_s: float = 0.0


class _Tally:
    """What every client of one order adds to; lists append whole under the GIL."""

    def __init__(self) -> None:
        self.latencies_ms: list[float] = []
        self.errors: list[str] = []
        self.statuses: list[str] = []


def measure(pictures: Sequence[Picture], order: LoadOrder) -> Sample:
    """Send pictures for as long as the order says; return what came of it."""
    makers = _makers(pictures, order)
    tally = _Tally()
    cpu, start = time.process_time(), time.perf_counter()
    threads = [
        threading.Thread(
            target=_send_until,
            args=(start + order.seconds, order, _from(makers, at), tally),
        )
        for at in range(order.clients)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return Sample(
        done=len(tally.latencies_ms),
        wall_s=time.perf_counter() - start,
        cpu_s=time.process_time() - cpu,
        latencies_ms=tally.latencies_ms,
        errors=len(tally.errors),
        first_error=next(iter(tally.errors), ""),
        answers=dict(Counter(tally.statuses)),
    )


def _makers(pictures: Sequence[Picture], order: LoadOrder) -> Sequence[Maker]:
    if question := QUESTIONS.get(order.shape):
        return [partial(question, asset) for asset in order.assets]
    shape = SHAPES[order.shape]
    return [shape.requests(picture) for picture in pictures]


def _from(makers: Sequence[Maker], at: int) -> Sequence[Maker]:
    """Let no two clients send the same picture at the same time."""
    at %= len(makers)
    return [*makers[at:], *makers[:at]]


def _send_until(
    end: float, order: LoadOrder, makers: Sequence[Maker], tally: _Tally
) -> None:
    connection = HTTPConnection(urlsplit(order.url).netloc, timeout=_TIMEOUT_S)
    # 200 to an upload would mean that the asset was there already.
    wanted = "201" if order.shape.startswith("assets") else "200"
    sent = 0
    while time.perf_counter() < end:
        request = makers[sent % len(makers)]()
        begun = time.perf_counter()
        answer = _send(connection, request)
        tally.statuses.append(answer.status)
        sent += 1
        if answer.status == wanted:
            tally.latencies_ms.append((time.perf_counter() - begun) * 1000)
        elif order.may_refuse and answer.status == _REFUSED:
            time.sleep(_until_retry(answer, end))
        else:
            tally.errors.append(f"{answer.status} {answer.content[:200]!r}")
            time.sleep(_PAUSE_AFTER_ERROR_S)
    connection.close()


def _until_retry(answer: _Answer, end: float) -> float:
    """Return for how many seconds to wait: what the server asks, within bounds.

    Neither beyond the end, nor so long that the pressure is gone.
    """
    left_s = max(0.0, end - time.perf_counter())
    return min(answer.retry_after_s, _MAX_RETRY_S, left_s)


def _send(connection: HTTPConnection, request: Request) -> _Answer:
    kind = request.content_type
    try:
        headers = {"content-type": kind} if kind else {}
        connection.request(request.method, request.path, request.body, headers)
        answer = connection.getresponse()
        content = answer.read()
    except (OSError, HTTPException) as error:
        connection.close()
        return _Answer(_NO_ANSWER, repr(error).encode())
    retry_after_s = float(answer.headers.get("retry-after", "0"))
    return _Answer(str(answer.status), content, retry_after_s)


if __name__ == "__main__":
    answer_orders(LoadOrder, partial(measure, read_pictures(Path(sys.argv[1]))))
