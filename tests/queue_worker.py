"""A worker in a process of its own that tells every message it gets, one a line.

Run it as `python queue_worker.py URL LEASE_S`; after each message it waits for ever.
"""

import asyncio
import sys

from dinoserve.adapters.redis_queue import RedisQueue
from dinoserve.domain.jobs import Message, Patience
from dinoserve.telemetry import Metrics


async def hold(message: Message) -> None:
    print(message.key, flush=True)  # noqa: T201 - read by the test
    await asyncio.Event().wait()


async def main(url: str, lease_s: float) -> None:
    patience = Patience(lease_s=lease_s)
    async with (
        RedisQueue.open(url, Metrics(), patience) as queue,
        queue.serve(["embed"], hold, 1),
    ):
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], float(sys.argv[2])))
