"""A device that a test can hold and break, and callers of its batcher."""

import asyncio
import threading
from collections.abc import Coroutine

from dinoserve.domain.urgency import Priority, priority
from dinoserve.engine.batcher import Batcher
from dinoserve.errors import UnavailableError


class Device:
    """Doubles integers, when it is let; has memory for so much of them at once."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.entered = threading.Semaphore(0)
        self.free = threading.Event()
        self.bad: dict[int, BaseException] = {}
        self.results_missing = 0
        self.memory = 1_000_000
        self.out_of_memory: type[BaseException] = MemoryError

    def __call__(self, items: list[int]) -> list[int]:
        self.batches.append(items)
        self.entered.release()
        assert self.free.wait(60)
        for item in items:
            if item in self.bad:
                raise self.bad[item]
        if len(items) > 1 and sum(items) > self.memory:
            raise self.out_of_memory
        return [2 * item for item in items][self.results_missing :]

    def release_one(self) -> None:
        """Let the present batch finish, and hold the next."""
        present, self.free = self.free, threading.Event()
        present.set()

    async def at_work(self) -> None:
        """Return when the next batch has begun."""
        assert await asyncio.to_thread(self.entered.acquire, timeout=60)


async def queue(
    batcher: Batcher[int, int], *items: int, who: Priority = "interactive"
) -> list[asyncio.Task[int]]:
    """Return one waiting caller per item, queued in order."""
    token = priority.set(who)
    tasks = [asyncio.create_task(batcher.submit(item)) for item in items]
    priority.reset(token)
    await asyncio.sleep(0)  # each task runs up to where it waits
    return tasks


async def occupy(batcher: Batcher[int, int], device: Device) -> asyncio.Task[int]:
    """Return the caller whose item, 1, the device is working on."""
    (task,) = await queue(batcher, 1)
    await device.at_work()
    return task


async def first_step(caller: Coroutine[object, object, int]) -> None:
    """Run a caller up to where it waits, without a task that would be missed."""
    caller.send(None)


async def causes(tasks: list[asyncio.Task[int]]) -> list[BaseException | None]:
    """Return what made each caller fail; every one must have."""
    errors = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(error, UnavailableError) for error in errors)
    return [error.__cause__ for error in errors if isinstance(error, UnavailableError)]
