"""One line and one device thread: concurrent callers share a forward.

The thread sleeps on a condition and is woken, never polls. Idle, it starts with what
is there; while it works, the next batch forms behind it.
"""

import asyncio
import logging
import threading
import time
import traceback
from collections.abc import Callable, Hashable, Sequence
from contextlib import suppress
from typing import Generic, TypeVar

from dinoserve.domain.urgency import Priority, priority
from dinoserve.engine.line import Line
from dinoserve.errors import UnavailableError
from dinoserve.telemetry import Metrics

Item = TypeVar("Item")
Result = TypeVar("Result")

_CLOSED = "The engine is shutting down; try again in a moment."
_DIED = "The engine's device thread has ended and is started anew; try again."
_FAILED = "The model failed on this input; the server's log tells why."

_log = logging.getLogger(__name__)


class _Waiter(Generic[Item, Result]):
    """One item, and the future of the caller that waits for its result."""

    def __init__(self, item: Item, cost: int, group: Hashable) -> None:
        self.item = item
        self.cost = cost
        self.group = group
        self.priority: Priority = priority.get()
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

    Whose turn it is `engine.line` tells; the priority is that of the caller's context.
    A thread that ended is started again for the next item.

    Attributes:
        last_ok: whether the last call of `run` worked; None before the first, False
            after the thread has ended.

    Args:
        run: one result per item, in order; called on the device thread only. What it
            raises, or a wrong number of results, fails the batch; a failed batch is
            halved and tried again until the bad item is alone. If memory ran out, no
            later batch costs more than the dearest part that worked.
        max_batch_cost: the sum of costs in a batch at most; an item dearer than this
            runs alone.
        metrics: gets `batch_images`, the stages `wait` and `forward`,
            `batch_tokens_limit` and `engine_healthy`.
        cost: the cost of an item, at least 1.
        group: what all items of a batch have alike.
    """

    def __init__(
        self,
        run: Callable[[list[Item]], Sequence[Result]],
        max_batch_cost: int,
        metrics: Metrics,
        cost: Callable[[Item], int] = lambda _: 1,
        group: Callable[[Item], Hashable] = lambda _: None,
    ) -> None:
        self._run = run
        self._metrics = metrics
        self._cost = cost
        self._group = group
        self.last_ok: bool | None = None
        self._wake = threading.Condition()
        self._line = Line[_Waiter[Item, Result]]()
        self._running: list[_Waiter[Item, Result]] = []
        self._began: float | None = None
        self._is_closed = False
        self._thread: threading.Thread | None = None
        self._limit_cost(max_batch_cost)

    @property
    def running_s(self) -> float:
        """Seconds that the present forward has taken; 0 if there is none."""
        began = self._began
        return 0.0 if began is None else time.perf_counter() - began

    async def submit(self, item: Item) -> Result:
        """Return the result of one item; see `submit_all`."""
        return (await self.submit_all([item]))[0]

    async def submit_all(
        self, items: Sequence[Item], *, ahead: bool = False
    ) -> list[Result]:
        """Return one result per item, in order; they queue up together.

        Items still waiting leave the line when the caller is cancelled or when one
        of the items fails.

        Args:
            items: what to run.
            ahead: overtake everything of the same priority.

        Raises:
            UnavailableError: an item failed (its cause is what `run` raised), the
                batcher was closed, or its thread ended meanwhile.
        """
        waiters = [
            _Waiter[Item, Result](item, self._cost(item), self._group(item))
            for item in items
        ]
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
        with self._wake:
            self._is_closed = True
            waiting, thread = self._line.clear(), self._thread
            self._wake.notify()
        for waiter in waiting:
            waiter.refuse(_CLOSED)
        if thread:
            thread.join(grace_s)
        for waiter in self._running:
            waiter.refuse(_CLOSED)

    def _queue(self, waiters: list[_Waiter[Item, Result]], *, ahead: bool) -> None:
        with self._wake:
            if self._is_closed:
                raise UnavailableError(_CLOSED, port="embedder")
            self._thread = self._thread or self._started()
            self._line.join(waiters, ahead=ahead)
            self._wake.notify()

    def _started(self) -> threading.Thread:
        # A daemon: a forward that hangs must not keep the process from ending.
        thread = threading.Thread(
            target=self._serve, name="dinoserve-device", daemon=True
        )
        thread.start()
        return thread

    def _leave(self, waiters: list[_Waiter[Item, Result]]) -> None:
        with self._wake:
            for waiter in waiters:
                waiter.has_left = True
            self._line.leave(waiters)

    def _serve(self) -> None:
        try:
            while batch := self._take():
                self._compute(batch)
                self._running = []
        except BaseException:  # noqa: BLE001 - whatever ended the thread, it is told
            _log.critical("The device thread ended.", exc_info=True)
            self.last_ok = False
            self._metrics.engine_healthy.set(0)
        finally:
            self._retire()

    def _retire(self) -> None:
        """Refuse everyone; whoever comes after that gets a thread of its own."""
        with self._wake:
            left = [*self._running, *self._line.clear()]
            self._running, self._thread = [], None
        for waiter in left:
            waiter.refuse(_DIED)

    def _take(self) -> list[_Waiter[Item, Result]]:
        """Wait for work; return the next batch, empty when closed."""
        with self._wake:
            self._wake.wait_for(lambda: self._line or self._is_closed)
            self._running = self._line.take(self._limit) if self._line else []
        for waiter in self._running:
            waited = time.perf_counter() - waiter.since
            self._metrics.stages.labels("wait").observe(waited)
        return self._running

    def _compute(
        self, batch: list[_Waiter[Item, Result]], parent: BaseException | None = None
    ) -> int:
        """Answer a batch or a half of one; return the dearest part that worked."""
        batch = [waiter for waiter in batch if not waiter.has_left]
        if not batch:
            return 0
        error = self._attempt(batch, is_half=parent is not None)
        if error is None:
            return sum(waiter.cost for waiter in batch)
        if len(batch) == 1:
            batch[0].refuse(_FAILED, error)
            return 0
        half = len(batch) // 2
        parts = batch[:half], batch[half:]
        worked = max(self._compute(part, error) for part in parts)
        # Only for the whole: a half may fail for one bad item where another worked.
        if parent is None and worked and _is_out_of_memory(error):
            self._limit_cost(worked)
            _log.warning("Memory ran out: batches have at most %d tokens now.", worked)
        return worked

    def _attempt(
        self, batch: list[_Waiter[Item, Result]], *, is_half: bool
    ) -> BaseException | None:
        """Answer all of the batch, or return why none of it could be."""
        try:
            results = self._forward([waiter.item for waiter in batch])
        except BaseException as error:  # noqa: BLE001 - even SystemExit in a model must not end the thread
            self._note(ok=False)
            # One traceback a batch: its halves most likely fail for the same reason.
            trace = None if is_half else error
            _log.error("A forward of %d failed: %r", len(batch), error, exc_info=trace)
            # Else what it had computed would take the memory that the halves need.
            traceback.clear_frames(error.__traceback__)
            return error
        self._note(ok=True)
        for waiter, result in zip(batch, results, strict=True):
            waiter.answer(result)
        return None

    def _forward(self, items: list[Item]) -> Sequence[Result]:
        self._metrics.batch_images.observe(len(items))
        self._began = time.perf_counter()
        try:
            with self._metrics.stage("forward"):
                results = self._run(items)
        finally:
            self._began = None
        if len(results) != len(items):
            raise ValueError(f"{len(results)} results for {len(items)} items")
        return results

    def _limit_cost(self, limit: int) -> None:
        self._limit = limit
        self._metrics.batch_tokens_limit.set(limit)

    def _note(self, *, ok: bool) -> None:
        self.last_ok = ok
        self._metrics.engine_healthy.set(ok)


def _is_out_of_memory(error: BaseException) -> bool:
    # By name, because importing PyTorch takes seconds that not every engine needs.
    names = {kind.__name__ for kind in type(error).__mro__}
    return not names.isdisjoint({"MemoryError", "OutOfMemoryError"})
