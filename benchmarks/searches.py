"""Search by asset over HTTP, beside the index alone.

`python -m benchmarks.searches` measures 200 000 vectors; `make bench` as well, and
fewer where its seconds are few.
"""

import json
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from benchmarks.aims import Reached
from benchmarks.processes import (
    MeasuringError,
    Server,
    Worker,
    serving,
    stop,
    working,
)
from benchmarks.protocol import Sample
from benchmarks.searched import COLLECTION, HITS, MODEL, SearchOrder, id_of

from dinoserve.adapters.mapped_index import Limits

SEARCHES: Final = 300
_VECTORS: Final = 200_000
_ROUNDS: Final = 3
_ABOVE_MS: Final = 3.0
_TIMEOUT_S: Final = 60
# Two cores make a graph of 200 000 in less than two minutes.
_GRAPH_S: Final = 900
_WARM: Final = 20
_LAST_WORDS: Final = 4000


class SearchFigures(NamedTuple):
    """What was measured: beside what we aim at, and in words."""

    reached: list[Reached]
    notes: list[str]


def measure_searches(vectors: int, rounds: int) -> SearchFigures:
    """Return what a search by asset over HTTP takes above the index alone.

    Args:
        vectors: in the server's collection; at least 20 and 300 for each round.
        rounds: of 300 searches each, in turn with the index; the median counts.

    Raises:
        MeasuringError: a process did not start or ended too early, a search failed, or
            the graph was not made.
    """
    with tempfile.TemporaryDirectory(prefix="dinoserve-searches-") as folder:
        place = Path(folder)
        # Beside the server's own folder, which it makes itself.
        arguments = (str(place / "data"), str(vectors))
        log = place / "searched.log"
        with (
            working("benchmarks.searched", *arguments, log=log) as alone,
            _server(place) as server,
            _connected(server) as connection,
        ):
            path = _waited(connection, vectors)
            # Each asset once: the server remembers what it found.
            firsts = range(_WARM, _WARM + rounds * SEARCHES, SEARCHES)
            pairs = [(_timed(connection, at), _asked(alone, at)) for at in firsts]
    over_http = [statistics.median(took) for took, _ in pairs]
    index = [statistics.median(sample.latencies_ms) for _, sample in pairs]
    above = [one - other for one, other in zip(over_http, index, strict=True)]
    what = f"search by asset over HTTP, ms above the index alone, {vectors} vectors"
    note = (
        f"search by asset, {vectors} vectors, {path}: p50"
        f" {statistics.median(over_http):.2f} ms over HTTP,"
        f" {statistics.median(index):.2f} ms in the index alone"
    )
    value = statistics.median(above)
    reached = Reached(what=what, value=value, sign="<=", aim=_ABOVE_MS)
    return SearchFigures([reached], [note])


@contextmanager
def _server(place: Path) -> Generator[Server]:
    settings = {
        "DINOSERVE_DATA": str(place / "data"),
        "DINOSERVE_MODEL": MODEL,
        "DINOSERVE_DEVICE": "cpu",
        "DINOSERVE_ENGINE": "torch",
        "DINOSERVE_LOG_LEVEL": "warning",
    }
    command = ["-m", "dinoserve", "serve", "--port", "0"]
    folder = place / "served"
    with serving(command, folder, settings) as server:
        try:
            yield server
        except MeasuringError as error:
            said = (folder / "log").read_text()[-_LAST_WORDS:]
            raise MeasuringError(f"{error}; the server said:\n{said}") from error


@contextmanager
def _connected(server: Server) -> Generator[HTTPConnection]:
    address = urlsplit(server.url)
    assert address.hostname
    connection = HTTPConnection(address.hostname, address.port, timeout=_TIMEOUT_S)
    with closing(connection):
        yield connection


def _waited(connection: HTTPConnection, vectors: int) -> str:
    """Wait until the graph is made, if one is made of so many; return the path."""
    wanted = "graph" if vectors >= Limits().graph_from else "scan"
    end = time.monotonic() + _GRAPH_S
    while time.monotonic() < end:
        if (path := _search(connection, 0)) == wanted:
            for number in range(_WARM):
                _search(connection, number)
            return path
        time.sleep(1)
    raise MeasuringError(f"after {_GRAPH_S} s searches were not served by a {wanted}")


def _asked(alone: Worker, first: int) -> Sample:
    return alone.ask(SearchOrder(first=first, searches=SEARCHES))


def _timed(connection: HTTPConnection, first: int) -> list[float]:
    took_ms: list[float] = []
    for number in range(first, first + SEARCHES):
        start = time.perf_counter()
        _search(connection, number)
        took_ms.append((time.perf_counter() - start) * 1000)
    return took_ms


def _search(connection: HTTPConnection, number: int) -> str:
    """Search by an asset; return the path that served it."""
    query = {"asset": id_of(number)}
    body = json.dumps({"query": query, "collection": COLLECTION, "k": HITS})
    headers = {"content-type": "application/json"}
    connection.request("POST", "/v1/search", body, headers)
    answer = connection.getresponse()
    told = json.loads(answer.read())
    if answer.status != 200 or len(told["hits"]) != HITS:
        raise MeasuringError(f"a search was answered by {answer.status}: {told}")
    return str(told["path"])


def _main(vectors: int, rounds: int) -> None:
    signal.signal(signal.SIGTERM, stop)
    figures = measure_searches(vectors, rounds)
    for line in [*figures.reached, *figures.notes]:
        print(line)


if __name__ == "__main__":
    _main(*map(int, [*sys.argv[1:], *(_VECTORS, _ROUNDS)[len(sys.argv) - 1 :]]))
