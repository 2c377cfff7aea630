"""Whatever callers do, each gets its own answer, in order, and none is forgotten."""

import asyncio
import threading
from dataclasses import dataclass

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from dinoserve.engine.batcher import Batcher
from dinoserve.errors import UnavailableError
from dinoserve.telemetry import Metrics

MAX_COST = 5


@dataclass(frozen=True)
class Work:
    number: int
    cost: int
    is_bad: bool


class BadWorkError(Exception):
    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class Schedule(RuleBasedStateMachine):
    """Callers come and leave while the device works, pauses and fails."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.free = threading.Event()
        self.batches: list[list[Work]] = []
        self.callers: dict[Work, asyncio.Task[int]] = {}
        self.cancelled: set[Work] = set()
        self.batcher = Batcher(self.run, MAX_COST, Metrics(), lambda work: work.cost)

    def run(self, batch: list[Work]) -> list[int]:
        self.batches.append(batch)
        assert self.free.wait(60)
        for work in batch:
            if work.is_bad:
                raise BadWorkError(work.number)
        return [work.number for work in batch]

    def turn(self) -> None:
        """Let every caller do what it can now."""
        self.loop.run_until_complete(asyncio.sleep(0))

    @rule(cost=st.integers(1, MAX_COST + 2), is_bad=st.booleans())
    def submit(self, cost: int, *, is_bad: bool) -> None:
        work = Work(len(self.callers), cost, is_bad)
        self.callers[work] = self.loop.create_task(self.batcher.submit(work))
        self.turn()

    @precondition(lambda self: self.callers)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        work = data.draw(st.sampled_from(list(self.callers)))
        if self.callers[work].cancel():
            self.cancelled.add(work)
        self.turn()

    @rule()
    def let_the_device_work(self) -> None:
        self.free.set()
        self.turn()

    @rule()
    def hold_the_device(self) -> None:
        self.free.clear()

    @invariant()
    def no_batch_costs_too_much(self) -> None:
        for batch in list(self.batches):
            assert len(batch) == 1 or sum(work.cost for work in batch) <= MAX_COST

    @invariant()
    def the_first_to_come_is_the_first_to_run(self) -> None:
        seen = dict.fromkeys(work.number for batch in self.batches for work in batch)
        assert list(seen) == sorted(seen)

    def teardown(self) -> None:
        self.free.set()
        try:
            self.loop.run_until_complete(asyncio.wait_for(self.answers(), 60))
        finally:
            self.batcher.close()
            self.loop.close()

    async def answers(self) -> None:
        """Every caller that stayed is answered, with what is its own."""
        results = await asyncio.gather(*self.callers.values(), return_exceptions=True)
        for work, result in zip(self.callers, results, strict=True):
            if isinstance(result, asyncio.CancelledError):
                assert work in self.cancelled
            elif isinstance(result, BaseException):
                assert isinstance(result, UnavailableError)
                assert isinstance(result.__cause__, BadWorkError)
                assert (work.is_bad, result.__cause__.number) == (True, work.number)
            else:
                assert (work.is_bad, result) == (False, work.number)


TestSchedule = Schedule.TestCase
TestSchedule.settings = settings(max_examples=100, deadline=None)
