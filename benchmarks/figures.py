"""What comes of the rounds: the figures of each row."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import TypeAlias

import numpy as np
from benchmarks.protocol import Sample
from benchmarks.rows import BARE_16, HANDWRITTEN, LITSERVE, Row, Stretch
from pydantic import BaseModel

Key: TypeAlias = tuple[str, int]
"""Name and clients of a row."""
Round: TypeAlias = Mapping[Key, Stretch]
"""Every row, measured once."""


class Figures(BaseModel):
    """What the table says of a row; None where there is nothing to say.

    Attributes:
        per_s: pictures, or what else the row counts; median over the rounds.
        per_s_range: of the slowest and of the fastest round.
        p50_ms: over the requests (in bare rows, batches) of all rounds.
        p99_ms: the same.
        to_handwritten: images/s by those of the hand-written server with as many
            clients in the same round; median over the rounds.
        to_litserve: images/s by those of the LitServe server; likewise.
        to_bare: images/s by those of `BARE_16` in the same round; likewise.
        rss_mib: resident memory of the measured process and its children, when the
            first round began, at most, and when the last ended.
        client_cpu_percent: of one core, spent by the client that sends the load.
        cpu_ms: processor time of the measured process and its children for each.
        done: answered well, in all rounds.
        errors: requests that were not.
        first_error: what the first of them got.
        answers: of requests, how many came with each status.
        note: what the fastest round's figure is of, where the name does not tell.
    """

    name: str
    clients: int
    per_s: float
    per_s_range: tuple[float, float]
    p50_ms: float | None
    p99_ms: float | None
    to_handwritten: float | None
    to_litserve: float | None
    to_bare: float | None
    rss_mib: tuple[float, float, float]
    client_cpu_percent: float | None
    cpu_ms: float
    done: float
    errors: int
    first_error: str
    answers: dict[str, int]
    note: str


def figures(rows: Sequence[Row], rounds: Sequence[Round]) -> list[Figures]:
    """Return the figures of every row, in order; each round measured all rows."""
    return [_figures((row.name, row.clients), rounds) for row in rows]


def rate_ratio(row: Key, base: Key, rounds: Sequence[Round]) -> float | None:
    """Return the rate of a row by that of another; None if one was not measured.

    Compared within each round, so that the machine's drift cancels out; the median
    over the rounds.
    """
    if not all(row in one and base in one and one[base].rate for one in rounds):
        return None
    return median(one[row].rate / one[base].rate for one in rounds)


def rate(row: Key, _base: Key, rounds: Sequence[Round]) -> float | None:
    """Return the rate of a row, median over the rounds; None if not measured."""
    return median(one[row].rate for one in rounds) if row in rounds[0] else None


def p50_ratio(row: Key, base: Key, rounds: Sequence[Round]) -> float | None:
    """Return the median latency of a row by that of another; as `rate_ratio`."""
    if not all(row in one and base in one for one in rounds):
        return None
    pairs = [
        (_quantile([one[key].sample], 0.5) for key in (row, base)) for one in rounds
    ]
    ratios = [above / below for above, below in pairs if above and below]
    return median(ratios) if ratios else None


def _figures(key: Key, rounds: Sequence[Round]) -> Figures:
    name, clients = key
    stretches = [one[key] for one in rounds]
    samples = [stretch.sample for stretch in stretches]
    rates = [stretch.rate for stretch in stretches]
    done = sum(sample.done for sample in samples)
    return Figures(
        name=name,
        clients=clients,
        per_s=median(rates),
        per_s_range=(min(rates), max(rates)),
        p50_ms=_quantile(samples, 0.50),
        p99_ms=_quantile(samples, 0.99),
        to_handwritten=rate_ratio(key, (HANDWRITTEN, clients), rounds),
        to_litserve=rate_ratio(key, (LITSERVE, clients), rounds),
        to_bare=rate_ratio(key, (BARE_16, 0), rounds),
        rss_mib=(
            stretches[0].start_mib,
            max(stretch.peak_mib for stretch in stretches),
            stretches[-1].end_mib,
        ),
        client_cpu_percent=_cpu_percent(samples) if clients else None,
        cpu_ms=1000 * sum(one.busy_s for one in stretches) / max(done, 1),
        done=done,
        errors=sum(sample.errors for sample in samples),
        first_error=next((one.first_error for one in samples if one.errors), ""),
        answers=_added(sample.answers for sample in samples),
        note=max(stretches, key=lambda stretch: stretch.rate).sample.note,
    )


def _added(answers: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total = Counter[str]()
    for one in answers:
        total.update(one)
    return dict(total)


def _quantile(samples: Sequence[Sample], share: float) -> float | None:
    pooled = [value for sample in samples for value in sample.latencies_ms]
    return float(np.quantile(pooled, share)) if pooled else None


def _cpu_percent(samples: Sequence[Sample]) -> float:
    wall_s = sum(sample.wall_s for sample in samples)
    return 100 * sum(sample.cpu_s for sample in samples) / wall_s
