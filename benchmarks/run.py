"""One run: make the model, start the processes, measure in rounds."""

import subprocess
import sys
import tempfile
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import psutil
from benchmarks.agreement import engine_of, lowest_cosine
from benchmarks.machine import this_commit, this_machine
from benchmarks.pictures import read_pictures, write_pictures
from benchmarks.processes import ROOT, MeasuringError, Server, serving, working
from benchmarks.result import Result
from benchmarks.rows import (
    ASSETS,
    EMBEDDINGS,
    ENGINES,
    HANDWRITTEN,
    RAW,
    Row,
    Stretch,
    figures,
    measure_row,
    plan,
)
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TimeElapsedColumn

VIT_S_LAYERS = 12
_COMPARED = 8
_SAME_COSINE = 0.999  # the parity that dinoserve asks of its own engines


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
        cut = "" if self.layers == VIT_S_LAYERS else f" cut to {self.layers} layers"
        return f"DINOv3 ViT-S/16{cut}, random weights, 224 px"


class _Bench(NamedTuple):
    """Everything that runs, ready to be measured."""

    rows: list[Row]
    lowest_cosine: float
    engine: str


def run(options: Options, console: Console) -> Result:
    """Measure, and show how far it is; every process is ended whatever happens.

    Raises:
        MeasuringError: a process did not start or ended too early, or the servers do
            not compute the same thing.
    """
    load, _, _ = psutil.getloadavg()
    with (
        tempfile.TemporaryDirectory(prefix="dinoserve-bench-") as folder,
        _bench(Path(folder), options, console) as bench,
    ):
        rounds = _measure(bench.rows, options, console)
    return Result(
        model=f"{options.model}; dinoserve and bare: {bench.engine}",
        machine=this_machine(),
        date=datetime.now(UTC).date(),
        command=options.command,
        commit=this_commit(ROOT),
        load=load,
        rounds=options.rounds,
        seconds=options.seconds,
        lowest_cosine=bench.lowest_cosine,
        rows=figures(bench.rows, rounds),
    )


@contextmanager
def _bench(folder: Path, options: Options, console: Console) -> Generator[_Bench]:
    model, pictures = folder / "vit-s-16", folder / "pictures"
    with ExitStack() as stack:
        with console.status("making the model, starting the servers …"):
            _make_model(model, options.layers)
            write_pictures(pictures)
            servers = _start_servers(stack, folder, model)
            client = stack.enter_context(
                working("benchmarks.client", str(pictures), log=folder / "client.log")
            )
            bare = {
                engine: stack.enter_context(
                    working(
                        "benchmarks.bare",
                        *(str(model), str(pictures), engine),
                        log=folder / f"bare-{engine}.log",
                    )
                )
                for engine in ENGINES
            }
            cosine = _agreed(servers, pictures)
            engine = engine_of(servers[EMBEDDINGS].url)
        yield _Bench(plan(servers, client, bare, options.clients), cosine, engine)


def _agreed(servers: dict[str, Server], pictures: Path) -> float:
    cosine = lowest_cosine(
        servers[EMBEDDINGS].url,
        servers[HANDWRITTEN].url,
        read_pictures(pictures)[:_COMPARED],
    )
    if cosine < _SAME_COSINE:
        raise MeasuringError(
            f"the servers' vectors of a picture differ (cosine {cosine:.4f}), so their"
            " speeds cannot be compared"
        )
    return cosine


def _make_model(folder: Path, layers: int) -> None:
    # A process of its own: this one must not hold torch while others are measured.
    command = [sys.executable, "-m", "benchmarks.model", str(folder), str(layers)]
    subprocess.run(command, cwd=ROOT, check=True)


def _start_servers(stack: ExitStack, folder: Path, model: Path) -> dict[str, Server]:
    settings = {
        "DINOSERVE_DATA": "var",
        "DINOSERVE_MODEL": str(model),
        "DINOSERVE_DEVICE": "cpu",
        "DINOSERVE_LOG_LEVEL": "warning",
    }
    ours = stack.enter_context(
        serving(
            ["-m", "dinoserve", "serve", "--port", "0"], folder / "dinoserve", settings
        )
    )
    script = str(ROOT / "benchmarks" / "peers" / "handwritten.py")
    handwritten = stack.enter_context(
        serving([script, str(model)], folder / "handwritten")
    )
    return {EMBEDDINGS: ours, RAW: ours, ASSETS: ours, HANDWRITTEN: handwritten}


def _measure(
    rows: Sequence[Row], options: Options, console: Console
) -> list[dict[Row, Stretch]]:
    warm_up = [row for row in rows if row.clients in {0, max(options.clients)}]
    columns = (
        *Progress.get_default_columns(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    console.print(f"measuring {len(rows)} rows in {options.rounds} rounds")
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=len(warm_up) + options.rounds * len(rows))

        def measured(row: Row, stage: str) -> Stretch:
            at = f" with {row.clients} clients" if row.clients else ""
            progress.update(task, description=f"{stage}: {row.name}{at}")
            stretch = measure_row(row, options.seconds)
            progress.advance(task)
            return stretch

        for row in warm_up:
            measured(row, "warm-up")
        return [
            {row: measured(row, f"round {number}") for row in _order(rows, number)}
            for number in range(1, options.rounds + 1)
        ]


def _order(rows: Sequence[Row], number: int) -> Sequence[Row]:
    """Turn every second round around: whoever comes first gains nothing by it."""
    return rows if number % 2 else rows[::-1]
