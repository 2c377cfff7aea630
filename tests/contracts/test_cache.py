"""What every cache must do, in this process or shared."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from dinoserve.ports import Cache, Entry, Seen, Slot

VECTOR = Slot("vector", "a1", "r1")
OTHER_RECIPE = Slot("vector", "a1", "r2")
OTHER_OWNER = Slot("vector", "a2", "r1")
BYTES = bytes(range(256))


async def look(cache: Cache, slot: Slot = VECTOR) -> Seen:
    [seen] = await cache.read([slot])
    return seen


async def ticket(cache: Cache, slot: Slot = VECTOR) -> str:
    seen = await look(cache, slot)
    assert seen.ticket is not None
    return seen.ticket


async def keep(
    cache: Cache, value: bytes, slot: Slot = VECTOR, ttl_s: float = 60
) -> None:
    await cache.write([Entry(slot, value, await ticket(cache, slot), ttl_s)])


async def until(is_so: Callable[[], Awaitable[bool]]) -> None:
    """Return once it is so, as seen from outside; no event tells of it."""
    async with asyncio.timeout(10):
        while not await is_so():  # noqa: ASYNC110 - Redis tells nobody that time passed
            await asyncio.sleep(0.001)


async def is_gone(cache: Cache) -> bool:
    return (await look(cache)).value is None


async def test_a_slot_never_written_is_a_miss(cache: Cache) -> None:
    assert (await look(cache)).value is None


@pytest.mark.parametrize("value", [b"x", BYTES, b"\0" * 100_000])
async def test_a_value_comes_back_byte_for_byte(cache: Cache, value: bytes) -> None:
    await keep(cache, value)

    assert (await look(cache)).value == value


async def test_an_empty_value_is_no_miss(cache: Cache) -> None:
    await keep(cache, b"")

    assert (await look(cache)).value == b""


async def test_a_later_value_replaces_the_earlier(cache: Cache) -> None:
    await keep(cache, b"first")
    await keep(cache, b"second")

    assert (await look(cache)).value == b"second"


@pytest.mark.parametrize(
    "other", [OTHER_RECIPE, OTHER_OWNER, Slot("image", "a1", "r1")]
)
async def test_another_kind_owner_or_name_is_another_value(
    cache: Cache, other: Slot
) -> None:
    await keep(cache, b"mine")

    assert (await look(cache, other)).value is None


async def test_a_batch_is_answered_in_order_with_gaps_and_repeats(cache: Cache) -> None:
    await keep(cache, b"one", OTHER_RECIPE)
    await keep(cache, b"two", OTHER_OWNER)

    seen = await cache.read([OTHER_OWNER, VECTOR, OTHER_RECIPE, OTHER_OWNER])

    assert [each.value for each in seen] == [b"two", None, b"one", b"two"]


async def test_a_value_is_forgotten_when_its_time_is_over(cache: Cache) -> None:
    await keep(cache, b"short", ttl_s=0.001)

    await until(lambda: is_gone(cache))


async def test_a_lasting_value_outlives_a_short_one_of_its_owner(cache: Cache) -> None:
    await keep(cache, b"lasting", OTHER_RECIPE)
    await keep(cache, b"short", ttl_s=0.001)
    await until(lambda: is_gone(cache))

    assert (await look(cache, OTHER_RECIPE)).value == b"lasting"


async def test_erasing_an_owner_forgets_all_of_it_and_nothing_else(
    cache: Cache,
) -> None:
    for slot in (VECTOR, OTHER_RECIPE, OTHER_OWNER):
        await keep(cache, b"x", slot)

    await cache.erase(["a1"])

    seen = await cache.read([VECTOR, OTHER_RECIPE, OTHER_OWNER])
    assert [each.value for each in seen] == [None, None, b"x"]


async def test_what_was_begun_before_an_erasure_is_not_kept(cache: Cache) -> None:
    before = await ticket(cache)
    await cache.erase(["a1"])

    await cache.write([Entry(VECTOR, b"old", before, 60)])

    assert (await look(cache)).value is None


async def test_what_was_begun_before_an_erasure_is_not_kept_after_a_new_read(
    cache: Cache,
) -> None:
    before = await ticket(cache)
    await cache.erase(["a1"])
    after = await ticket(cache)

    await cache.write([Entry(VECTOR, b"new", after, 60)])
    await cache.write([Entry(VECTOR, b"old", before, 60)])

    assert (await look(cache)).value == b"new"


async def test_erasing_what_was_never_there_is_no_error(cache: Cache) -> None:
    await cache.erase(["nobody"])
    await cache.erase([])

    assert (await look(cache)).value is None


async def test_only_one_may_claim_a_value(cache: Cache) -> None:
    tokens = [await cache.claim(VECTOR, 60) for _ in range(3)]

    assert tokens[0] is not None
    assert tokens[1:] == [None, None]


async def test_a_released_claim_can_be_had_again(cache: Cache) -> None:
    token = await cache.claim(VECTOR, 60)
    assert token is not None
    await cache.release(VECTOR, token)

    assert await cache.claim(VECTOR, 60) is not None


async def test_another_token_does_not_release_a_claim(cache: Cache) -> None:
    await cache.claim(VECTOR, 60)
    await cache.release(VECTOR, "another")

    assert await cache.claim(VECTOR, 60) is None


async def test_a_claim_ends_by_itself(cache: Cache) -> None:
    await cache.claim(VECTOR, 0.001)

    async def is_free() -> bool:
        return await cache.claim(VECTOR, 60) is not None

    await until(is_free)


async def test_a_cache_tells_what_it_is(cache: Cache) -> None:
    assert (await cache.ping()).startswith(("memory", "Redis"))
