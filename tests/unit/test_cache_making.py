"""Making what no cache has: once for all who ask, and by oneself where that fails."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import pytest

from dinoserve.adapters.memory_cache import MemoryCache
from dinoserve.ports import Slot
from dinoserve.services import making
from dinoserve.services.caching import CachePolicy, TwoLevels
from dinoserve.services.making import Codec, Maker
from dinoserve.telemetry import Metrics

A, B = Slot("image", "a"), Slot("image", "b")
CODEC = Codec[str](str.encode, bytes.decode)


def levels(shared: MemoryCache | None = None) -> TwoLevels:
    metrics = Metrics()
    return TwoLevels(MemoryCache(100_000, metrics), shared, CachePolicy(), metrics)


def process(shared: MemoryCache) -> Maker[str]:
    """A server process: a level of its own before the shared one."""
    return Maker(levels(shared), CODEC)


class Work:
    """Makes values when it is let, and knows how often it was asked."""

    def __init__(self) -> None:
        self.asked: list[list[int]] = []
        self.begun = asyncio.Event()
        self.may_end = asyncio.Event()
        self.error: Exception | None = None

    async def __call__(self, positions: Sequence[int]) -> list[str]:
        self.asked.append(list(positions))
        self.begun.set()
        await self.may_end.wait()
        if self.error:
            raise self.error
        return [f"value {position}" for position in positions]


def at_once(word: str) -> Callable[[Sequence[int]], Awaitable[list[str]]]:
    async def make(positions: Sequence[int]) -> list[str]:
        return [f"{word} {position}" for position in positions]

    return make


async def never(positions: Sequence[int]) -> list[str]:
    raise AssertionError(f"asked to make {positions}")


async def test_what_is_kept_is_not_made_again() -> None:
    maker = Maker(levels(), CODEC)
    await maker.values([A, B], at_once("first"))

    assert await maker.values([B, A], never) == ["first 1", "first 0"]


async def test_only_what_is_missing_is_made() -> None:
    maker = Maker(levels(), CODEC)
    await maker.values([A], at_once("first"))

    assert await maker.values([A, B], at_once("then")) == ["first 0", "then 1"]


async def test_a_slot_asked_for_twice_is_made_once() -> None:
    work = Work()
    work.may_end.set()

    values = await Maker(levels(), CODEC).values([A, B, A], work)

    assert values == ["value 0", "value 1", "value 0"]
    assert work.asked == [[0, 1]]


async def test_many_who_ask_at_a_time_are_given_what_one_makes() -> None:
    maker, work = Maker(levels(), CODEC), Work()
    first = asyncio.create_task(maker.values([A], work))
    await work.begun.wait()
    others = [asyncio.create_task(maker.values([A], never)) for _ in range(20)]
    await asyncio.sleep(0)

    work.may_end.set()

    assert await asyncio.gather(first, *others) == [["value 0"]] * 21


async def test_what_one_fails_to_make_the_next_makes_for_itself() -> None:
    maker, work = Maker(levels(), CODEC), Work()
    work.error = ValueError("no")
    first = asyncio.create_task(maker.values([A], work))
    await work.begun.wait()
    second = asyncio.create_task(maker.values([A], at_once("mine")))
    await asyncio.sleep(0)

    work.may_end.set()

    with pytest.raises(ValueError, match="no"):
        await first
    assert await second == ["mine 0"]


async def test_who_waits_for_a_caller_that_left_makes_it_for_itself() -> None:
    maker, work = Maker(levels(), CODEC), Work()
    first = asyncio.create_task(maker.values([A], work))
    await work.begun.wait()
    second = asyncio.create_task(maker.values([A], at_once("mine")))
    await asyncio.sleep(0)

    first.cancel()

    assert await second == ["mine 0"]


async def test_nobody_waits_longer_than_the_bound(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(making, "WAIT_S", 0.01)
    maker, work = Maker(levels(), CODEC), Work()
    first = asyncio.create_task(maker.values([A], work))
    await work.begun.wait()

    assert await maker.values([A], at_once("mine")) == ["mine 0"]

    work.may_end.set()
    await first


async def test_two_who_want_the_same_two_in_other_orders_both_get_them() -> None:
    maker, work = Maker(levels(), CODEC), Work()
    first = asyncio.create_task(maker.values([A], work))
    await work.begun.wait()
    crossed = [
        asyncio.create_task(maker.values(slots, at_once("x")))
        for slots in ([A, B], [B, A])
    ]
    await asyncio.sleep(0)

    work.may_end.set()

    assert await asyncio.gather(*crossed) == [["value 0", "x 1"], ["x 1", "value 0"]]
    await first


async def test_two_processes_make_a_value_once() -> None:
    shared, work = MemoryCache(100_000, Metrics()), Work()
    first = asyncio.create_task(process(shared).values([A], work))
    await work.begun.wait()
    second = asyncio.create_task(process(shared).values([A], never))
    await asyncio.sleep(0)

    work.may_end.set()

    assert await asyncio.gather(first, second) == [["value 0"]] * 2


async def test_what_another_process_fails_to_make_is_made_here() -> None:
    shared, work = MemoryCache(100_000, Metrics()), Work()
    work.error = ValueError("no")
    first = asyncio.create_task(process(shared).values([A], work))
    await work.begun.wait()
    second = asyncio.create_task(process(shared).values([A], at_once("mine")))
    await asyncio.sleep(0)

    work.may_end.set()

    with pytest.raises(ValueError, match="no"):
        await first
    assert await second == ["mine 0"]


async def test_a_value_too_great_to_keep_is_given_all_the_same() -> None:
    metrics = Metrics()
    policy = CachePolicy(max_value_bytes=3)
    small = TwoLevels(MemoryCache(100_000, metrics), None, policy, metrics)
    maker = Maker(small, CODEC)

    assert await maker.values([A], at_once("first")) == ["first 0"]
    assert await maker.values([A], at_once("second")) == ["second 0"]
