"""How much memory a process holds while something is measured."""

import threading
from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType
from typing import Self

import psutil

_EVERY_S = 0.05
_MIB = 2**20


def resident_mib(processes: Sequence[psutil.Process]) -> float:
    """Return the resident memory of all of them, in MiB; 0 for those that are gone.

    Pages that they share count for each.
    """
    total = 0.0
    for process in processes:
        with suppress(psutil.Error):
            total += process.memory_info().rss / _MIB
    return total


def family(pid: int) -> list[psutil.Process]:
    """Return a process and all that descend from it; empty if it is gone."""
    with suppress(psutil.Error):
        parent = psutil.Process(pid)
        return [parent, *parent.children(recursive=True)]
    return []


class WatchedMemory:
    """Watches a process and its children for the length of a block.

    Attributes:
        start_mib: resident memory when the block began, in MiB.
        peak_mib: the most that was seen.
        end_mib: when it ended.

    Args:
        pid: the process; children that it starts within the block are not counted.
    """

    def __init__(self, pid: int) -> None:
        self.start_mib = self.peak_mib = self.end_mib = 0.0
        self._family = family(pid)
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        """Begin to watch."""
        self.start_mib = self._look()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop watching."""
        self._done.set()
        self._thread.join()
        self.end_mib = self._look()

    def _watch(self) -> None:
        while not self._done.wait(_EVERY_S):
            self._look()

    def _look(self) -> float:
        mib = resident_mib(self._family)
        self.peak_mib = max(self.peak_mib, mib)
        return mib
