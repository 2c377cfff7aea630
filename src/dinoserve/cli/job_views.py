"""Jobs as the commands show them: tables, lines, and a bar that moves."""

import time
from collections.abc import Mapping, Sequence
from typing import Any, Final, Self, cast

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
)
from rich.table import Table
from rich.text import Text

from dinoserve.cli.client import Json, printable

LIVE: Final = frozenset({"queued", "running"})
"""States of jobs that somebody works on, or will."""

_PLAIN_EVERY_S = 5.0
_SHOWN = 20
_LONG = 300
_ID_WIDTH = 35  # 32 hex digits, a dot and a chunk's number


def job_table(jobs: Sequence[Json]) -> Table:
    """Return one row a job."""
    table = _table("job", "kind", "collection", "state", "done", "failed", "asked for")
    for job in jobs:
        progress = job["progress"]
        table.add_row(
            job["id"],
            Text(printable(job["kind"])),
            Text(printable(job["collection"] or "")),
            job["state"],
            f"{progress['done']}/{_total(progress)}",
            str(progress["failed"]),
            job["created_at"][:19],
        )
    return table


def letter_table(letters: Sequence[Json]) -> Table:
    """Return one row a dead letter."""
    table = _table("dead letter", "kind", "items", "starts", "crashes", "error")
    for letter in letters:
        table.add_row(
            letter["id"],
            Text(printable(letter["kind"])),
            str(letter["items"]),
            str(letter["starts"]),
            str(letter["crashes"]),
            Text(printable(letter["error"] or "")),
        )
    return table


def fact_table(facts: Mapping[str, Any]) -> Table:
    """Return one row a field; what is empty is left out."""
    table = Table(show_header=False)
    for name, value in facts.items():
        if value not in (None, "", [], {}):
            table.add_row(name, Text(printable(_shown(value))))
    return table


def end_lines(job: Json) -> list[str]:
    """Return how a job stands, for people, one line an entry."""
    progress = job["progress"]
    count = f"{progress['done']} of {_total(progress)} done"
    state = f"{job['kind']} job {job['id']} {job['state']}"
    told = [f"{state}: {count}, {progress['failed']} failed"]
    told += [f"  {count} {code}" for code, count in progress["reasons"].items()]
    if job["error"]:
        told.append(f"  {job['error']}")
    if job["result"]:
        told.append(f"  result: {_shown(job['result'])}")
    return [printable(line) for line in told]


def failure_lines(failures: Sequence[Json], *, is_all: bool) -> list[str]:
    """Return one line an item that failed."""
    told = [f"  {one['item']}: {one['code']}: {one['detail']}" for one in failures]
    return [printable(line) for line in told] + ([] if is_all else ["  … and more"])


class JobBar:
    """Shows a job on standard error: a bar in a terminal, else a line now and then.

    Args:
        plain_every_s: seconds between two lines.
    """

    def __init__(self, plain_every_s: float = _PLAIN_EVERY_S) -> None:
        self._console = Console(stderr=True)
        self._every_s = plain_every_s
        self._next_line_s = time.monotonic() + plain_every_s
        self._progress = Progress(
            SpinnerColumn(),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.description}"),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._task = self._progress.add_task("", total=None)

    def show(self, job: Json) -> None:
        """Show how far the job is."""
        progress = job["progress"]
        ended = progress["done"] + progress["failed"]
        self._progress.update(
            self._task,
            completed=ended,
            # Until all are found the bar has no end.
            total=progress["items"] if progress["is_planned"] else None,
            description=_pace(job),
        )
        if not self._console.is_terminal and time.monotonic() >= self._next_line_s:
            self._next_line_s = time.monotonic() + self._every_s
            line = f"{ended}/{_total(progress)} items, {_pace(job)}"
            self._console.print(line, soft_wrap=True, highlight=False)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()


def _table(of: str, *columns: str) -> Table:
    """Return a table whose first column is whole in the narrowest terminal."""
    table = Table(box=None, pad_edge=False)
    table.add_column(of, min_width=_ID_WIDTH, no_wrap=True)
    for name in columns:
        table.add_column(name)
    return table


def _pace(job: Json) -> str:
    progress = job["progress"]
    told = [job["state"]]
    if progress["rate_per_s"] is not None:
        told.append(f"{progress['rate_per_s']:.1f}/s")
    if progress["eta_s"] is not None:
        told.append(f"{progress['eta_s']:.0f} s left")
    told.append(f"{progress['failed']} failed")
    if progress["buried"]:
        told.append(f"{progress['buried']} chunks in the dead letters")
    return ", ".join(told)


def _total(progress: Json) -> str:
    return f"{progress['items']}{'' if progress['is_planned'] else '+'}"


def _shown(value: object) -> str:
    match value:
        case dict():
            pairs = cast("Json", value).items()
            return ", ".join(f"{name} {_shown(one)}" for name, one in pairs)
        case list():
            some = cast("list[object]", value)
            text = ", ".join(_shown(one) for one in some[:_SHOWN])
            return text + (", …" if len(some) > _SHOWN else "")
        case _:
            text = str(value)
            return text if len(text) <= _LONG else f"{text[:_LONG]}…"
