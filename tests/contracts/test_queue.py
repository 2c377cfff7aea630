"""What every queue must do, in this process or shared."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest

from dinoserve.domain.jobs import FINISH, Message
from dinoserve.ports import JobQueue

JOB = "0123456789abcdef" * 2
FIRST = Message("embed", JOB, 1, 0)
SECOND = Message("embed", JOB, 2, 0)
THIRD = Message("embed", JOB, 3, 0)
OTHER_KIND = Message("quality", JOB, 1, 0)


class Hands:
    """A handler that tells what came, and holds it while it is told to."""

    def __init__(self) -> None:
        self.came: list[Message] = []
        self.cancelled: list[Message] = []
        self.at_work = 0
        self.most_at_work = 0
        self.may_end = asyncio.Event()
        self.may_end.set()
        self._news = asyncio.Condition()

    async def __call__(self, message: Message) -> None:
        self.came.append(message)
        self.at_work += 1
        self.most_at_work = max(self.at_work, self.most_at_work)
        async with self._news:
            self._news.notify_all()
        try:
            await self.may_end.wait()
        except asyncio.CancelledError:
            self.cancelled.append(message)
            raise
        finally:
            self.at_work -= 1

    async def got(self, count: int) -> None:
        """Return when so many messages have come; sooner than a lease ends."""
        async with asyncio.timeout(10), self._news:
            await self._news.wait_for(lambda: len(self.came) >= count)


async def send(queue: JobQueue, *messages: Message, in_s: float = 0) -> None:
    at = datetime.now(UTC) + timedelta(seconds=in_s)
    await queue.send([(message, at) for message in messages])


@asynccontextmanager
async def at_work(
    queue: JobQueue, hands: Hands, *kinds: str, slots: int = 4
) -> AsyncGenerator[None]:
    async with queue.serve(kinds or ["embed", "quality"], hands, slots):
        yield


async def test_a_message_comes_as_it_was_sent(queue: JobQueue) -> None:
    hands = Hands()
    finish = Message("embed", JOB, FINISH, 7)
    async with at_work(queue, hands):
        await send(queue, finish)
        await hands.got(1)

    assert hands.came == [finish]


async def test_a_message_waits_for_a_worker(queue: JobQueue) -> None:
    hands = Hands()
    await send(queue, FIRST)

    async with at_work(queue, hands):
        await hands.got(1)

    assert hands.came == [FIRST]


async def test_nothing_sent_is_nothing_brought(queue: JobQueue) -> None:
    await queue.send([])

    assert await queue.lengths() == {}


async def test_many_messages_of_several_kinds_all_come(queue: JobQueue) -> None:
    hands = Hands()
    many = [Message(kind, JOB, n, 0) for n in range(100) for kind in ("embed", "graph")]
    async with at_work(queue, hands, "embed", "graph"):
        await send(queue, *many)
        await hands.got(len(many))

    assert sorted(hands.came) == sorted(many)


async def test_a_message_does_not_come_before_its_time(queue: JobQueue) -> None:
    hands = Hands()
    async with at_work(queue, hands):
        begun = datetime.now(UTC)
        await send(queue, FIRST, in_s=0.5)
        await send(queue, SECOND)
        await hands.got(2)

    assert hands.came == [SECOND, FIRST]
    assert datetime.now(UTC) - begun >= timedelta(seconds=0.5)


async def test_a_message_that_waits_is_not_sent_twice(queue: JobQueue) -> None:
    hands = Hands()
    await send(queue, FIRST, FIRST)
    await send(queue, FIRST)

    async with at_work(queue, hands, slots=1):
        await send(queue, SECOND)
        await hands.got(2)

    assert hands.came == [FIRST, SECOND]


async def test_a_message_for_later_is_not_sent_twice(queue: JobQueue) -> None:
    await send(queue, FIRST, in_s=60)
    await send(queue, FIRST)

    assert await queue.lengths() == {"embed": 1}


async def test_a_message_that_is_worked_on_is_not_sent_twice(queue: JobQueue) -> None:
    hands = Hands()
    hands.may_end.clear()
    async with at_work(queue, hands, slots=1):
        await send(queue, FIRST)
        await hands.got(1)
        await send(queue, FIRST, SECOND)
        hands.may_end.set()
        await hands.got(2)

    assert hands.came == [FIRST, SECOND]


async def test_another_start_of_a_chunk_is_another_message(queue: JobQueue) -> None:
    again = FIRST._replace(start=1)
    await send(queue, FIRST, again)

    assert await queue.lengths() == {"embed": 2}


async def test_a_worker_gets_only_the_kinds_it_serves(queue: JobQueue) -> None:
    hands = Hands()
    await send(queue, OTHER_KIND, FIRST)

    async with at_work(queue, hands, "embed"):
        await hands.got(1)
        await send(queue, SECOND)
        await hands.got(2)

    assert hands.came == [FIRST, SECOND]
    assert await queue.lengths() == {"quality": 1}


async def test_two_workers_share_the_messages(queue: JobQueue) -> None:
    one, two = Hands(), Hands()
    for hands in (one, two):
        hands.may_end.clear()
    async with at_work(queue, one, slots=1), at_work(queue, two, slots=1):
        await send(queue, FIRST, SECOND)
        await one.got(1)
        await two.got(1)

    assert sorted([*one.came, *two.came]) == [FIRST, SECOND]


async def test_no_more_are_worked_on_than_there_are_slots(queue: JobQueue) -> None:
    hands = Hands()
    hands.may_end.clear()
    await send(queue, FIRST, SECOND, THIRD, OTHER_KIND)

    async with at_work(queue, hands, slots=2):
        await hands.got(2)
        await send(queue, OTHER_KIND._replace(number=2))
        hands.may_end.set()
        await hands.got(5)

    assert hands.most_at_work == 2


async def test_a_message_that_finds_no_slot_waits_for_one(queue: JobQueue) -> None:
    hands, others = Hands(), Hands()
    async with at_work(queue, hands, slots=1):
        await send(queue, SECOND, OTHER_KIND._replace(number=2))
        await hands.got(2)
        hands.may_end.clear()
        await send(queue, FIRST)
        await hands.got(3)
        await send(queue, OTHER_KIND)
        async with at_work(queue, others, "graph"):
            await send(queue, FIRST._replace(kind="graph"))
            await others.got(1)
        hands.may_end.set()
        await hands.got(4)

    assert hands.came[2:] == [FIRST, OTHER_KIND]
    assert hands.most_at_work == 1


async def test_at_the_end_those_begun_are_cancelled_and_gone(queue: JobQueue) -> None:
    hands = Hands()
    hands.may_end.clear()
    await send(queue, FIRST)

    async with at_work(queue, hands):
        await hands.got(1)

    assert hands.cancelled == [FIRST]
    assert await queue.lengths() == {}


async def test_at_the_end_those_not_begun_stay(queue: JobQueue) -> None:
    hands, later = Hands(), Hands()
    hands.may_end.clear()
    await send(queue, FIRST, SECOND)
    async with at_work(queue, hands, slots=1):
        await hands.got(1)

    async with at_work(queue, later):
        await later.got(1)

    assert hands.came == [FIRST]
    assert later.came == [SECOND]


async def test_workers_that_come_and_go_lose_nothing(queue: JobQueue) -> None:
    hands = Hands()
    many = {Message("embed", JOB, number, 0) for number in range(40)}
    await send(queue, *many)

    for so_far in range(1, 5):
        async with at_work(queue, hands, slots=2):
            await hands.got(so_far)
    async with at_work(queue, hands):
        await hands.got(len(many))

    assert set(hands.came) == many


async def test_a_handler_that_fails_hurts_no_other(
    queue: JobQueue, caplog: pytest.LogCaptureFixture
) -> None:
    hands = Hands()

    async def fail_first(message: Message) -> None:
        await hands(message)
        if message == FIRST:
            raise ValueError("a fault of the first")

    await send(queue, FIRST)
    async with queue.serve(["embed"], fail_first, 1):
        await hands.got(1)
        await send(queue, SECOND)
        await hands.got(2)

    assert hands.came == [FIRST, SECOND]
    assert "a fault of the first" in caplog.text


async def test_what_is_done_may_be_sent_again(queue: JobQueue) -> None:
    hands = Hands()
    async with at_work(queue, hands, slots=1):
        await send(queue, FIRST)
        await hands.got(1)
        await send(queue, SECOND)
        await hands.got(2)
        await send(queue, FIRST)
        await hands.got(3)

    assert hands.came == [FIRST, SECOND, FIRST]


async def test_lengths_count_what_waits_and_what_is_worked_on(queue: JobQueue) -> None:
    hands = Hands()
    hands.may_end.clear()
    async with at_work(queue, hands, slots=1):
        await send(queue, FIRST)
        await hands.got(1)
        await send(queue, SECOND)
        await send(queue, THIRD, OTHER_KIND, in_s=60)

        assert await queue.lengths() == {"embed": 3, "quality": 1}


async def test_a_queue_tells_what_it_is(queue: JobQueue) -> None:
    assert (await queue.ping()).startswith(("memory", "Redis", "Valkey"))
