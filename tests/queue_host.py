"""A process that keeps the queue's own server: `python queue_host.py FOLDER BINARY`.

It tells `ready`, answers each line it is given with the number of messages that wait,
after it has sent one more, and ends when its input does.
"""

import asyncio
import sys
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from dinoserve.adapters.redis_queue import RedisQueue
from dinoserve.adapters.valkey_child import shared_server
from dinoserve.domain.jobs import Message
from dinoserve.errors import UnavailableError
from dinoserve.telemetry import Metrics


async def send_one(queue: RedisQueue, number: int) -> int:
    """Send until it was taken; return how many wait."""
    while True:
        with suppress(UnavailableError):
            message = Message("embed", "0123456789abcdef" * 2, number, 0)
            await queue.send([(message, datetime.now(UTC))])
            return sum((await queue.lengths()).values())
        await asyncio.sleep(0.02)


async def main(folder: Path, binary: str) -> None:
    async with (
        shared_server(folder, binary) as url,
        RedisQueue.open(url, Metrics()) as queue,
    ):
        print("ready", flush=True)  # noqa: T201 - read by the test
        while line := await asyncio.to_thread(sys.stdin.readline):
            print(await send_one(queue, int(line)), flush=True)  # noqa: T201 - read by the test


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
