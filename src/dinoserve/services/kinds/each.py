"""Doing many items side by side: one that fails hurts only itself."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from dinoserve.domain.jobs import Failure, Outcome
from dinoserve.domain.urgency import priority
from dinoserve.errors import DinoserveError, OverloadedError, UnavailableError

_MAX_TOLD = 300


async def each(
    items: Sequence[str], work: Callable[[str], Awaitable[object]], at_once: int
) -> Outcome:
    """Do every item, as bulk: interactive requests go first.

    An item that cannot be done is a failure with the code of its error. While the
    engine is full, items wait.

    Args:
        items: each is done once.
        work: does one item.
        at_once: so many side by side, e.g. two batches of the engine.

    Raises:
        UnavailableError: something that every item needs does not answer.
    """
    turns = asyncio.Semaphore(at_once)

    async def one(item: str) -> Failure | None:
        async with turns:
            return await _tried(item, work)

    token = priority.set("bulk")
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(item)) for item in items]
    except* UnavailableError as errors:
        raise errors.exceptions[0] from errors  # the first says enough
    finally:
        priority.reset(token)
    failures = tuple(failure for task in tasks if (failure := task.result()))
    return Outcome(len(items) - len(failures), failures)


async def _tried(item: str, work: Callable[[str], Awaitable[object]]) -> Failure | None:
    while True:
        try:
            await work(item)
        except OverloadedError as error:
            await asyncio.sleep(error.retry_after_s)
        except UnavailableError:
            raise
        except DinoserveError as error:
            return Failure(item, error.code, error.detail[:_MAX_TOLD])
        else:
            return None
