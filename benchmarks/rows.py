"""The rows of the table: what is measured, in which order, and what comes of it."""

from collections.abc import Callable, Sequence
from statistics import median
from typing import NamedTuple

import numpy as np
from benchmarks.memory import PeakMemory
from benchmarks.processes import Server, Worker
from benchmarks.protocol import LoadOrder, LoopOrder, Sample
from pydantic import BaseModel

EMBEDDINGS = "dinoserve /v1/embeddings"
RAW = "dinoserve, image as it is"
ASSETS = "dinoserve /v1/assets"
HANDWRITTEN = "hand-written server"
BARE_1 = "bare decode + forward, batch 1"
BARE_16 = "bare decode + forward, batch 16"
_SHAPES = {
    EMBEDDINGS: "embeddings",
    HANDWRITTEN: "handwritten",
    RAW: "raw",
    ASSETS: "assets",
}
ENGINES = ("auto", "fp32", "bf16")
_LOOPS = {
    "bare forward, batch 1": ("auto", 1, False),
    BARE_1: ("auto", 1, True),
    "bare forward, batch 16": ("auto", 16, False),
    BARE_16: ("auto", 16, True),
    "PyTorch fp32 forward, batch 16": ("fp32", 16, False),
    "PyTorch bf16 forward, batch 16": ("bf16", 16, False),
}


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
    """One row in one round."""

    sample: Sample
    peak_mib: float

    @property
    def rate(self) -> float:
        """Images a second."""
        return self.sample.images / self.sample.wall_s


class Figures(BaseModel):
    """What the table says of a row; None where there is nothing to say.

    Attributes:
        images_per_s: median over the rounds.
        images_per_s_range: of the slowest and of the fastest round.
        p50_ms: over the requests (in bare rows, batches) of all rounds.
        p99_ms: the same.
        to_handwritten: images/s by those of the hand-written server with as many
            clients in the same round; median over the rounds.
        to_bare: images/s by those of `BARE_16` in the same round; likewise.
        peak_rss_mib: the most that the measured process held in these rounds.
        client_cpu_percent: of one core, spent by the client that sends the load.
        images: answered well, in all rounds.
        errors: requests that were not.
        first_error: what the first of them got.
    """

    name: str
    clients: int
    images_per_s: float
    images_per_s_range: tuple[float, float]
    p50_ms: float | None
    p99_ms: float | None
    to_handwritten: float | None
    to_bare: float | None
    peak_rss_mib: float
    client_cpu_percent: float | None
    images: int
    errors: int
    first_error: str


def plan(
    servers: dict[str, Server],
    client: Worker,
    bare: dict[str, Worker],
    clients: Sequence[int],
) -> list[Row]:
    """Return every row; rows to be compared stand next to each other.

    Args:
        servers: by the name of the row, for each of the HTTP rows.
        client: a `benchmarks.client`.
        bare: a `benchmarks.bare` for each of `ENGINES`.
        clients: how many at the same time, in turn.
    """
    over_http = [
        _http_row(name, servers[name], client, many)
        for many in clients
        for name in _SHAPES
    ]
    return over_http + [_bare_row(name, bare) for name in _LOOPS]


def measure_row(row: Row, seconds: float) -> Stretch:
    """Measure one row for about so many seconds."""
    with PeakMemory(row.pid) as memory:
        sample = row.measure(seconds)
    return Stretch(sample, memory.mib)


def figures(rows: Sequence[Row], rounds: Sequence[dict[Row, Stretch]]) -> list[Figures]:
    """Return the figures of every row, in order; each round measured all rows."""
    by_name = {(row.name, row.clients): row for row in rows}
    bare = by_name[BARE_16, 0]
    return [
        _figures(row, rounds, by_name.get((HANDWRITTEN, row.clients)), bare)
        for row in rows
    ]


def _http_row(name: str, server: Server, client: Worker, clients: int) -> Row:
    def measure(seconds: float) -> Sample:
        order = LoadOrder(
            url=server.url, shape=_SHAPES[name], clients=clients, seconds=seconds
        )
        return client.ask(order)

    return Row(name, clients, measure, server.pid)


def _bare_row(name: str, workers: dict[str, Worker]) -> Row:
    engine, batch, decode = _LOOPS[name]
    bare = workers[engine]

    def measure(seconds: float) -> Sample:
        return bare.ask(LoopOrder(batch=batch, decode=decode, seconds=seconds))

    return Row(name, 0, measure, bare.pid)


def _figures(
    row: Row,
    rounds: Sequence[dict[Row, Stretch]],
    handwritten: Row | None,
    bare: Row,
) -> Figures:
    stretches = [one[row] for one in rounds]
    samples = [stretch.sample for stretch in stretches]
    rates = [stretch.rate for stretch in stretches]
    return Figures(
        name=row.name,
        clients=row.clients,
        images_per_s=median(rates),
        images_per_s_range=(min(rates), max(rates)),
        p50_ms=_quantile(samples, 0.50),
        p99_ms=_quantile(samples, 0.99),
        to_handwritten=_ratio(row, handwritten, rounds),
        to_bare=_ratio(row, bare, rounds),
        peak_rss_mib=max(stretch.peak_mib for stretch in stretches),
        client_cpu_percent=_cpu_percent(samples) if row.clients else None,
        images=sum(sample.images for sample in samples),
        errors=sum(sample.errors for sample in samples),
        first_error=next((one.first_error for one in samples if one.errors), ""),
    )


def _quantile(samples: Sequence[Sample], share: float) -> float | None:
    pooled = [value for sample in samples for value in sample.latencies_ms]
    return float(np.quantile(pooled, share)) if pooled else None


def _ratio(
    row: Row, base: Row | None, rounds: Sequence[dict[Row, Stretch]]
) -> float | None:
    """Compare within each round, so that the machine's drift cancels out."""
    if base is None or not all(one[base].rate for one in rounds):
        return None
    return median(one[row].rate / one[base].rate for one in rounds)


def _cpu_percent(samples: Sequence[Sample]) -> float:
    wall_s = sum(sample.wall_s for sample in samples)
    return 100 * sum(sample.cpu_s for sample in samples) / wall_s
