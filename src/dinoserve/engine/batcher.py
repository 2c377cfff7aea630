"""One queue and one device thread: concurrent callers share a forward.

The thread sleeps on a condition and is woken, never polls. Idle, it starts with what
is there; while it works, the next batch forms behind it, first come first served.
"""

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Generic, TypeVar

from dinoserve.errors import UnavailableError
from dinoserve.telemetry import Metrics

Item = TypeVar("Item")
Result = TypeVar("Result")

_CLOSED = "The engine is shutting down; try again in a moment."
_DEAD = "The engine's device thread has ended; restart the server."
_FAILED = "The model failed on this input; the server's log tells why."

_log = logging.getLogger(__name__)


class _Waiter(Generic[Item, Result]):
    """One item, and the future of the caller that waits for its result."""

    def __init__(self, item: Item, cost: int) -> None:
        self.item = item
        self.cost = cost
        self.has_left = False
        self.since = time.perf_counter()
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[Result] = self.loop.create_future()

    def answer(self, result: Result) -> None:
        self._tell(lambda: self.future.set_result(result))

    def refuse(self, detail: str, cause: BaseException | None = None) -> None:
        error = UnavailableError(detail, port="embedder")
        error.__cause__ = cause
        self._tell(lambda: self.future.set_exception(error))

    def _tell(self, settle: Callable[[], None]) -> None:
        # A closed loop has nobody left to tell.
        with suppress(RuntimeError):
            self.loop.call_soon_threadsafe(
                lambda: None if self.future.done() else settle()
            )


class Batcher(Generic[Item, Result]):
    """Runs items in batches on one thread, and always answers.

    Attributes:
        last_ok: whether the last call of `run` worked; None before the first.

    Args:
        run: one result per item, in order; called on the device thread only. What it
            raises, or a wrong number of results, fails the batch; a failed batch is
            halved and tried again until the bad item is alone.
        max_batch_cost: the sum of costs in a batch at most; an item dearer than this
            runs alone.
        metrics: gets `batch_images`, the stages `wait` and `forward`, and
            `engine_healthy`.
        cost: the cost of an item, at least 1.
    """

    def __init__(
        self,
        run: Callable[[list[Item]], Sequence[Result]],
        max_batch_cost: int,
        metrics: Metrics,
        cost: Callable[[Item], int] = lambda _: 1,
    ) -> None:
        self._run = run
        self._max_batch_cost = max_batch_cost
        self._metrics = metrics
        self._cost = cost
        self.last_ok: bool | None = None
        self._wake = threading.Condition()
        self._waiting: deque[_Waiter[Item, Result]] = deque()
        self._running: list[_Waiter[Item, Result]] = []
        self._ended: str | None = None
        # A daemon: a forward that hangs must not keep the process from ending.
        self._thread = threading.Thread(
            target=self._serve, name="dinoserve-device", daemon=True
        )
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        """Whether items are still taken."""
        return self._ended is None and self._thread.is_alive()

    async def submit(self, item: Item) -> Result:
        """Return the result of one item; see `submit_all`."""
        return (await self.submit_all([item]))[0]

    async def submit_all(
        self, items: Sequence[Item], *, ahead: bool = False
    ) -> list[Result]:
        """Return one result per item, in order; they queue up together.

        Items still waiting leave the queue when the caller is cancelled or when one
        of the items fails.

        Args:
            items: what to run.
            ahead: overtake everything that waits.

        Raises:
            UnavailableError: an item failed (its cause is what `run` raised), or the
                batcher was closed or has died.
        """
        waiters = [_Waiter[Item, Result](item, self._cost(item)) for item in items]
        self._queue(waiters, ahead=ahead)
        try:
            return await asyncio.gather(*(waiter.future for waiter in waiters))
        except BaseException:
            self._leave(waiters)
            raise

    def close(self, grace_s: float = 30.0) -> None:
        """Fail what waits, let the running batch finish, end the thread.

        Blocks until then. Twice is the same as once.

        Args:
            grace_s: seconds after which the running batch is failed as well.
        """
        self._end(_CLOSED)
        self._thread.join(grace_s)
        for waiter in self._running:
            waiter.refuse(_CLOSED)

    def _queue(self, waiters: list[_Waiter[Item, Result]], *, ahead: bool) -> None:
        with self._wake:
            if self._ended is not None:
                raise UnavailableError(self._ended, port="embedder")
            if ahead:
                self._waiting.extendleft(reversed(waiters))
            else:
                self._waiting.extend(waiters)
            self._wake.notify()

    def _leave(self, waiters: list[_Waiter[Item, Result]]) -> None:
        with self._wake:
            for waiter in waiters:
                waiter.has_left = True
            self._waiting = deque(one for one in self._waiting if not one.has_left)

    def _serve(self) -> None:
        try:
            while batch := self._take():
                self._compute(batch)
                self._running = []
        except BaseException:  # noqa: BLE001 - whatever ended the thread, it is told
            _log.critical("The device thread ended.", exc_info=True)
            self._metrics.engine_healthy.set(0)
        finally:
            self._end(_DEAD)
            for waiter in self._running:
                waiter.refuse(_DEAD)

    def _end(self, detail: str) -> None:
        with self._wake:
            self._ended = self._ended or detail
            left, self._waiting = self._waiting, deque()
            self._wake.notify()
        for waiter in left:
            waiter.refuse(detail)

    def _take(self) -> list[_Waiter[Item, Result]]:
        """Wait for work; return the next batch, empty when closed."""
        with self._wake:
            self._wake.wait_for(lambda: self._waiting or self._ended is not None)
            batch: list[_Waiter[Item, Result]] = []
            room = self._max_batch_cost
            while self._waiting and (not batch or self._waiting[0].cost <= room):
                batch.append(self._waiting.popleft())
                room -= batch[-1].cost
            self._running = batch
        for waiter in batch:
            waited = time.perf_counter() - waiter.since
            self._metrics.stages.labels("wait").observe(waited)
        return batch

    def _compute(
        self, batch: list[_Waiter[Item, Result]], parent: BaseException | None = None
    ) -> None:
        batch = [waiter for waiter in batch if not waiter.has_left]
        if not batch:
            return
        try:
            results = self._forward([waiter.item for waiter in batch])
        except BaseException as error:  # noqa: BLE001 - even SystemExit in a model must not end the thread
            self._note(ok=False)
            # One traceback a batch: its halves most likely fail for the same reason.
            trace = None if parent else error
            _log.error("A forward of %d failed: %r", len(batch), error, exc_info=trace)
            self._split(batch, error)
            return
        self._note(ok=True)
        for waiter, result in zip(batch, results, strict=True):
            waiter.answer(result)

    def _forward(self, items: list[Item]) -> Sequence[Result]:
        self._metrics.batch_images.observe(len(items))
        with self._metrics.stage("forward"):
            results = self._run(items)
        if len(results) != len(items):
            raise ValueError(f"{len(results)} results for {len(items)} items")
        return results

    def _split(self, batch: list[_Waiter[Item, Result]], error: BaseException) -> None:
        if len(batch) == 1:
            batch[0].refuse(_FAILED, error)
            return
        half = len(batch) // 2
        self._compute(batch[:half], error)
        self._compute(batch[half:], error)

    def _note(self, *, ok: bool) -> None:
        self.last_ok = ok
        self._metrics.engine_healthy.set(ok)
