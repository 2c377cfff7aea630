"""Jobs: what a worker loses against the bare engine, and what a job costs.

`python -m benchmarks.jobs` measures 5 000 pictures; `make bench` fewer.
"""

import signal
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from benchmarks.aims import Reached
from benchmarks.bench import make_inputs
from benchmarks.memory import WatchedMemory
from benchmarks.processes import Worker, stop, working
from benchmarks.protocol import LoopOrder, Sample
from benchmarks.worked import LEASE_S, WorkOrder

_MANY_SLOTS = 16
_CANCELS = 20
_DEATHS = 5
_PACED = 50
_ROUNDS = 3
_VIT_S_LAYERS = 12


class JobFigures(NamedTuple):
    """What was measured: beside what we aim at, and the rest in words."""

    reached: list[Reached]
    notes: list[str]


class _Sizes(NamedTuple):
    """How many pictures, jobs, chunks and rounds."""

    pictures: int
    jobs: int
    rounds: int


def measure_jobs(layers: int, pictures: int, rounds: int) -> JobFigures:
    """Return the figures of jobs; every process is ended whatever happens.

    Args:
        layers: transformer blocks of the model.
        pictures: that a job embeds, in each round.
        rounds: of each figure; the median counts.

    Raises:
        MeasuringError: a process did not start or ended too early.
    """
    sizes = _Sizes(pictures, min(1000, 4 * pictures), rounds)
    with (
        tempfile.TemporaryDirectory(prefix="dinoserve-jobs-") as folder,
        ExitStack() as s,
    ):
        place = Path(folder)
        model, files = make_inputs(place, layers)
        cache = place / "var" / "cache" / "openvino"
        worked = _worked(s, place, model, files, "server")
        bare = s.enter_context(
            working(
                "benchmarks.bare",
                *(str(model), str(files), "auto", str(cache)),
                log=place / "bare.log",
            )
        )
        embedding = _embedding(worked, bare, sizes)
        costs = _costs(worked, sizes)
        deaths = min(_DEATHS, 2 * rounds)
        late = [_redelivery_s(worked, place, files) for _ in range(deaths)]
    return JobFigures(
        [*embedding.reached, *costs.reached, _late(late)],
        [*embedding.notes, *costs.notes],
    )


def _worked(
    stack: ExitStack, place: Path, model: Path | str, files: Path, claim: str
) -> Worker:
    arguments = (str(place / "var"), str(model), str(files), claim)
    log = place / f"{claim}.log"
    return stack.enter_context(working("benchmarks.worked", *arguments, log=log))


def _embedding(worked: Worker, bare: Worker, sizes: _Sizes) -> JobFigures:
    """Measure pictures a second, in turn with the bare engine for about as long."""
    worked.ask(WorkOrder(what="store", many=32))
    worked.ask(WorkOrder(what="embed", many=32))  # the first forwards are slower
    ratios, rates = list[float](), list[float]()
    memory = list[WatchedMemory]()
    for _ in range(sizes.rounds):
        worked.ask(WorkOrder(what="store", many=sizes.pictures))
        with WatchedMemory(worked.pid) as seen:
            sample = worked.ask(WorkOrder(what="embed", many=sizes.pictures))
        memory.append(seen)
        loop = bare.ask(LoopOrder(batch=16, decode=True, seconds=sample.wall_s))
        rates.append(_rate(sample))
        ratios.append(_rate(sample) / _rate(loop))
    what = f"{sizes.pictures} stored pictures by a job / bare decode + forward"
    peak = max(seen.peak_mib for seen in memory)
    return JobFigures(
        [_at_least(what, statistics.median(ratios), 0.85)],
        [
            (
                f"embedding by a job: {statistics.median(rates):.1f} pictures/s; RSS"
                f" {memory[0].start_mib:.0f} MiB when the first job began, at most"
                f" {peak:.0f}, {memory[-1].end_mib:.0f} when the last ended"
            )
        ],
    )


def _costs(worked: Worker, sizes: _Sizes) -> JobFigures:
    """Measure jobs and chunks that do nothing."""
    jobs = WorkOrder(what="jobs", many=sizes.jobs, slots=_MANY_SLOTS)
    chunks = WorkOrder(what="chunks", many=sizes.jobs, slots=1)
    paced = WorkOrder(what="paced", many=_PACED)
    with WatchedMemory(worked.pid) as seen:
        rate = statistics.median(_rate(worked.ask(jobs)) for _ in range(sizes.rounds))
    each = statistics.median(_rate(worked.ask(chunks)) for _ in range(sizes.rounds))
    begun_ms = [
        ms for _ in range(sizes.rounds) for ms in worked.ask(paced).latencies_ms
    ]
    begun = statistics.median(begun_ms)
    return JobFigures(
        [
            _at_least(f"no-op jobs a second, {_MANY_SLOTS} slots", rate, 500),
            _at_most("accepted to begun, ms, p50", begun, 50),
            _cancels(worked),
        ],
        [
            (
                f"overhead of a chunk, one slot: {1000 / each:.2f} ms; RSS over"
                f" {sizes.jobs * sizes.rounds} no-op jobs {seen.start_mib:.0f} to"
                f" {seen.end_mib:.0f} MiB"
            )
        ],
    )


def _cancels(worked: Worker) -> Reached:
    """Return how late a worker stops that does a job which was cancelled."""
    sample = worked.ask(WorkOrder(what="cancel", many=_CANCELS, slots=1))
    what = f"cancelled to stopped, running and waiting, ms, worst of {_CANCELS}"
    return _at_most(what, max(sample.latencies_ms), 1000)


def _redelivery_s(worked: Worker, place: Path, files: Path) -> float:
    """Return seconds from a worker's death until another begins its chunk."""
    with ExitStack() as stack:
        doomed = _worked(stack, place, "stub", files, "worker")
        doomed.ask(WorkOrder(what="hold"))
        doomed.kill()
        died = time.time()
        taken = worked.ask(WorkOrder(what="take"))
    return taken.latencies_ms[0] / 1000 - died


def _rate(sample: Sample) -> float:
    return sample.done / sample.wall_s


def _late(seconds: list[float]) -> Reached:
    what = f"redelivery after kill -9, s, worst of {len(seconds)}, lease {LEASE_S:g} s"
    return _at_most(what, max(seconds), LEASE_S + 1)


def _at_least(what: str, value: float, aim: float) -> Reached:
    return Reached(what=what, value=value, sign=">=", aim=aim)


def _at_most(what: str, value: float, aim: float) -> Reached:
    return Reached(what=what, value=value, sign="<=", aim=aim)


def _main(layers: int, pictures: int, rounds: int) -> None:
    signal.signal(signal.SIGTERM, stop)
    figures = measure_jobs(layers, pictures, rounds)
    for line in [*figures.reached, *figures.notes]:
        print(line)


if __name__ == "__main__":
    _main(
        *map(int, [*sys.argv[1:], *(_VIT_S_LAYERS, 5000, _ROUNDS)[len(sys.argv) - 1 :]])
    )
