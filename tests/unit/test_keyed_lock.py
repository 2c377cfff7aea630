"""One key in turn, other keys at once, and nothing kept afterwards."""

import asyncio

from dinoserve.services.keyed_lock import KeyedLock


async def test_work_on_one_key_is_done_in_turn() -> None:
    lock, order = KeyedLock(), list[str]()
    release = asyncio.Event()

    async def first() -> None:
        async with lock("a"):
            order.append("first begins")
            await release.wait()
            order.append("first ends")

    async def second() -> None:
        async with lock("a"):
            order.append("second")

    tasks = [asyncio.create_task(first()), asyncio.create_task(second())]
    await asyncio.sleep(0)
    release.set()
    await asyncio.gather(*tasks)

    assert order == ["first begins", "first ends", "second"]


async def test_other_keys_pass() -> None:
    lock = KeyedLock()

    async with lock("a"), asyncio.timeout(1), lock("b"):
        pass


async def test_a_cancelled_waiter_leaves_nothing_behind() -> None:
    lock = KeyedLock()

    async with lock("a"):
        waiter = asyncio.create_task(lock("a").__aenter__())
        await asyncio.sleep(0)
        waiter.cancel()
        await asyncio.gather(waiter, return_exceptions=True)

    assert lock._locks == {}  # pyright: ignore[reportPrivateUsage] - what is kept is not shown elsewhere
