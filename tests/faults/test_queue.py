"""Redis and workers that die, freeze and forget, and what others leave in Redis."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from dinoserve.adapters.redis_queue import RedisQueue
from dinoserve.adapters.redis_queue.lanes import KINDS, lane
from dinoserve.domain.jobs import Message, Patience
from dinoserve.errors import UnavailableError
from dinoserve.telemetry import Metrics
from redis_server import RedisServer

pytestmark = pytest.mark.needs("redis")

JOB = "0123456789abcdef" * 2
LEASE_S = 1.0
WORKER = Path(__file__).parents[1] / "queue_worker.py"


def chunk(number: int) -> Message:
    return Message("embed", JOB, number, 0)


async def send(queue: RedisQueue, *messages: Message, in_s: float = 0) -> None:
    at = datetime.now(UTC) + timedelta(seconds=in_s)
    await queue.send([(message, at) for message in messages])


class Done:
    """A handler that counts."""

    def __init__(self, each_s: float = 0) -> None:
        self.messages: list[Message] = []
        self._each_s = each_s
        self._news = asyncio.Condition()

    async def __call__(self, message: Message) -> None:
        await asyncio.sleep(self._each_s)
        async with self._news:
            self.messages.append(message)
            self._news.notify_all()

    async def has(self, *messages: Message) -> None:
        """Return when each of them has come."""
        async with asyncio.timeout(40), self._news:
            await self._news.wait_for(lambda: set(messages) <= set(self.messages))


async def send_until_done(queue: RedisQueue, done: Done) -> None:
    """Send a message until it comes; no event tells that Redis was mended."""
    async with asyncio.timeout(20):
        while not done.messages:
            with suppress(UnavailableError):
                await send(queue, chunk(1))
            await asyncio.sleep(0.05)


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    server = RedisServer("--appendonly", "yes", "--appendfsync", "always").start()
    yield server
    server.remove()


@pytest.fixture
async def queue(redis: RedisServer) -> AsyncIterator[RedisQueue]:
    patience = Patience(lease_s=LEASE_S)
    async with RedisQueue.open(redis.url, Metrics(), patience) as queue:
        yield queue


async def test_a_redis_that_is_killed_and_restarted_loses_no_message(
    redis: RedisServer, queue: RedisQueue
) -> None:
    done = Done(each_s=0.005)
    many = [chunk(number) for number in range(400)]
    await send(queue, *many)

    async with queue.serve(["embed"], done, 4):
        await done.has(chunk(40))
        await asyncio.to_thread(redis.kill)
        await asyncio.to_thread(redis.start)
        await done.has(*many)


async def test_an_emptied_redis_does_not_stop_the_worker(
    redis: RedisServer, queue: RedisQueue
) -> None:
    done = Done(each_s=0.005)
    await send(queue, *(chunk(number) for number in range(100)))

    async with queue.serve(["embed"], done, 4):
        await done.has(chunk(10))
        with redis.client() as other:
            cast("Any", other).flushall()
        await send(queue, chunk(1000))
        await done.has(chunk(1000))


async def test_a_frozen_redis_does_not_stop_the_worker(
    redis: RedisServer, queue: RedisQueue
) -> None:
    done = Done()
    async with queue.serve(["embed"], done, 4):
        await send(queue, chunk(1))
        await done.has(chunk(1))
        redis.freeze()
        with pytest.raises(UnavailableError):
            await send(queue, chunk(2))
        redis.thaw()
        await send(queue, chunk(3))
        await done.has(chunk(3))


async def test_a_worker_stops_while_redis_is_frozen(
    redis: RedisServer, queue: RedisQueue
) -> None:
    done = Done()
    async with asyncio.timeout(20):
        async with queue.serve(["embed"], done, 4):
            await send(queue, chunk(1))
            await done.has(chunk(1))
            redis.freeze()
    redis.thaw()


async def test_sending_to_a_redis_that_is_away_is_told(
    redis: RedisServer, queue: RedisQueue
) -> None:
    redis.kill()

    with pytest.raises(UnavailableError) as caught:
        await send(queue, chunk(1))

    assert caught.value.port == "queue"


async def test_a_worker_may_start_before_redis(redis: RedisServer) -> None:
    redis.kill()
    done = Done()
    async with (
        RedisQueue.open(redis.url, Metrics()) as queue,
        queue.serve(["embed"], done, 1),
    ):
        await asyncio.to_thread(redis.start)
        await send(queue, chunk(1))

        await done.has(chunk(1))


async def test_whether_redis_answers_is_a_figure_and_told_once(
    redis: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    metrics = Metrics()
    async with RedisQueue.open(redis.url, metrics) as queue:
        assert b"dinoserve_queue_up 1.0" in metrics.render()
        redis.kill()
        for _ in range(2):
            with suppress(UnavailableError):
                await queue.ping()

        assert b"dinoserve_queue_up 0.0" in metrics.render()
    assert caplog.text.count("the queue does not answer") == 1


@pytest.mark.parametrize("death", [signal.SIGKILL, signal.SIGSTOP])
async def test_the_message_of_a_worker_that_is_gone_comes_to_another(
    redis: RedisServer, queue: RedisQueue, death: signal.Signals
) -> None:
    done = Done()
    worker = await asyncio.create_subprocess_exec(
        *(sys.executable, WORKER, redis.url, str(LEASE_S)), stdout=subprocess.PIPE
    )
    try:
        await send(queue, chunk(1))
        assert worker.stdout
        line = await worker.stdout.readline()
        assert line.decode().strip() == chunk(1).key
        worker.send_signal(death)

        async with queue.serve(["embed"], done, 1):
            await done.has(chunk(1))
    finally:
        with suppress(ProcessLookupError):
            worker.kill()
        await worker.communicate()


async def test_a_worker_that_lives_keeps_its_message_beyond_the_lease(
    queue: RedisQueue,
) -> None:
    slow, other = Done(each_s=3 * LEASE_S), Done()
    async with queue.serve(["embed"], slow, 1):
        await send(queue, chunk(1))
        async with queue.serve(["embed"], other, 1):
            await slow.has(chunk(1))

    assert len(slow.messages) + len(other.messages) == 1


GARBAGE: dict[str, bytes] = {
    "no key": b"",
    "a key that is none": b"../../etc",
    "a key with a huge number": f"{JOB}.{10**30}.0".encode(),
    "bytes for a key": b"\xff\xfe",
    "a large value": b"x" * 1_000_000,
}


@pytest.mark.parametrize("what", list(GARBAGE))
async def test_garbage_in_a_lane_is_erased_and_hurts_no_message(
    redis: RedisServer, queue: RedisQueue, what: str
) -> None:
    done = Done()
    with redis.client() as other:
        cast("Any", other).zadd(lane("embed"), {GARBAGE[what]: 1})
    await send(queue, chunk(1))

    async with queue.serve(["embed"], done, 1):
        await done.has(chunk(1))

    assert done.messages == [chunk(1)]
    assert await queue.lengths() == {}


@pytest.mark.parametrize("time", ["-inf", "inf", 1e300])
async def test_a_message_at_an_impossible_time_holds_up_no_other(
    redis: RedisServer, queue: RedisQueue, time: float
) -> None:
    done = Done()
    with redis.client() as other:
        cast("Any", other).zadd(lane("embed"), {chunk(2).key: time})
    await send(queue, chunk(1))

    async with queue.serve(["embed"], done, 1):
        await done.has(chunk(1))


@pytest.mark.parametrize("key", [lane("embed"), KINDS])
async def test_a_key_of_ours_that_holds_something_else_is_mended(
    redis: RedisServer, queue: RedisQueue, key: str
) -> None:
    done = Done()
    with redis.client() as other:
        cast("Any", other).set(key, "garbage")

    async with queue.serve(["embed"], done, 1):
        await send_until_done(queue, done)


async def test_a_worker_ends_at_once_however_early_it_is_told_to(
    queue: RedisQueue,
) -> None:
    done = Done()
    async with asyncio.timeout(20):
        for turns in range(100):
            async with queue.serve(["embed", "erase", "ingest"], done, 2):
                for _ in range(turns % 20):
                    await asyncio.sleep(0)


async def test_a_message_that_is_taken_while_the_worker_ends_is_not_lost(
    queue: RedisQueue,
) -> None:
    begun: set[Message] = set()

    async def begin(message: Message) -> None:
        begun.add(message)

    many = {chunk(number) for number in range(100)}
    await send(queue, *many)
    for turns in range(30):
        async with queue.serve(["embed"], begin, 2):
            for _ in range(turns):
                await asyncio.sleep(0)

    left = (await queue.lengths()).get("embed", 0)
    assert len(begun) + left >= len(many)


async def test_a_call_that_is_cancelled_ends_however_early_it_is(
    redis: RedisServer,
) -> None:
    for turns in range(40):
        async with RedisQueue.open(redis.url, Metrics()) as queue:
            call = asyncio.create_task(queue.ping())
            for _ in range(turns % 8):
                await asyncio.sleep(0)
            was_done = call.done()
            call.cancel()
            await asyncio.wait([call])

            assert was_done or call.cancelled()
