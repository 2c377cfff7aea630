"""What `dinoserve eval` found: on the terminal, and as files that are kept."""

import json
import os
import platform
import re
from collections.abc import Iterator, Sequence
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from dinoserve import __version__
from dinoserve.cli.client import printable
from dinoserve.cli.progress import Failure
from dinoserve.domain.evaluation import Row
from dinoserve.domain.labelled_sets import Amounts
from dinoserve.domain.verification import Estimate
from dinoserve.ports import ModelCard

_CPUINFO = Path("/proc/cpuinfo")
_SHOWN = 20


class Measured(NamedTuple):
    """One labelled set.

    Attributes:
        given: pictures in the folder, by part.
        rows: every measure.
    """

    name: str
    given: dict[str, int]
    rows: Sequence[Row]


class Report(NamedTuple):
    """Everything that was measured, and of what.

    Attributes:
        methods: in the order of the columns.
        amounts: how many pictures of each set were taken at most.
        failures: pictures that could not be read; nothing is measured of them.
        skipped: files that are no pictures or have no label.
    """

    card: ModelCard
    methods: Sequence[str]
    amounts: Amounts
    sets: Sequence[Measured]
    failures: Sequence[Failure]
    skipped: int

    def show(self, console: Console) -> None:
        """Print a table for each set, and what they were measured of."""
        for one in self.sets:
            title = Text(printable(one.name))
            table = Table(title=title, box=SIMPLE_HEAD, title_justify="left")
            for head in ("measure", "of", *self.methods):
                table.add_column(Text(printable(head)))
            for row in one.rows:
                table.add_row(*_cells(row, self.methods))
            console.print(table)
        for line in self._lines():
            console.print(line, markup=False, highlight=False, soft_wrap=True)

    def as_json(self) -> dict[str, Any]:
        """Return everything as a JSON object."""
        card = self.card
        return {
            "model": card.recipe.model,
            "revision": card.recipe.revision,
            "recipe": card.recipe.id,
            "preprocessing": card.recipe.preprocessing,
            "engine": f"{card.engine} on {card.device}, {card.precision}",
            "note": card.note,
            "dinoserve": __version__,
            "machine": _machine(),
            "date": _today(),
            "amounts": self.amounts._asdict(),
            "sets": [
                {"name": one.name, "given": one.given,
                 "rows": [_row(row) for row in one.rows]}
                for one in self.sets
            ],
            "skipped": self.skipped,
            "failures": [failure._asdict() for failure in self.failures],
        }  # fmt: skip

    def keep(self, folder: Path) -> Path:
        """Write `eval-<model>-<recipe>.json` and `.md`, replacing those of before.

        Returns:
            the `.md` file.
        """
        folder.mkdir(parents=True, exist_ok=True)
        recipe = self.card.recipe
        words = re.sub(r"[^A-Za-z0-9.]+", "-", Path(recipe.model).name or "model")
        page = folder / f"eval-{words.strip('-.')}-{recipe.id}.md"
        text = json.dumps(self.as_json(), indent=2, ensure_ascii=False)
        page.with_suffix(".json").write_text(text + "\n", "utf-8")
        page.write_text("\n".join(self._markdown()), "utf-8")
        return page

    def _markdown(self) -> Iterator[str]:
        yield f"# {_escaped(self.card.recipe.model)}"
        heads = ["measure", "of", *self.methods]
        rules = ["---", "---", *("---:" for _ in self.methods)]
        for one in self.sets:
            yield from ("", f"## {_escaped(one.name)}", "")
            for cells in (
                heads,
                rules,
                *(_cells(row, self.methods) for row in one.rows),
            ):
                yield f"| {' | '.join(map(_escaped, cells))} |"
        yield ""
        yield from (f"- {_escaped(line)}" for line in self._lines())
        yield ""

    def _lines(self) -> list[str]:
        lines = [
            _model(self.card),
            self.card.note,
            f"{_machine()}; dinoserve {__version__}, {_today()}",
            "Higher is better, except for EER.",
            "In brackets: 95 % interval, by drawing identities.",
            _taken(self.amounts),
            f"Not read: {len(self.failures)} pictures; skipped: {self.skipped} files.",
            *(f"{one.item}: {one.detail}" for one in self.failures[:_SHOWN]),
        ]
        return [printable(line) for line in lines if line]


def _model(card: ModelCard) -> str:
    recipe = card.recipe
    model = f"{recipe.model}@{recipe.revision}, recipe {recipe.id}"
    runs = f"{card.engine} on {card.device}, {card.precision}"
    return f"{model}, {recipe.preprocessing}; {runs}"


def _taken(amounts: Amounts) -> str:
    taken = f"{amounts.gallery} to look among, {amounts.queries} to look up"
    distorted = f"{amounts.edited} to distort among {amounts.among}"
    return f"Taken of each set at most: {taken}, {distorted}; the same ones each time."


def _today() -> str:
    return date.today().isoformat()  # noqa: DTZ011 - the day where it ran


def _cells(row: Row, methods: Sequence[str]) -> list[str]:
    return [row.measure, row.asked, *(_figure(row.values[name]) for name in methods)]


def _figure(one: Estimate) -> str:
    if one.low is None or one.high is None:
        return f"{one.value:.3f}"
    return f"{one.value:.3f} [{one.low:.3f}, {one.high:.3f}]"


def _row(row: Row) -> dict[str, Any]:
    values = {method: one._asdict() for method, one in row.values.items()}
    return {"measure": row.measure, "of": row.asked, "values": values}


def _escaped(text: str) -> str:
    """Return the text so that Markdown shows it as it is."""
    return re.sub(r"([\\|<>`*_\[\]])", r"\\\1", printable(text))


def _machine() -> str:
    """Return what decides how it computes, without the machine's name."""
    cpu = platform.processor() or platform.machine()
    if _CPUINFO.exists():
        found = re.search(
            r"^model name\s*:\s*(.+)$", _CPUINFO.read_text(), re.MULTILINE
        )
        cpu = found[1] if found else cpu
    return (
        f"{cpu}, {os.cpu_count()} cores, {platform.system()} {platform.machine()},"
        f" Python {platform.python_version()}, torch {version('torch')}"
    )
