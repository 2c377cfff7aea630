"""Work that others wait for: each piece once, a few at a time, within bounds."""

import asyncio

import pytest

from dinoserve.errors import OverloadedError
from dinoserve.services.turns import Turns


class Work:
    """Pieces of work that are done when a test says so."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.ended: list[str] = []
        self.may_end = asyncio.Event()
        self.fails = False

    async def __call__(self) -> str:
        self.begun.append("piece")
        await self.may_end.wait()
        if self.fails:
            raise ValueError("no")
        self.ended.append("piece")
        return "done"


async def settled() -> None:
    """Let everybody who can go on go on."""
    for _ in range(10):
        await asyncio.sleep(0)


@pytest.fixture
def work() -> Work:
    return Work()


async def ask(
    turns: Turns[str], work: Work, keys: str = "a"
) -> list[asyncio.Task[str]]:
    """Ask for a piece by each key, one after the other; return who waits."""
    callers = [asyncio.create_task(turns.take(key, work)) for key in keys]
    await settled()
    return callers


async def leave(caller: asyncio.Task[str]) -> None:
    caller.cancel()
    await settled()


async def test_many_callers_share_one_piece_of_work(work: Work) -> None:
    turns = Turns[str](2, 5)
    callers = await ask(turns, work, "a" * 50)

    work.may_end.set()

    assert await asyncio.gather(*callers) == ["done"] * 50
    assert work.begun == ["piece"]


async def test_only_so_many_pieces_are_worked_on_together(work: Work) -> None:
    turns = Turns[str](2, 5)
    callers = await ask(turns, work, "abcde")

    assert len(work.begun) == 2

    work.may_end.set()
    await asyncio.gather(*callers)
    assert len(work.begun) == 5


async def test_who_comes_when_too_many_wait_is_refused_at_once(work: Work) -> None:
    turns = Turns[str](1, 2)
    callers = await ask(turns, work, "abc")

    with pytest.raises(OverloadedError) as caught:
        await turns.take("d", work)

    assert caught.value.retry_after_s >= 1
    work.may_end.set()
    assert await asyncio.gather(*callers) == ["done"] * 3


async def test_who_asks_for_what_is_in_the_line_already_is_not_refused(
    work: Work,
) -> None:
    turns = Turns[str](1, 1)
    callers = await ask(turns, work, "ab")
    callers += await ask(turns, work, "ab")

    work.may_end.set()

    assert await asyncio.gather(*callers) == ["done"] * 4


async def test_a_caller_that_leaves_takes_nothing_from_the_others(work: Work) -> None:
    turns = Turns[str](1, 1)
    leaving, staying = await ask(turns, work, "aa")

    await leave(leaving)
    work.may_end.set()

    assert await staying == "done"
    assert work.begun == ["piece"]


async def test_work_that_nobody_waits_for_any_more_does_not_begin(work: Work) -> None:
    turns = Turns[str](1, 1)
    first, second = await ask(turns, work, "ab")

    await leave(second)
    work.may_end.set()
    await first
    await settled()

    assert work.begun == ["piece"]


async def test_the_place_of_a_caller_that_left_is_free(work: Work) -> None:
    turns = Turns[str](1, 1)
    first, second = await ask(turns, work, "ab")

    await leave(second)
    [third] = await ask(turns, work, "c")
    work.may_end.set()

    assert await asyncio.gather(first, third) == ["done"] * 2


async def test_work_that_has_begun_is_ended_though_all_have_left(work: Work) -> None:
    turns = Turns[str](1, 1)
    [caller] = await ask(turns, work)

    await leave(caller)
    work.may_end.set()
    await settled()

    assert work.ended == ["piece"]


async def test_who_comes_after_all_have_left_joins_what_has_begun(work: Work) -> None:
    turns = Turns[str](1, 1)
    [caller] = await ask(turns, work)
    await leave(caller)

    [late] = await ask(turns, work)
    work.may_end.set()

    assert await late == "done"
    assert work.begun == ["piece"]


async def test_a_failure_is_told_to_all_and_the_next_tries_again(work: Work) -> None:
    turns = Turns[str](1, 1)
    work.fails = True
    callers = await ask(turns, work, "aaa")
    work.may_end.set()
    failures = await asyncio.gather(*callers, return_exceptions=True)
    assert [type(failure) for failure in failures] == [ValueError] * 3

    work.fails = False

    assert await turns.take("a", work) == "done"
