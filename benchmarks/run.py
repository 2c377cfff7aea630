"""One run: start everything, measure in rounds."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import psutil
from benchmarks.aims import reached
from benchmarks.bench import opened
from benchmarks.figures import Round, figures
from benchmarks.graph import measure_graph
from benchmarks.jobs import measure_jobs
from benchmarks.machine import this_commit, this_machine
from benchmarks.model import flop
from benchmarks.processes import ROOT
from benchmarks.result import Result
from benchmarks.rows import Row, Stretch, measure_row, plan
from benchmarks.searches import SEARCHES, measure_searches
from benchmarks.stores import opened_stores, store_rows
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TimeElapsedColumn

VIT_S_LAYERS = 12
_FEWEST_WAITING = 64
# The rows of stores are many, and answer hundreds of times as often.
_STORE_SHARE = 1 / 3
_LEAST_S = 0.2
_MOST_VECTORS = 30_000
_JOB_PICTURES_PER_S = 200
# In three seconds a row, which `make bench` takes: as many as issue 6 asks for.
_MOST_SEARCHED = 200_000
_SEARCHED_PER_S = 70_000
# In three seconds a row as many as issue 7 asks for.
_MOST_RELATIONS = 1_000_000
_RELATIONS_PER_S = 350_000


@dataclass(frozen=True, slots=True)
class Options:
    """How much is measured.

    Attributes:
        rounds: how often each row is measured.
        seconds: how long, each time.
        clients: how many at the same time, in turn.
        layers: transformer blocks of the model.
    """

    rounds: int
    seconds: float
    clients: tuple[int, ...]
    layers: int

    @property
    def limit(self) -> int:
        """How many pictures dinoserve lets wait: a few batches, every client's."""
        return max(_FEWEST_WAITING, *self.clients)

    @property
    def vectors(self) -> int:
        """How many are read from each database: all in a second, more or less."""
        return min(_MOST_VECTORS, max(1000, round(10_000 * self.seconds)))

    @property
    def job_pictures(self) -> int:
        """How many a job embeds: several times what a row does in its seconds."""
        return max(_FEWEST_WAITING, round(_JOB_PICTURES_PER_S * self.seconds))

    @property
    def searched(self) -> int:
        """How many vectors are searched over HTTP; more than there are searches."""
        least = 2 * SEARCHES * self.rounds
        return max(least, min(_MOST_SEARCHED, round(_SEARCHED_PER_S * self.seconds)))

    @property
    def relations(self) -> int:
        """How many relations the graph has."""
        return min(_MOST_RELATIONS, round(_RELATIONS_PER_S * self.seconds))

    @property
    def command(self) -> str:
        """What to type to run the same again."""
        clients = ",".join(map(str, self.clients))
        return (
            f".venv/bin/python benchmarks/http.py --rounds {self.rounds}"
            f" --seconds {self.seconds:g} --clients {clients} --layers {self.layers}"
        )

    @property
    def model(self) -> str:
        """What is measured, in words."""
        return model_words(self.layers)


def model_words(layers: int) -> str:
    """Say which model has so many transformer blocks."""
    cut = "" if layers == VIT_S_LAYERS else f" cut to {layers} layers"
    return f"DINOv3 ViT-S/16{cut}, random weights, 224 px"


def run(options: Options, console: Console) -> Result:
    """Measure, and show how far it is; every process is ended whatever happens.

    Raises:
        MeasuringError: a process did not start or ended too early, or the servers do
            not compute the same thing.
    """
    load, _, _ = psutil.getloadavg()
    commit = this_commit(ROOT)  # now: a commit while it runs is not what is measured
    status = console.status("making the model, starting the servers …")
    with (
        tempfile.TemporaryDirectory(prefix="dinoserve-bench-") as folder,
        status,
        opened(Path(folder), options.layers, options.limit) as bench,
    ):
        status.stop()
        rows = plan(bench.cast, options.clients, options.limit)
        warm_up = [row for row in rows if row.clients in {0, max(options.clients)}]
        work = _Work(rows, warm_up, options.seconds)
        rounds = _measure(work, options.rounds, console)
    stores = _measure_stores(options, console)
    with console.status("measuring jobs …"):
        jobs = measure_jobs(options.layers, options.job_pictures, options.rounds)
    with console.status("measuring searches …"):
        searches = measure_searches(options.searched, options.rounds)
    with console.status("measuring the graph …"):
        graph = measure_graph(options.relations)
    both = zip(rounds, stores.rounds, strict=True)
    rows, rounds = [*rows, *stores.rows], [{**one, **other} for one, other in both]
    return Result(
        model=f"{options.model}; dinoserve and bare: {bench.engine}",
        machine=this_machine(),
        date=datetime.now(UTC).date(),
        command=options.command,
        commit=commit,
        load=load,
        rounds=options.rounds,
        seconds=options.seconds,
        gflop=flop(options.layers) / 1e9,
        lowest_cosine=bench.lowest_cosine,
        rows=figures(rows, rounds),
        reached=[
            *reached(rounds, max(options.clients), options.limit),
            *jobs.reached,
            *searches.reached,
            *graph.reached,
        ],
        vectors=options.vectors,
        notes=[*bench.notes, *stores.notes, *jobs.notes, *searches.notes, *graph.notes],
    )


class _Work(NamedTuple):
    """Rows, those of them that are run once before, and for how long each."""

    rows: list[Row]
    warm_up: list[Row]
    seconds: float


class _Measured(NamedTuple):
    rows: list[Row]
    rounds: list[Round]
    notes: list[str]


def _measure_stores(options: Options, console: Console) -> _Measured:
    """Measure the rows of the stores, when no other process runs any more."""
    status = console.status("filling the stores …")
    seconds = max(_STORE_SHARE * options.seconds, _LEAST_S)
    with (
        tempfile.TemporaryDirectory(prefix="dinoserve-bench-") as folder,
        status,
        opened_stores(Path(folder), options.vectors) as cast,
    ):
        status.stop()
        rows = store_rows(cast)
        rounds = _measure(_Work(rows, rows, seconds), options.rounds, console)
    return _Measured(rows, rounds, cast.notes)


def _measure(work: _Work, rounds: int, console: Console) -> list[Round]:
    rows, warm_up, seconds = work
    columns = (
        *Progress.get_default_columns(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    console.print(f"measuring {len(rows)} rows in {rounds} rounds")
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=len(warm_up) + rounds * len(rows))

        def measured(row: Row, stage: str) -> Stretch:
            at = f" with {row.clients} clients" if row.clients else ""
            progress.update(task, description=f"{stage}: {row.name}{at}")
            stretch = measure_row(row, seconds)
            progress.advance(task)
            return stretch

        for row in warm_up:
            measured(row, "warm-up")
        return [
            {
                (row.name, row.clients): measured(row, f"round {number}")
                for row in _order(rows, number)
            }
            for number in range(1, rounds + 1)
        ]


def _order(rows: Sequence[Row], number: int) -> Sequence[Row]:
    """Turn every second round around: whoever comes first gains nothing by it."""
    return rows if number % 2 else rows[::-1]
