"""The result of a run: as a table on the terminal, and as files that are kept."""

from datetime import date
from pathlib import Path

from benchmarks.aims import Reached
from benchmarks.figures import Figures
from benchmarks.machine import Machine
from benchmarks.rows import CEILING, ENGINE, OVERLOAD
from pydantic import BaseModel
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

_HEADS = (
    "what",
    "clients",
    "per second",
    "of rounds",
    "p50 ms",
    "p99 ms",
    "x hand-written",
    "x LitServe",
    "x bare",
    "RSS MiB",
    "CPU ms",
    "client CPU",
    "errors",
)


class Result(BaseModel):
    """Everything a run found out, and what it takes to repeat it.

    Attributes:
        model: architecture, size and precision.
        machine: what it ran on.
        date: the day it ended.
        command: what to type, from the root of the repository.
        commit: of the repository.
        load: processes that wanted a core before, mean of a minute; figures of a
            busy machine say little.
        rounds: how often each row was measured.
        seconds: how long a row was measured in a round.
        gflop: operations of one forward of one picture, in 1e9, two a multiply-add.
        lowest_cosine: between the servers' vectors of the same picture.
        rows: the table.
        reached: what we aim at.
        notes: of int8, and of what is not there.
        vectors: that each database had when all were read.
    """

    model: str
    machine: Machine
    date: date
    command: str
    commit: str
    load: float
    rounds: int
    seconds: float
    gflop: float
    lowest_cosine: float
    rows: list[Figures]
    vectors: int
    reached: list[Reached]
    notes: list[str]

    def show(self, console: Console) -> None:
        """Print the table and the lines around it."""
        table = Table(title=self.model, box=SIMPLE_HEAD, padding=0)
        table.add_column(_HEADS[0], no_wrap=True)
        for head in _HEADS[1:]:
            table.add_column(head, justify="right")
        for row in self.rows:
            table.add_row(*_cells(row), style="red" if row.errors else None)
        console.print(table)
        for line in self._lines():
            console.print(line, markup=False, highlight=False)

    def keep(self, folder: Path) -> Path:
        """Write `<machine>.json` and `.md`, replacing those of before.

        Returns:
            the `.md` file.
        """
        folder.mkdir(parents=True, exist_ok=True)
        page = folder / f"{self.machine.slug}.md"
        page.with_suffix(".json").write_text(self.model_dump_json(indent=2) + "\n")
        page.write_text(self._markdown())
        return page

    def _markdown(self) -> str:
        rules = ["---" if head == "what" else "---:" for head in _HEADS]
        table = [_HEADS, rules, *(_cells(row) for row in self.rows)]
        rows = [f"| {' | '.join(cells)} |" for cells in table]
        lines = [f"- {line}" for line in self._lines()]
        return "\n".join([f"# {self.model}", "", *rows, "", *lines, ""])

    def _lines(self) -> list[str]:
        failed = [row for row in self.rows if row.errors]
        return [
            str(self.machine),
            f"load when it began: {self.load:.1f} of {self.machine.cores} cores"
            + (", TOO BUSY for figures to mean much" if self._is_busy else ""),
            f"{self.date}, commit {self.commit}: `{self.command}`",
            f"lowest cosine of the servers' vectors: {self.lowest_cosine:.6f}",
            *map(str, self.reached),
            self._ceiling(),
            self._overload(),
            f"vectors that are read: {self.vectors} of 384 float32",
            *self.notes,
            *(f"ERRORS in {row.name}: {row.first_error}" for row in failed),
        ]

    @property
    def _is_busy(self) -> bool:
        return self.load > self.machine.cores / 2

    def _ceiling(self) -> str:
        rows = {row.name: row for row in self.rows}
        engine, ceiling = (rows[name].per_s * self.gflop for name in (ENGINE, CEILING))
        return (
            f"engine: {engine:.0f} GFLOP/s at {self.gflop:.1f} GFLOP a picture; best"
            f" matrix product: {ceiling:.0f} GFLOP/s at {rows[CEILING].note}"
        )

    def _overload(self) -> str:
        [row] = [row for row in self.rows if row.name == OVERLOAD]
        answers = ", ".join(f"{n} x {status}" for status, n in row.answers.items())
        start, peak, end = row.rss_mib
        return (
            f"{row.name}: {answers}; RSS {start:.0f} MiB when the first round began,"
            f" at most {peak:.0f}, {end:.0f} when the last ended"
        )


def _cells(row: Figures) -> list[str]:
    slowest, fastest = row.per_s_range
    return [
        row.name,
        str(row.clients or "-"),
        f"{row.per_s:.1f}",
        f"{slowest:.1f} - {fastest:.1f}",
        _number(row.p50_ms, 1),
        _number(row.p99_ms, 1),
        _number(row.to_handwritten, 2),
        _number(row.to_litserve, 2),
        _number(row.to_bare, 2),
        _number(row.rss_mib[1], 0),
        _number(row.cpu_ms, 2),
        "-" if row.client_cpu_percent is None else f"{row.client_cpu_percent:.0f} %",
        str(row.errors),
    ]


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
