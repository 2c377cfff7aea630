"""The command line of the benchmark."""

import signal
from pathlib import Path
from typing import Annotated

import typer
from benchmarks.processes import ROOT, MeasuringError, stop
from benchmarks.result import Result
from benchmarks.run import VIT_S_LAYERS, Options, run
from rich.console import Console

_RESULTS = ROOT / "benchmarks" / "results"
_WIDTH_WITHOUT_TERMINAL = 140

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    *,
    quick: Annotated[
        bool, typer.Option("--quick", help="1 round of 0.5 s; kept only with --out.")
    ] = False,
    rounds: Annotated[
        int | None, typer.Option(min=1, help="Of all rows.  [default: 3]")
    ] = None,
    seconds: Annotated[
        float | None, typer.Option(min=0.1, help="Of a row in a round.  [default: 3]")
    ] = None,
    clients: Annotated[str, typer.Option(help="At the same time, in turn.")] = "1,8,32",
    layers: Annotated[int, typer.Option(min=1, help="Of the model.")] = VIT_S_LAYERS,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder of the result.  [default: benchmarks/results]"),
    ] = None,
) -> None:
    """Measure dinoserve over HTTP, beside a hand-written server and the bare engine.

    The exit code is 1 if a request failed or a server did not start.
    """
    options = Options(
        rounds or (1 if quick else 3),
        seconds or (0.5 if quick else 3.0),
        _numbers(clients),
        layers,
    )
    signal.signal(signal.SIGTERM, stop)
    console = _console()
    result = _run(options, console)
    result.show(console)
    if folder := out or (None if quick else _RESULTS):
        page = result.keep(folder)
        console.print(f"kept as {page} and .json", markup=False, soft_wrap=True)
    raise typer.Exit(any(row.errors for row in result.rows))


def _numbers(text: str) -> tuple[int, ...]:
    numbers = text.split(",")
    if not all(number.strip().isdecimal() and int(number) for number in numbers):
        raise typer.BadParameter(
            "numbers from 1, with commas between", param_hint="clients"
        )
    return tuple(map(int, numbers))


def _console() -> Console:
    console = Console()
    return console if console.is_terminal else Console(width=_WIDTH_WITHOUT_TERMINAL)


def _run(options: Options, console: Console) -> Result:
    try:
        return run(options, console)
    except MeasuringError as error:
        console.print(f"nothing was measured: {error}", markup=False, style="red")
        raise typer.Exit(1) from error
