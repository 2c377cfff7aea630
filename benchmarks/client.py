"""The load: a process of its own that sends pictures over HTTP and takes the time.

`python -m benchmarks.client PICTURES`; orders come in on standard input. Threads and
`http.client`, because they cost the machine less than an asyncio client does.
"""

import sys
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.pictures import Picture, read_pictures
from benchmarks.protocol import LoadOrder, Sample, answer_orders
from benchmarks.shapes import SHAPES, Shape

_TIMEOUT_S = 120
_PAUSE_AFTER_ERROR_S = 0.05


class _Tally:
    """What every client of one order adds to; lists append whole under the GIL."""

    def __init__(self) -> None:
        self.latencies_ms: list[float] = []
        self.errors: list[str] = []


def measure(pictures: Sequence[Picture], order: LoadOrder) -> Sample:
    """Send pictures for as long as the order says; return what came of it."""
    shape = SHAPES[order.shape]
    bodies = [shape.bodies(picture) for picture in pictures]
    tally = _Tally()
    cpu, start = time.process_time(), time.perf_counter()
    threads = [
        threading.Thread(
            target=_send_until,
            args=(start + order.seconds, order.url, shape, _from(bodies, at), tally),
        )
        for at in range(order.clients)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return Sample(
        images=len(tally.latencies_ms),
        wall_s=time.perf_counter() - start,
        cpu_s=time.process_time() - cpu,
        latencies_ms=tally.latencies_ms,
        errors=len(tally.errors),
        first_error=next(iter(tally.errors), ""),
    )


def _from(
    bodies: Sequence[Callable[[], bytes]], at: int
) -> Sequence[Callable[[], bytes]]:
    """Let no two clients send the same picture at the same time."""
    at %= len(bodies)
    return [*bodies[at:], *bodies[:at]]


def _send_until(
    end: float,
    url: str,
    shape: Shape,
    bodies: Sequence[Callable[[], bytes]],
    tally: _Tally,
) -> None:
    connection = HTTPConnection(urlsplit(url).netloc, timeout=_TIMEOUT_S)
    sent = 0
    while time.perf_counter() < end:
        body = bodies[sent % len(bodies)]()
        begun = time.perf_counter()
        if problem := _send(connection, shape, body):
            tally.errors.append(problem)
            time.sleep(_PAUSE_AFTER_ERROR_S)
        else:
            tally.latencies_ms.append((time.perf_counter() - begun) * 1000)
        sent += 1
    connection.close()


def _send(connection: HTTPConnection, shape: Shape, body: bytes) -> str:
    """Return what went wrong; empty if nothing did."""
    try:
        headers = {"content-type": shape.content_type}
        connection.request("POST", shape.path, body, headers)
        answer = connection.getresponse()
        content = answer.read()
    except (OSError, HTTPException) as error:
        connection.close()
        return repr(error)
    # 200 to an upload would mean that the asset was there already.
    wanted = 201 if shape is SHAPES["assets"] else 200
    return "" if answer.status == wanted else f"{answer.status} {content[:200]!r}"


if __name__ == "__main__":
    answer_orders(LoadOrder, partial(measure, read_pictures(Path(sys.argv[1]))))
