"""Whatever callers do, each gets its own answer in its turn; none is forgotten."""

import asyncio
import threading
from dataclasses import dataclass
from typing import get_args

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from dinoserve.domain.urgency import Priority, priority
from dinoserve.engine.batcher import Batcher
from dinoserve.engine.line import BULK_TURN, Line
from dinoserve.errors import UnavailableError
from dinoserve.telemetry import Metrics

MAX_COST = 5


@dataclass(frozen=True)
class Work:
    number: int
    priority: Priority
    group: int
    cost: int
    is_bad: bool = False


PRIORITIES = st.sampled_from(get_args(Priority))
GROUPS = st.integers(0, 2)
COSTS = st.integers(1, MAX_COST + 2)


class Turns(RuleBasedStateMachine):
    """Who comes, leaves and is taken, against a plain list of who is here."""

    def __init__(self) -> None:
        super().__init__()
        self.line = Line[Work]()
        self.here: list[Work] = []
        self.came = 0
        self.turns_without_bulk = 0

    @rule(who=PRIORITIES, group=GROUPS, cost=COSTS)
    def join(self, who: Priority, group: int, cost: int) -> None:
        work = Work(self.came, who, group, cost)
        self.came += 1
        self.line.join([work])
        self.here.append(work)

    @precondition(lambda self: self.here)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        work = data.draw(st.sampled_from(self.here))
        self.line.leave([work])
        self.here.remove(work)

    @precondition(lambda self: self.here)
    @rule()
    def take(self) -> None:
        before = list(self.here)
        batch = self.line.take(MAX_COST)
        self.here = [work for work in before if work not in batch]
        assert len(before) == len(self.here) + len(batch)
        self.check_batch(batch, before)
        self.check_turn(batch[0], before)

    def check_batch(self, batch: list[Work], before: list[Work]) -> None:
        head = batch[0]
        assert head == next(one for one in before if one.priority == head.priority)
        assert len(batch) == 1 or sum(work.cost for work in batch) <= MAX_COST
        assert {work.group for work in batch} == {head.group}
        if head.priority == "interactive":
            assert {work.priority for work in batch} == {"interactive"}
        for who in get_args(Priority):
            mates = [w for w in before if (w.priority, w.group) == (who, head.group)]
            taken = [work for work in batch if work.priority == who]
            assert taken == mates[: len(taken)]

    def check_turn(self, head: Work, before: list[Work]) -> None:
        waiting = {work.priority for work in before}
        if head.priority == "bulk" or "bulk" not in waiting:
            was_due = self.turns_without_bulk == BULK_TURN - 1
            assert was_due or "interactive" not in waiting or head.priority != "bulk"
            self.turns_without_bulk = 0
        else:
            self.turns_without_bulk += 1
            assert self.turns_without_bulk < BULK_TURN

    @invariant()
    def nobody_is_lost(self) -> None:
        assert len(self.line) == len(self.here)

    def teardown(self) -> None:
        everyone = sorted(self.line.clear(), key=lambda work: work.number)
        assert everyone == self.here


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
        self.batcher = Batcher(
            self.run,
            MAX_COST,
            Metrics(),
            lambda work: work.cost,
            lambda work: work.group,
        )

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

    @rule(who=PRIORITIES, group=GROUPS, cost=COSTS, is_bad=st.booleans())
    def submit(self, who: Priority, group: int, cost: int, *, is_bad: bool) -> None:
        work = Work(len(self.callers), who, group, cost, is_bad)
        token = priority.set(who)
        self.callers[work] = self.loop.create_task(self.batcher.submit(work))
        priority.reset(token)
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
    def of_one_priority_and_group_the_first_to_come_runs_first(self) -> None:
        seen = dict.fromkeys(work for batch in list(self.batches) for work in batch)
        for kind in {(work.priority, work.group) for work in seen}:
            ran = [w.number for w in seen if (w.priority, w.group) == kind]
            assert ran == sorted(ran)

    @invariant()
    def no_batch_mixes_groups(self) -> None:
        for batch in list(self.batches):
            assert len({work.group for work in batch}) == 1

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


TestTurns = Turns.TestCase
TestTurns.settings = settings(max_examples=200, deadline=None)
TestSchedule = Schedule.TestCase
TestSchedule.settings = settings(max_examples=100, deadline=None)
