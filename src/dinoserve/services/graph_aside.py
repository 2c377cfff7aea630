"""Setting aside: what fails alone waits ever longer, so that others pass."""

import math
import time
from collections.abc import Collection

from dinoserve.ports import Mark


class Aside:
    """Marks that failed, and when each is tried again.

    It is this process's alone: another one, and the next start, try them anew.

    Args:
        first_s: until the second try; doubled with each.
        most_s: the longest of these.
    """

    def __init__(self, first_s: float, most_s: float) -> None:
        self._first_s = first_s
        self._most_s = most_s
        self._pauses_s: dict[Mark, float] = {}
        self._due_s: dict[Mark, float] = {}

    def __len__(self) -> int:
        return len(self._due_s)

    def __contains__(self, mark: Mark) -> bool:
        return mark in self._due_s

    def add(self, mark: Mark) -> float:
        """Set a mark aside; return for how many seconds."""
        before_s = self._pauses_s.get(mark, self._first_s / 2)
        self._pauses_s[mark] = pause_s = min(2 * before_s, self._most_s)
        self._due_s[mark] = time.monotonic() + pause_s
        return pause_s

    def is_due(self, mark: Mark, at_s: float) -> bool:
        """Tell whether it is set aside and its time has come by then (monotonic)."""
        return self._due_s.get(mark, math.inf) <= at_s

    def keep(self, marks: Collection[Mark], *, is_all: bool) -> None:
        """Forget those that are marked no more.

        Args:
            marks: that are there, the oldest first.
            is_all: whether there are no newer ones.
        """
        newest = max((mark.version for mark in marks), default=0)
        there = set(marks)
        for mark in list(self._due_s):
            if mark not in there and (is_all or mark.version <= newest):
                del self._due_s[mark], self._pauses_s[mark]
