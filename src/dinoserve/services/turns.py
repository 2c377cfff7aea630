"""Turns: work that others wait for, each piece once, a few at a time, within bounds."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from dinoserve.errors import OverloadedError

_T = TypeVar("_T")
_MAX_RETRY_S: Final = 60


@dataclass(slots=True)
class _Piece(Generic[_T]):
    """Work on one key.

    Attributes:
        callers: how many wait for it.
        has_begun: it is no longer in the line.
    """

    task: asyncio.Task[_T]
    callers: int = 0
    has_begun: bool = False


class Turns(Generic[_T]):
    """Does each key's work once, however many ask for it at the same time.

    What has begun is done to its end, even if all who asked have left; what still
    waits then is dropped.

    Args:
        at_once: pieces that are worked on together.
        waiting: further pieces that may wait for their turn.
    """

    def __init__(self, at_once: int, waiting: int) -> None:
        self._pieces: dict[str, _Piece[_T]] = {}
        self._at_once = at_once
        self._waiting = waiting
        self._turns = asyncio.Semaphore(at_once)
        self._piece_s = 0.0

    async def take(self, key: str, work: Callable[[], Awaitable[_T]]) -> _T:
        """Return what the work on this key gives, by us or by whoever began it.

        Raises:
            OverloadedError: at once, when too many pieces wait.
            Exception: whatever the work raises, for everybody who waits for it.
        """
        piece = self._pieces.get(key) or self._join_line(key, work)
        piece.callers += 1
        try:
            return await asyncio.shield(piece.task)
        finally:
            piece.callers -= 1
            if not (piece.callers or piece.has_begun):
                self._pieces.pop(key, None)
                piece.task.cancel()

    def _join_line(self, key: str, work: Callable[[], Awaitable[_T]]) -> _Piece[_T]:
        if len(self._pieces) >= self._at_once + self._waiting:
            wait_s = math.ceil(self._waiting * self._piece_s / self._at_once)
            raise OverloadedError(
                f"{self._waiting} renditions are waiting already.",
                retry_after_s=max(1, min(_MAX_RETRY_S, wait_s)),
            )
        piece = _Piece(asyncio.create_task(self._in_turn(key, work)))
        piece.task.add_done_callback(_retrieved)
        self._pieces[key] = piece
        return piece

    async def _in_turn(self, key: str, work: Callable[[], Awaitable[_T]]) -> _T:
        async with self._turns:
            piece = self._pieces[key]
            piece.has_begun = True
            start = time.perf_counter()
            try:
                return await work()
            finally:
                del self._pieces[key]
                # The weight 0.2 remembers about the last ten pieces.
                self._piece_s += 0.2 * (time.perf_counter() - start - self._piece_s)


def _retrieved(task: asyncio.Task[_T]) -> None:
    """Look at the failure of work whose callers all left: nobody else will."""
    if not task.cancelled():
        task.exception()
