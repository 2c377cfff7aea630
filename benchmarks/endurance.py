"""What `make bench-memory` runs: the server's memory over thousands of images."""

import signal
import tempfile
from contextlib import ExitStack
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated

import typer
from benchmarks.agreement import engine_of
from benchmarks.bench import dinoserve, make_inputs
from benchmarks.machine import Machine, this_commit, this_machine
from benchmarks.memory import family, resident_mib
from benchmarks.processes import ROOT, MeasuringError, Server, Worker, stop, working
from benchmarks.protocol import LoadOrder
from benchmarks.run import VIT_S_LAYERS, model_words
from pydantic import BaseModel
from rich.console import Console

_RESULTS = ROOT / "benchmarks" / "results"
_WAITING = 64
_CLIENTS = 32
_MIB = 2**20


class Mark(BaseModel):
    """Where the server was at one moment.

    Attributes:
        images: answered since it was ready.
        rss_mib: resident memory then.
        above_mib: what of it is neither the interpreter with its libraries nor the
            weights in float32.
        images_per_s: since the mark before; None at the first.
    """

    images: int
    rss_mib: float
    above_mib: float
    images_per_s: float | None


class Endurance(BaseModel):
    """Everything a run found out, and what it takes to repeat it.

    Attributes:
        model: architecture, size and precision.
        command: what to type, from the root of the repository.
        interpreter_mib: resident memory of a Python that imported what the server
            does, and did nothing.
        weights_mib: of the model's file.
        errors: requests without the right answer.
        marks: the table.
    """

    model: str
    machine: Machine
    date: date
    command: str
    commit: str
    interpreter_mib: float
    weights_mib: float
    errors: int
    marks: list[Mark]

    def keep(self, folder: Path) -> Path:
        """Write `memory-<machine>.json` and `.md`; return the latter."""
        folder.mkdir(parents=True, exist_ok=True)
        page = folder / f"memory-{self.machine.slug}.md"
        page.with_suffix(".json").write_text(self.model_dump_json(indent=2) + "\n")
        page.write_text(self.markdown())
        return page

    def markdown(self) -> str:
        """Return the page that is kept and shown."""
        rows = [
            "| images answered | RSS MiB | above the lines below, MiB | images/s |",
            "| ---: | ---: | ---: | ---: |",
            *(
                f"| {mark.images} | {mark.rss_mib:.0f} | {mark.above_mib:.0f} |"
                f" {mark.images_per_s or 0:.1f} |"
                for mark in self.marks
            ),
        ]
        lines = [
            str(self.machine),
            f"{self.date}, commit {self.commit}: `{self.command}`",
            f"interpreter and libraries: {self.interpreter_mib:.0f} MiB",
            f"weights in float32: {self.weights_mib:.0f} MiB",
            f"load: {_CLIENTS} clients, JPEG as it is",
            f"requests without the right answer: {self.errors}",
        ]
        listed = [f"- {line}" for line in lines]
        return "\n".join([f"# Memory: {self.model}", "", *rows, "", *listed, ""])


def main(
    images: Annotated[
        str, typer.Option(help="How many until each line.")
    ] = "1000,5000,10000,20000",
    seconds: Annotated[
        float, typer.Option(min=0.1, help="Between two counts of the images.")
    ] = 5.0,
    layers: Annotated[int, typer.Option(min=1, help="Of the model.")] = VIT_S_LAYERS,
    out: Annotated[Path, typer.Option(help="Folder of the result.")] = _RESULTS,
) -> None:
    """Tell what memory dinoserve holds after so many images over HTTP.

    The exit code is 1 if a request failed or the server did not start.
    """
    signal.signal(signal.SIGTERM, stop)
    marks = [int(number) for number in images.split(",")]
    command = (
        f".venv/bin/python -m benchmarks.endurance --images {images}"
        f" --seconds {seconds:g} --layers {layers}"
    )
    console = Console()
    try:
        result = _run(marks, seconds, layers, command)
    except MeasuringError as error:
        console.print(f"nothing was measured: {error}", markup=False, style="red")
        raise typer.Exit(1) from error
    console.print(result.markdown(), markup=False, highlight=False, soft_wrap=True)
    console.print(f"kept as {result.keep(out)} and .json", soft_wrap=True)
    raise typer.Exit(result.errors > 0)


def _run(marks: list[int], seconds: float, layers: int, command: str) -> Endurance:
    commit = this_commit(ROOT)  # now: a commit while it runs is not what is measured
    with ExitStack() as stack:
        folder = Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="dinoserve-bench-"))
        )
        model, pictures = make_inputs(folder, layers)
        weights_mib = sum(
            file.stat().st_size / _MIB for file in model.glob("*.safetensors")
        )
        idle = stack.enter_context(working("benchmarks.idle", log=folder / "idle.log"))
        interpreter_mib = resident_mib(family(idle.pid))
        server = stack.enter_context(dinoserve(folder / "dinoserve", model, _WAITING))
        client = stack.enter_context(
            working("benchmarks.client", str(pictures), log=folder / "client.log")
        )
        watch = _Watch(server, client, interpreter_mib + weights_mib)
        found = [watch.until(images, seconds) for images in [0, *marks]]
        return Endurance(
            model=f"{model_words(layers)}; {engine_of(server.url)}",
            machine=this_machine(),
            date=datetime.now(UTC).date(),
            command=command,
            commit=commit,
            interpreter_mib=interpreter_mib,
            weights_mib=weights_mib,
            errors=watch.errors,
            marks=found,
        )


class _Watch:
    """Sends pictures until there were enough, and looks at the memory."""

    def __init__(self, server: Server, client: Worker, base_mib: float) -> None:
        self.errors = 0
        self._server = server
        self._client = client
        self._base_mib = base_mib
        self._images = 0

    def until(self, images: int, seconds: float) -> Mark:
        """Send until at least so many were answered since the beginning."""
        before, wall_s = self._images, 0.0
        order = LoadOrder(
            url=self._server.url, shape="raw", clients=_CLIENTS, seconds=seconds
        )
        while self._images < images:
            sample = self._client.ask(order)
            if not sample.done:
                raise MeasuringError(f"no picture was answered: {sample.first_error}")
            self._images += round(sample.done)
            self.errors += sample.errors
            wall_s += sample.wall_s
        rss_mib = resident_mib(family(self._server.pid))
        return Mark(
            images=self._images,
            rss_mib=rss_mib,
            above_mib=rss_mib - self._base_mib,
            images_per_s=(self._images - before) / wall_s if wall_s else None,
        )


if __name__ == "__main__":
    typer.run(main)
