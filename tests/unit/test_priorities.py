import asyncio
from collections.abc import Iterator

import pytest

from dinoserve.domain.urgency import priority
from dinoserve.engine.admission import Admission
from dinoserve.engine.batcher import Batcher
from dinoserve.engine.line import BULK_TURN
from dinoserve.errors import InvalidInputError, OverloadedError
from dinoserve.ports import EngineLoad
from dinoserve.telemetry import Metrics
from held_device import Device, occupy, queue


@pytest.fixture
def device() -> Device:
    return Device()


@pytest.fixture
def batcher(device: Device) -> Iterator[Batcher[int, int]]:
    """Batches cost ten at most; hundreds are the group, the rest is the cost."""
    batcher = Batcher[int, int](
        device, 10, Metrics(), lambda item: item % 100, lambda item: item // 100
    )
    yield batcher
    device.free.set()
    batcher.close()


async def test_interactive_overtakes_bulk(
    batcher: Batcher[int, int], device: Device
) -> None:
    await occupy(batcher, device)
    slow = await queue(batcher, 10, 9, who="bulk")
    fast = await queue(batcher, 8, 7)
    device.free.set()
    await asyncio.gather(*slow, *fast)
    assert device.batches == [[1], [8], [7], [10], [9]]


async def test_while_bulk_waits_it_has_every_fourth_batch(
    batcher: Batcher[int, int], device: Device
) -> None:
    await occupy(batcher, device)
    slow = await queue(batcher, 110, 110, who="bulk")
    fast = await queue(batcher, *[10] * 7)
    device.free.set()
    await asyncio.gather(*slow, *fast)
    turns = [at for at, batch in enumerate(device.batches) if batch == [110]]
    assert turns == [BULK_TURN, 2 * BULK_TURN]


async def test_bulk_that_comes_late_has_no_turn_saved_up(
    batcher: Batcher[int, int], device: Device
) -> None:
    await occupy(batcher, device)
    early = await queue(batcher, *[10] * 5)
    for _ in range(5):
        device.release_one()
        await device.at_work()
    fast = await queue(batcher, 9)
    slow = await queue(batcher, 110, who="bulk")
    device.free.set()
    await asyncio.gather(*early, *fast, *slow)
    assert device.batches[-2:] == [[9], [110]]


async def test_bulk_makes_no_interactive_batch_longer(
    batcher: Batcher[int, int], device: Device
) -> None:
    await occupy(batcher, device)
    slow = await queue(batcher, 2, 4, who="bulk")
    fast = await queue(batcher, 1, 3)
    device.free.set()
    await asyncio.gather(*slow, *fast)
    assert device.batches == [[1], [1, 3], [2, 4]]


async def test_interactive_fills_the_room_that_bulk_leaves_on_its_turn(
    batcher: Batcher[int, int], device: Device
) -> None:
    await occupy(batcher, device)
    slow = await queue(batcher, 107, who="bulk")
    fast = await queue(batcher, 10, 10, 10, 9, 102)
    device.free.set()
    await asyncio.gather(*slow, *fast)
    assert device.batches == [[1], [10], [10], [10], [107, 102], [9]]


async def test_the_first_in_line_takes_its_group_along_from_farther_back(
    batcher: Batcher[int, int], device: Device
) -> None:
    await occupy(batcher, device)
    tasks = await queue(batcher, 101, 2, 103, 4)
    device.free.set()
    await asyncio.gather(*tasks)
    assert device.batches == [[1], [101, 103], [2, 4]]


async def test_items_sent_ahead_together_keep_their_order(
    batcher: Batcher[int, int], device: Device
) -> None:
    await occupy(batcher, device)
    rest = await queue(batcher, 10)
    urgent = asyncio.create_task(batcher.submit_all([9, 8], ahead=True))
    await asyncio.sleep(0)
    device.free.set()
    await asyncio.gather(urgent, *rest)
    assert device.batches == [[1], [9], [8], [10]]


async def test_a_dear_item_drags_none_of_the_cheap_ones_along(
    batcher: Batcher[int, int], device: Device
) -> None:
    await occupy(batcher, device)
    tasks = await queue(batcher, 2, 150, 3, 4)
    device.free.set()
    await asyncio.gather(*tasks)
    assert device.batches == [[1], [2, 3, 4], [150]]


@pytest.fixture
def admission(metrics: Metrics) -> Admission:
    return Admission(8, metrics)


@pytest.fixture
def in_bulk() -> Iterator[None]:
    token = priority.set("bulk")
    yield
    priority.reset(token)


@pytest.mark.usefixtures("in_bulk")
def test_bulk_may_hold_three_quarters_of_the_permits(admission: Admission) -> None:
    with admission.hold(6), pytest.raises(OverloadedError), admission.hold(1):
        pass


@pytest.mark.usefixtures("in_bulk")
def test_bulk_leaves_room_for_others(admission: Admission) -> None:
    with admission.hold(6):
        priority.set("interactive")
        with admission.hold(2):
            assert admission.load().waiting == 8


def test_interactive_may_hold_every_permit(admission: Admission) -> None:
    with admission.hold(8):
        assert admission.load().waiting == 8


def test_what_others_hold_is_not_of_the_share_of_bulk(admission: Admission) -> None:
    with admission.hold(5):
        token = priority.set("bulk")
        with admission.hold(3):
            assert admission.load().bulk == 3
        priority.reset(token)


def test_bulk_is_refused_when_others_hold_every_permit(admission: Admission) -> None:
    with admission.hold(8):
        token = priority.set("bulk")
        with pytest.raises(OverloadedError), admission.hold(1):
            pass
        priority.reset(token)


@pytest.mark.usefixtures("in_bulk")
def test_a_bulk_call_larger_than_its_share_can_never_be_served(
    admission: Admission,
) -> None:
    with pytest.raises(InvalidInputError) as caught, admission.hold(7):
        pass
    assert caught.value.extra == {"field": "images", "limit": 6, "value": 7}


@pytest.mark.usefixtures("in_bulk")
def test_of_a_single_permit_bulk_may_hold_it(metrics: Metrics) -> None:
    with Admission(1, metrics).hold(1):
        pass


def test_an_idle_engine_has_nobody_waiting(admission: Admission) -> None:
    with admission.hold(2):
        pass
    assert admission.load() == EngineLoad(0, 8, bulk=0, oldest_s=0)


@pytest.mark.usefixtures("in_bulk")
def test_the_load_tells_bulk_apart(admission: Admission) -> None:
    with admission.hold(2):
        priority.set("interactive")
        with admission.hold(3):
            load = admission.load()
    assert (load.waiting, load.bulk) == (5, 2)


def test_the_oldest_that_waits_tells_its_age(admission: Admission) -> None:
    with admission.hold(1):
        before = admission.load().oldest_s
        with admission.hold(1):
            assert admission.load().oldest_s > before > 0


def test_figures_are_taken_when_they_are_asked_for(
    admission: Admission, metrics: Metrics
) -> None:
    with admission.hold(3):
        lines = metrics.render().decode().splitlines()
    assert {
        "dinoserve_engine_waiting_images 3.0",
        "dinoserve_engine_waiting_bulk_images 0.0",
    } <= set(lines)
    (oldest,) = [one for one in lines if one.startswith("dinoserve_engine_oldest_s")]
    assert float(oldest.split()[1]) > 0
