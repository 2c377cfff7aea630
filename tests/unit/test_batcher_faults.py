import asyncio
import logging
import weakref
from collections.abc import Iterator

import pytest
import torch

from dinoserve.engine.batcher import Batcher
from dinoserve.telemetry import Metrics
from held_device import Device, causes, occupy, queue


@pytest.fixture
def device() -> Device:
    return Device()


@pytest.fixture
def batcher(device: Device, metrics: Metrics) -> Iterator[Batcher[int, int]]:
    batcher = Batcher[int, int](device, 100, metrics, cost=lambda item: item)
    yield batcher
    device.free.set()
    batcher.close()


def break_inside(batcher: Batcher[int, int], patch: pytest.MonkeyPatch) -> None:
    """Make the thread end at its next batch, outside what it guards."""
    patch.setattr(batcher, "_note", lambda **_: 1 / 0)  # pyright: ignore[reportUnknownLambdaType, reportUnknownArgumentType] - takes anything, returns never


async def test_every_waiter_is_told_when_the_thread_dies(
    batcher: Batcher[int, int], device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = await occupy(batcher, device)
    waiting = await queue(batcher, 2, 3)
    break_inside(batcher, monkeypatch)
    device.free.set()
    assert await causes([running, *waiting]) == [None, None, None]


async def test_a_thread_that_died_is_started_again(
    batcher: Batcher[int, int], device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    device.free.set()
    with monkeypatch.context() as patch:
        break_inside(batcher, patch)
        for item in (1, 2):
            await causes(await queue(batcher, item))
    assert await batcher.submit(3) == 6


async def test_a_dead_thread_is_no_health(
    batcher: Batcher[int, int],
    device: Device,
    metrics: Metrics,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    device.free.set()
    await batcher.submit(1)
    break_inside(batcher, monkeypatch)
    await causes(await queue(batcher, 2))
    assert batcher.last_ok is False
    assert "dinoserve_engine_healthy 0.0" in metrics.render().decode().splitlines()


async def test_of_32_items_with_a_bad_one_31_are_answered(
    device: Device, metrics: Metrics
) -> None:
    batcher = Batcher[int, int](device, 32, metrics)
    await occupy(batcher, device)
    device.bad[17] = ValueError("seventeen")
    tasks = await queue(batcher, *range(32))
    device.free.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    good = [item for item, result in enumerate(results) if result == 2 * item]
    assert (good, len(device.batches[1])) == ([*range(17), *range(18, 32)], 32)
    batcher.close()


async def test_a_forward_tells_how_long_it_has_run(
    batcher: Batcher[int, int], device: Device
) -> None:
    seen = [batcher.running_s]
    task = await occupy(batcher, device)
    at_work_s = batcher.running_s
    device.free.set()
    await task
    assert at_work_s > 0
    assert [*seen, batcher.running_s] == [0, 0]


@pytest.mark.parametrize("kind", [MemoryError, torch.OutOfMemoryError])
async def test_after_memory_ran_out_no_batch_costs_more_than_what_worked(
    batcher: Batcher[int, int], device: Device, kind: type[BaseException]
) -> None:
    device.memory, device.out_of_memory = 9, kind
    device.free.set()
    await batcher.submit_all([4, 4, 4, 4])
    device.batches.clear()
    await batcher.submit_all([4, 4, 4, 4])
    assert device.batches == [[4, 4], [4, 4]]


async def test_memory_that_ran_out_fails_nobody(
    batcher: Batcher[int, int], device: Device
) -> None:
    await occupy(batcher, device)
    device.memory = 9
    rest = await queue(batcher, 4, 4, 4, 4)
    device.free.set()
    assert await asyncio.gather(*rest) == [8, 8, 8, 8]


async def test_the_limit_that_worked_is_shown(
    batcher: Batcher[int, int], device: Device, metrics: Metrics
) -> None:
    shown = [limit_in(metrics)]
    await occupy(batcher, device)
    device.memory = 9
    rest = await queue(batcher, 4, 4, 4, 4)
    device.free.set()
    await asyncio.gather(*rest)
    await batcher.submit(1)  # the limit is set after the last answer
    assert [*shown, limit_in(metrics)] == [100, 8]


async def test_memory_that_ran_out_is_logged_once(
    batcher: Batcher[int, int], device: Device, caplog: pytest.LogCaptureFixture
) -> None:
    device.memory = 5
    device.free.set()
    for _ in range(3):
        await batcher.submit_all([4, 4, 4, 4])
    levels = [record.levelno for record in caplog.records]
    assert levels.count(logging.WARNING) == 1


async def test_one_item_that_takes_all_memory_leaves_the_others_half_a_batch(
    batcher: Batcher[int, int], device: Device, metrics: Metrics
) -> None:
    await occupy(batcher, device)
    device.bad[3] = MemoryError()
    tasks = await queue(batcher, *[2] * 7, 3)
    device.free.set()
    await asyncio.gather(*tasks, return_exceptions=True)
    await batcher.submit(1)  # the limit is set after the last answer
    assert limit_in(metrics) == 8


async def test_memory_that_suffices_for_nothing_lowers_no_limit(
    batcher: Batcher[int, int], device: Device, metrics: Metrics
) -> None:
    device.bad[2] = MemoryError()
    device.free.set()
    await asyncio.gather(batcher.submit_all([2, 2]), return_exceptions=True)
    await batcher.submit(1)  # a limit would be set after the last answer
    assert limit_in(metrics) == 100


async def test_an_error_of_another_kind_lowers_no_limit(
    batcher: Batcher[int, int], device: Device, metrics: Metrics
) -> None:
    device.bad[3] = RuntimeError("three")
    device.free.set()
    await asyncio.gather(batcher.submit_all([2, 2, 3]), return_exceptions=True)
    await batcher.submit(1)  # a limit would be set after the last answer
    assert limit_in(metrics) == 100


async def test_what_failed_holds_no_memory_while_its_halves_run(
    metrics: Metrics,
) -> None:
    made: list[weakref.ref[Tensor]] = []
    held: list[int] = []

    def run(items: list[int]) -> list[int]:
        held.append(sum(one() is not None for one in made))
        tensor = Tensor()
        made.append(weakref.ref(tensor))
        if len(items) > 1:
            raise MemoryError
        return items

    batcher = Batcher[int, int](run, 10, metrics)
    await batcher.submit_all([1, 2])
    await asyncio.to_thread(batcher.close)
    assert held == [0, 0, 0]


class Tensor:
    """Something large that a forward makes."""


def limit_in(metrics: Metrics) -> float:
    name = "dinoserve_engine_batch_tokens_limit "
    lines = metrics.render().decode().splitlines()
    (line,) = [line for line in lines if line.startswith(name)]
    return float(line.removeprefix(name))
