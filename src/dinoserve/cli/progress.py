"""Long work over many items: several at once, counted, shown, stoppable."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple, Self, TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from dinoserve.cli.client import ApiError, Json, NoServerError, printable

_Item = TypeVar("_Item")
_PLAIN_EVERY_S = 5.0
_SHOWN = 20


class Failure(NamedTuple):
    """What failed, and the code and reason that the server or the disk gave."""

    item: str
    code: str
    detail: str


class Tally:
    """What became of the items so far.

    Args:
        total: items there are.
        unit: what an item is, in the plural.
        outcomes: the ways in which an item can end well.

    Attributes:
        outcomes: how many items ended well, by how.
        skipped: things that are no items, so that nothing was tried.
        failures: one per item that failed.
        stopped: why not all items were tried; empty if they were.
        interrupted: True if Ctrl-C was the reason.
    """

    def __init__(self, total: int, unit: str, outcomes: Sequence[str]) -> None:
        self.total = total
        self.unit = unit
        self.outcomes = Counter(dict.fromkeys(outcomes, 0))
        self.skipped = 0
        self.failures: list[Failure] = []
        self.stopped = ""
        self.interrupted = False
        self._start = time.perf_counter()
        self._end: float | None = None

    def fail(self, item: str, code: str, detail: str) -> None:
        """Count an item that failed."""
        self.failures.append(Failure(item, code, detail))

    @property
    def done(self) -> int:
        """Return how many items were dealt with, well or badly."""
        return self.outcomes.total() + len(self.failures)

    @property
    def seconds(self) -> float:
        """Return the seconds from the start to `close`, or to now."""
        return (self._end or time.perf_counter()) - self._start

    @property
    def rate(self) -> float:
        """Return items a second."""
        return self.done / self.seconds if self.seconds else 0.0

    @property
    def exit_code(self) -> int:
        """Return 0 if all went well, 130 after Ctrl-C, else 1."""
        if self.interrupted:
            return 130
        return 1 if self.failures or self.done < self.total else 0

    def close(self) -> None:
        """Stop the clock, and put the failures in the order of their names."""
        self._end = time.perf_counter()
        self.failures.sort()

    def as_json(self) -> Json:
        """Return everything as a JSON object."""
        return {
            "total": self.total,
            **{how.replace(" ", "_"): n for how, n in self.outcomes.items()},
            "failed": len(self.failures),
            "skipped": self.skipped,
            "left": self.total - self.done,
            "seconds": round(self.seconds, 3),
            f"{self.unit}_per_second": round(self.rate, 3),
            "stopped": self.stopped or None,
            "failures": [failure._asdict() for failure in self.failures],
        }

    def print(self, *, as_json: bool) -> None:
        """Print the summary on standard output."""
        if as_json:
            print(json.dumps(self.as_json()))
        else:
            print("\n".join(self.lines()))

    def lines(self) -> list[str]:
        """Return the summary for people, one line an entry."""
        counts = [f"{number} {how}" for how, number in self.outcomes.items()]
        counts += [f"{len(self.failures)} failed", f"{self.skipped} skipped"]
        speed = f"{self.seconds:.1f} s, {self.rate:.1f} {self.unit}/s"
        told = [f"{self.total} {self.unit}: {', '.join(counts)} ({speed})"]
        if self.stopped:
            told.append(f"stopped: {self.stopped}")
            told.append(f"{self.total - self.done} {self.unit} are left; run it again")
        by_code = Counter(failure.code for failure in self.failures)
        told += [f"  {number} {code}" for code, number in by_code.most_common()]
        told += [": ".join(("  " + f.item, *f[1:])) for f in self.failures[:_SHOWN]]
        if len(self.failures) > _SHOWN:
            told.append(f"  … and {len(self.failures) - _SHOWN} more")
        return [printable(line) for line in told]


async def work_off(
    items: Sequence[_Item],
    work: Callable[[_Item], Awaitable[None]],
    tally: Tally,
    *,
    workers: int,
) -> None:
    """Do the work for every item, some at once, in their order.

    It ends early, with the reason in the tally, when the work raises ApiError or
    NoServerError, or on Ctrl-C; work under way is cancelled then.

    Args:
        items: what to work on.
        work: deals with one item and counts it in the tally.
        tally: counts, and is shown on standard error.
        workers: items under way at most, at least 1.
    """
    waiting = iter(items)
    with Bar(tally) as bar:

        async def worker() -> None:
            for item in waiting:
                await work(item)
                bar.show()

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(workers):
                    group.create_task(worker())
        except* (ApiError, NoServerError) as errors:
            tally.stopped = str(errors.exceptions[0])
        except* asyncio.CancelledError:
            tally.stopped, tally.interrupted = "interrupted", True
        finally:
            tally.close()


class Bar:
    """Shows a tally on standard error: a bar in a terminal, else lines.

    Args:
        tally: what is shown.
        plain_every_s: seconds between two lines.
    """

    def __init__(self, tally: Tally, plain_every_s: float = _PLAIN_EVERY_S) -> None:
        self._tally = tally
        self._console = Console(stderr=True)
        self._every_s = plain_every_s
        self._next_line_s = plain_every_s
        self._progress = Progress(
            BarColumn(),
            MofNCompleteColumn(),
            _Rate(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[failed]} failed"),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._task = self._progress.add_task("", total=tally.total, failed=0)

    def show(self) -> None:
        """Show how far the tally is."""
        tally = self._tally
        failed = len(tally.failures)
        self._progress.update(self._task, completed=tally.done, failed=failed)
        is_due = tally.done and tally.seconds >= self._next_line_s
        if is_due and not self._console.is_terminal:
            self._next_line_s = tally.seconds + self._every_s
            left_s = (tally.total - tally.done) / tally.rate
            self._console.print(
                f"{tally.done}/{tally.total} {tally.unit}, {tally.rate:.1f}/s,"
                f" {left_s:.0f} s left, {failed} failed",
                soft_wrap=True,
                highlight=False,
            )

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:.1f}/s")
