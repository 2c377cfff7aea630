import asyncio
import logging
import threading
from collections.abc import Iterator

import pytest

from dinoserve.engine.batcher import Batcher
from dinoserve.telemetry import Metrics
from held_device import Device, causes, first_step, occupy, queue


def is_device_thread(thread: threading.Thread) -> bool:
    return thread.name.startswith("dinoserve-")


@pytest.fixture
def device() -> Device:
    return Device()


@pytest.fixture
def batcher(device: Device, metrics: Metrics) -> Iterator[Batcher[int, int]]:
    batcher = Batcher[int, int](device, 10, metrics, cost=lambda item: item)
    yield batcher
    device.free.set()
    batcher.close()
    assert not [one for one in threading.enumerate() if is_device_thread(one)]


async def test_an_idle_device_starts_at_once(
    batcher: Batcher[int, int], device: Device
) -> None:
    await occupy(batcher, device)
    assert device.batches == [[1]]


async def test_waiting_items_share_the_next_forward(
    batcher: Batcher[int, int], device: Device
) -> None:
    first = await occupy(batcher, device)
    rest = await queue(batcher, 2, 3, 4)
    device.free.set()
    assert await asyncio.gather(first, *rest) == [2, 4, 6, 8]
    assert device.batches == [[1], [2, 3, 4]]


async def test_a_batch_never_costs_more_than_the_maximum(
    batcher: Batcher[int, int], device: Device
) -> None:
    await occupy(batcher, device)
    rest = await queue(batcher, 4, 6, 5)
    device.free.set()
    await asyncio.gather(*rest)
    assert device.batches == [[1], [4, 6], [5]]


async def test_an_item_dearer_than_the_maximum_runs_alone(
    batcher: Batcher[int, int], device: Device
) -> None:
    await occupy(batcher, device)
    rest = await queue(batcher, 3, 11, 2)
    device.free.set()
    assert await asyncio.gather(*rest) == [6, 22, 4]
    assert device.batches == [[1], [3], [11], [2]]


async def test_the_items_of_one_call_are_answered_in_order(
    batcher: Batcher[int, int], device: Device
) -> None:
    device.free.set()
    assert await batcher.submit_all([5, 2, 3]) == [10, 4, 6]


async def test_a_batch_holds_one_group_only(device: Device, metrics: Metrics) -> None:
    batcher = Batcher[int, int](device, 10, metrics, group=lambda item: item % 2)
    await occupy(batcher, device)
    rest = await queue(batcher, 2, 3, 4, 5)
    device.free.set()
    assert await asyncio.gather(*rest) == [4, 6, 8, 10]
    assert device.batches == [[1], [2, 4], [3, 5]]
    batcher.close()


async def test_an_item_sent_ahead_overtakes_what_waits(
    batcher: Batcher[int, int], device: Device
) -> None:
    await occupy(batcher, device)
    rest = await queue(batcher, 8)
    urgent = asyncio.create_task(batcher.submit_all([9], ahead=True))
    await asyncio.sleep(0)
    device.free.set()
    await asyncio.gather(urgent, *rest)
    assert device.batches == [[1], [9], [8]]


async def test_a_cancelled_caller_is_dropped_before_the_forward(
    batcher: Batcher[int, int], device: Device
) -> None:
    await occupy(batcher, device)
    leaving, staying = await queue(batcher, 2, 3)
    leaving.cancel()
    await asyncio.wait([leaving])
    device.free.set()
    assert await staying == 6
    assert device.batches == [[1], [3]]


async def test_an_answer_to_a_caller_that_left_is_thrown_away(
    batcher: Batcher[int, int], device: Device, caplog: pytest.LogCaptureFixture
) -> None:
    leaving = await occupy(batcher, device)
    leaving.cancel()
    await asyncio.wait([leaving])
    device.free.set()
    assert await batcher.submit(2) == 4
    assert not caplog.records


async def test_a_caller_that_leaves_a_failing_batch_is_not_tried_again(
    batcher: Batcher[int, int], device: Device
) -> None:
    await occupy(batcher, device)
    device.bad[3] = ValueError("three")
    leaving, failing = await queue(batcher, 2, 3)
    device.release_one()
    await device.at_work()
    leaving.cancel()
    await asyncio.wait([leaving])
    device.free.set()
    await causes([failing])
    assert device.batches == [[1], [2, 3], [3]]


async def test_a_failed_batch_fails_only_the_bad_item(
    batcher: Batcher[int, int], device: Device
) -> None:
    await occupy(batcher, device)
    device.bad[3] = ValueError("three")
    good, bad, also_good = await queue(batcher, 2, 3, 4)
    device.free.set()
    assert await causes([bad]) == [device.bad[3]]
    assert await asyncio.gather(good, also_good) == [4, 8]


async def test_a_failed_item_takes_the_rest_of_its_call_out_of_the_queue(
    batcher: Batcher[int, int], device: Device
) -> None:
    device.bad[9] = ValueError("nine")
    call = asyncio.create_task(batcher.submit_all([9, 8]))
    await device.at_work()
    other = asyncio.create_task(batcher.submit_all([10], ahead=True))
    await asyncio.sleep(0)
    device.release_one()
    await asyncio.wait([call])
    device.free.set()
    await other
    assert [await batcher.submit(1), device.batches] == [2, [[9], [10], [1]]]


async def test_a_wrong_number_of_results_is_a_failure(
    batcher: Batcher[int, int], device: Device
) -> None:
    device.results_missing = 1
    device.free.set()
    (cause,) = await causes(await queue(batcher, 1))
    assert isinstance(cause, ValueError)


@pytest.mark.parametrize("error", [SystemExit(1), KeyboardInterrupt()])
async def test_no_exception_in_the_model_kills_the_thread(
    batcher: Batcher[int, int], device: Device, error: BaseException
) -> None:
    device.bad[1] = error
    device.free.set()
    assert await causes(await queue(batcher, 1)) == [error]
    assert await batcher.submit(2) == 4


async def test_a_failed_batch_leaves_one_traceback_in_the_log(
    batcher: Batcher[int, int], device: Device, caplog: pytest.LogCaptureFixture
) -> None:
    await occupy(batcher, device)
    device.bad = {item: ValueError(str(item)) for item in (2, 3, 4)}
    tasks = await queue(batcher, 2, 3, 4)
    device.free.set()
    await causes(tasks)
    traced = [record for record in caplog.records if record.exc_info]
    assert [record.levelno for record in traced] == [logging.ERROR]


async def test_the_last_forward_tells_the_health(
    batcher: Batcher[int, int], device: Device
) -> None:
    device.bad[1] = ValueError("one")
    device.free.set()
    seen = [batcher.last_ok]
    await causes(await queue(batcher, 1))
    seen.append(batcher.last_ok)
    await batcher.submit(2)
    assert [*seen, batcher.last_ok] == [None, False, True]


async def test_closing_finishes_what_runs_and_fails_what_waits(
    batcher: Batcher[int, int], device: Device
) -> None:
    running = await occupy(batcher, device)
    waiting = await queue(batcher, 2, 3)
    closing = asyncio.create_task(asyncio.to_thread(batcher.close))
    await causes(waiting)
    device.free.set()
    await closing
    assert await running == 2


async def test_closing_a_hanging_device_fails_what_runs_too(
    batcher: Batcher[int, int], device: Device
) -> None:
    running = await occupy(batcher, device)
    batcher.close(grace_s=0)
    await causes([running])


async def test_a_closed_batcher_takes_no_more_items(
    batcher: Batcher[int, int],
) -> None:
    batcher.close()
    batcher.close()
    assert await causes(await queue(batcher, 1)) == [None]


async def test_callers_may_come_from_any_event_loop(
    batcher: Batcher[int, int], device: Device
) -> None:
    device.free.set()
    elsewhere = asyncio.to_thread(lambda: asyncio.run(batcher.submit(3)))
    assert await asyncio.gather(batcher.submit(2), elsewhere) == [4, 6]


def test_a_caller_whose_loop_is_closed_does_not_kill_the_thread(
    batcher: Batcher[int, int], device: Device
) -> None:
    loop = asyncio.new_event_loop()
    abandoned = batcher.submit(1)
    loop.run_until_complete(first_step(abandoned))
    loop.close()
    device.free.set()
    assert asyncio.run(batcher.submit(2)) == 4
    abandoned.close()


async def test_batch_sizes_and_stages_are_measured(
    batcher: Batcher[int, int], device: Device, metrics: Metrics
) -> None:
    first = await occupy(batcher, device)
    rest = await queue(batcher, 2, 3, 4)
    device.free.set()
    await asyncio.gather(first, *rest)
    figures = metrics.render().decode().splitlines()
    assert {
        "dinoserve_batch_images_count 2.0",
        "dinoserve_batch_images_sum 4.0",
        'dinoserve_stage_seconds_count{stage="forward"} 2.0',
        'dinoserve_stage_seconds_count{stage="wait"} 4.0',
        "dinoserve_engine_healthy 1.0",
    } <= set(figures)
