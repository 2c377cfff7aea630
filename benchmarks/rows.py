"""The rows of the table: what is measured, and in which order."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

import psutil
from benchmarks.memory import WatchedMemory, family
from benchmarks.processes import Server, Worker
from benchmarks.protocol import CeilingOrder, LoadOrder, LoopOrder, Sample

EMBEDDINGS = "dinoserve /v1/embeddings"
RAW = "dinoserve, image as it is"
ASSETS = "dinoserve /v1/assets"
HANDWRITTEN = "hand-written server"
LITSERVE = "LitServe server"
AT_LIMIT = "dinoserve, as many as may wait"
OVERLOAD = "dinoserve, 4 times as many"
BARE_1 = "bare decode + forward, batch 1"
BARE_16 = "bare decode + forward, batch 16"
ENGINE = "bare forward, batch 16"
CEILING = "matrix product, in pictures"
INT8 = "int8 forward, batch 16"
TORCH_FP32 = "PyTorch fp32 forward, batch 16"
TORCH_BF16 = "PyTorch bf16 forward, batch 16"
TOO_MANY = 4
"""Times as many clients as may wait: these overload the server."""
_SHAPES = {
    EMBEDDINGS: "embeddings",
    HANDWRITTEN: "handwritten",
    LITSERVE: "litserve",
    RAW: "raw",
    ASSETS: "assets",
}
_LOOPS = {
    "bare forward, batch 1": ("auto", 1, False),
    BARE_1: ("auto", 1, True),
    BARE_16: ("auto", 16, True),
    ENGINE: ("auto", 16, False),
    INT8: ("int8", 16, False),
    TORCH_FP32: ("fp32", 16, False),
    TORCH_BF16: ("bf16", 16, False),
}
# Until the queue is full, and until it is empty again, takes part of the time.
_OVERLOAD_TIMES = 2


class Row(NamedTuple):
    """One thing to measure.

    Attributes:
        name: what the table calls it.
        clients: that send at the same time; 0 in rows without HTTP.
        measure: takes seconds; returns what was measured in them.
        pid: the process that does the work.
    """

    name: str
    clients: int
    measure: Callable[[float], Sample]
    pid: int


class Stretch(NamedTuple):
    """One row in one round: what came of it, and resident memory meanwhile.

    Attributes:
        busy_s: processor time of the measured process and its children.
    """

    sample: Sample
    busy_s: float
    start_mib: float
    peak_mib: float
    end_mib: float

    @property
    def rate(self) -> float:
        """Images a second, or whatever else the row counts."""
        return self.sample.done / self.sample.wall_s


class Cast(NamedTuple):
    """The processes that are measured.

    Attributes:
        servers: by the name of the row, for each of the HTTP rows.
        client: a `benchmarks.client`.
        bare: a `benchmarks.bare` for each engine that is there.
        ceiling: a `benchmarks.ceiling`.
    """

    servers: Mapping[str, Server]
    client: Worker
    bare: Mapping[str, Worker]
    ceiling: Worker


def plan(cast: Cast, clients: Sequence[int], limit: int) -> list[Row]:
    """Return every row; rows to be compared stand next to each other.

    Args:
        cast: what is measured; a server or engine that is not there has no row.
        clients: how many at the same time, in turn.
        limit: how many dinoserve lets wait.
    """
    over_http = [
        _http_row(name, cast, many)
        for many in clients
        for name in _SHAPES
        if name in cast.servers
    ]
    overload = [
        _overload_row(AT_LIMIT, cast, limit),
        _overload_row(OVERLOAD, cast, TOO_MANY * limit),
    ]
    loops = [
        _bare_row(name, cast.bare[engine], LoopOrder(batch=n, decode=decode, seconds=0))
        for name, (engine, n, decode) in _LOOPS.items()
        if engine in cast.bare
    ]
    at = [row.name for row in loops].index(ENGINE)
    return [*over_http, *overload, *loops[:at], _ceiling_row(cast), *loops[at:]]


def measure_row(row: Row, seconds: float) -> Stretch:
    """Measure one row for about so many seconds."""
    before = _processor_s(row.pid)
    with WatchedMemory(row.pid) as memory:
        sample = row.measure(seconds)
    busy_s = _processor_s(row.pid) - before
    return Stretch(sample, busy_s, memory.start_mib, memory.peak_mib, memory.end_mib)


def _processor_s(pid: int) -> float:
    """Return the processor time of a process and its children so far."""
    total = 0.0
    for process in family(pid):
        with suppress(psutil.Error):
            times = process.cpu_times()
            total += times.user + times.system
    return total


def _http_row(name: str, cast: Cast, clients: int) -> Row:
    server = cast.servers[name]

    def measure(seconds: float) -> Sample:
        order = LoadOrder(
            url=server.url, shape=_SHAPES[name], clients=clients, seconds=seconds
        )
        return cast.client.ask(order)

    def measure_woken(seconds: float) -> Sample:
        server.wake()
        try:
            return measure(seconds)
        finally:
            server.sleep()

    # Idle, LitServe asks its queue a thousand times a second, and all others pay.
    polls = name == LITSERVE
    return Row(name, clients, measure_woken if polls else measure, server.pid)


def _overload_row(name: str, cast: Cast, clients: int) -> Row:
    server = cast.servers[EMBEDDINGS]

    def measure(seconds: float) -> Sample:
        order = LoadOrder(
            url=server.url,
            shape=_SHAPES[EMBEDDINGS],
            clients=clients,
            seconds=_OVERLOAD_TIMES * seconds,
            may_refuse=True,
        )
        return cast.client.ask(order)

    return Row(name, clients, measure, server.pid)


def _ceiling_row(cast: Cast) -> Row:
    def measure(seconds: float) -> Sample:
        return cast.ceiling.ask(CeilingOrder(seconds=seconds))

    return Row(CEILING, 0, measure, cast.ceiling.pid)


def _bare_row(name: str, bare: Worker, order: LoopOrder) -> Row:
    def measure(seconds: float) -> Sample:
        return bare.ask(order.model_copy(update={"seconds": seconds}))

    return Row(name, 0, measure, bare.pid)
