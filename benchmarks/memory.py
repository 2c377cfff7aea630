"""How much memory a process holds while something is measured."""

import threading
from contextlib import suppress
from types import TracebackType
from typing import Self

import psutil

_EVERY_S = 0.05
_MIB = 2**20


class PeakMemory:
    """Watches a process for the length of a block.

    Attributes:
        mib: the most resident memory that was seen, in MiB.

    Args:
        pid: the process; its children are not counted.
    """

    def __init__(self, pid: int) -> None:
        self.mib = 0.0
        self._pid = pid
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        """Begin to watch."""
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

    def _watch(self) -> None:
        # A process that is gone is told of by those who ask it for something.
        with suppress(psutil.Error):
            process = psutil.Process(self._pid)
            while True:
                self.mib = max(self.mib, process.memory_info().rss / _MIB)
                if self._done.wait(_EVERY_S):
                    return
