"""The cache in this process: what gives way, and what it tells about itself."""

from dinoserve.adapters.memory_cache import MemoryCache
from dinoserve.ports import Entry, Slot
from dinoserve.telemetry import Metrics

ROOM = 10_000
VALUE = b"x" * 2_500  # three of them fit, with what Python needs beside them
A, B, C, D = (Slot("vector", name) for name in "abcd")


async def keep(cache: MemoryCache, *slots: Slot, value: bytes = VALUE) -> None:
    for each in slots:
        [seen] = await cache.read([each])
        if seen.ticket is not None:
            await cache.write([Entry(each, value, seen.ticket, 60)])


async def kept(cache: MemoryCache, *slots: Slot) -> list[bool]:
    return [seen.value is not None for seen in await cache.read(slots)]


def shown(metrics: Metrics, figure: str) -> float:
    lines = metrics.render().decode().splitlines()
    [value] = [line.split()[-1] for line in lines if line.startswith(figure)]
    return float(value)


async def test_the_least_recently_used_gives_way() -> None:
    cache = MemoryCache(ROOM, Metrics())
    await keep(cache, A, B, C)
    await cache.read([A])

    await keep(cache, D)

    assert await kept(cache, A, B, C, D) == [True, False, True, True]


async def test_what_gave_way_is_counted() -> None:
    metrics = Metrics()

    await keep(MemoryCache(ROOM, metrics), A, B, C, D)

    assert shown(metrics, 'dinoserve_cache_evictions_total{kind="vector"}') == 1


async def test_bytes_are_told_and_gone_when_erased() -> None:
    metrics = Metrics()
    cache = MemoryCache(ROOM, metrics)
    await keep(cache, A, B)
    full = shown(metrics, 'dinoserve_cache_bytes{kind="vector"}')

    await cache.erase(["a", "b"])

    assert 2 * len(VALUE) < full <= ROOM
    assert shown(metrics, 'dinoserve_cache_bytes{kind="vector"}') == 0


async def test_a_replaced_value_is_weighed_once() -> None:
    metrics = Metrics()
    cache = MemoryCache(ROOM, metrics)

    await keep(cache, *[A] * 20)

    assert shown(metrics, 'dinoserve_cache_bytes{kind="vector"}') < 2 * len(VALUE)


async def test_a_value_greater_than_the_cache_drives_nothing_out() -> None:
    cache = MemoryCache(ROOM, Metrics())
    await keep(cache, A)

    await keep(cache, B, value=b"x" * ROOM)

    assert await kept(cache, A, B) == [True, False]


async def test_a_cache_of_no_bytes_keeps_nothing() -> None:
    cache = MemoryCache(0, Metrics())

    await keep(cache, A)

    [seen] = await cache.read([A])
    assert (seen.value, seen.ticket) == (None, None)


async def test_a_ticket_older_than_every_erasure_remembered_is_refused() -> None:
    cache = MemoryCache(ROOM, Metrics())
    [seen] = await cache.read([A])
    assert seen.ticket is not None
    await cache.erase([A.owner])
    await cache.erase([str(number) for number in range(20_000)])

    await cache.write([Entry(A, VALUE, seen.ticket, 60)])

    assert await kept(cache, A) == [False]


async def test_a_value_expires_by_the_clock() -> None:
    now = 0.0
    cache = MemoryCache(ROOM, Metrics(), now=lambda: now)
    await keep(cache, A)

    now = 59.9
    assert await kept(cache, A) == [True]
    now = 60.0
    assert await kept(cache, A) == [False]


async def test_a_cleared_cache_forgets_what_is_being_made_as_well() -> None:
    cache = MemoryCache(ROOM, Metrics())
    await keep(cache, A)
    [being_made] = await cache.read([B])
    assert being_made.ticket is not None

    await cache.clear()
    await cache.write([Entry(B, VALUE, being_made.ticket, 60)])
    await keep(cache, C)

    assert await kept(cache, A, B, C) == [False, False, True]
