"""Making what no cache has: each value once, however many ask for it at a time."""

import asyncio
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Final, Generic, NamedTuple, TypeAlias, TypeVar

from dinoserve.ports import Slot
from dinoserve.services.caching import Look, TwoLevels

_T = TypeVar("_T")

WAIT_S: Final = 5.0
"""How long a value that others make is waited for, before it is made twice."""

_LOOK_AGAIN_S = 0.02


class Codec(NamedTuple, Generic[_T]):
    """From values to the bytes that are kept of them, and back."""

    encode: Callable[[_T], bytes]
    decode: Callable[[bytes], _T]


Make: TypeAlias = Callable[[Sequence[int]], Awaitable[Sequence[_T]]]
"""Gives the values of these positions of the slots that were asked for, in order."""


class Maker(Generic[_T]):
    """Gives values of one type from the cache, or makes and keeps them.

    Args:
        levels: where values are kept.
        codec: how they are kept.
    """

    def __init__(self, levels: TwoLevels, codec: Codec[_T]) -> None:
        self._levels = levels
        self._codec = codec
        self._flights: dict[Slot, asyncio.Future[_T | None]] = {}

    async def values(self, slots: Sequence[Slot], make: Make[_T]) -> list[_T]:
        """Return every slot's value, in order; a slot may stand there twice.

        Who comes second waits for the first, but not longer than `WAIT_S`, and makes
        it then. A failure fails only who made it.
        """
        looks = await self._levels.read(list(dict.fromkeys(slots)))
        found = {
            look.slot: self._codec.decode(look.value)
            for look in looks
            if look.value is not None
        }
        missing = [look for look in looks if look.slot not in found]
        if missing:
            found |= await self._missing(missing, _at(slots, make))
        return [found[slot] for slot in slots]

    async def _missing(
        self,
        looks: Sequence[Look],
        make: Callable[[Sequence[Slot]], Awaitable[list[_T]]],
    ) -> dict[Slot, _T]:
        with self._leading(looks) as led:
            tokens = await self._levels.claim(led)
            try:
                ours = [look for look in looks if look.slot in tokens]
                found = await self._make(ours, make)
                others = [look for look in looks if look.slot not in tokens]
                found |= await self._others(others, led, tokens)
                rest = [look for look in others if look.slot not in found]
                return found | await self._make(rest, make)
            finally:
                await self._levels.release(tokens)

    @contextmanager
    def _leading(self, looks: Sequence[Look]) -> Generator[list[Slot]]:
        """Yield the slots that nobody in this process is making yet."""
        led = [look.slot for look in looks if look.slot not in self._flights]
        loop = asyncio.get_running_loop()
        self._flights |= {slot: loop.create_future() for slot in led}
        try:
            yield led
        finally:
            for slot in led:
                flight = self._flights.pop(slot)
                if not flight.done():
                    flight.set_result(None)

    async def _make(
        self,
        looks: Sequence[Look],
        make: Callable[[Sequence[Slot]], Awaitable[list[_T]]],
    ) -> dict[Slot, _T]:
        if not looks:
            return {}
        values = await make([look.slot for look in looks])
        made = list(zip(looks, values, strict=True))
        await self._levels.write(
            [(look, self._codec.encode(value)) for look, value in made]
        )
        for look, value in made:
            self._land(look.slot, value)
        return {look.slot: value for look, value in made}

    def _land(self, slot: Slot, value: _T) -> None:
        """Give the value to whoever waits for it in this process."""
        flight = self._flights.get(slot)
        if flight and not flight.done():
            flight.set_result(value)

    async def _others(
        self, looks: Sequence[Look], led: Sequence[Slot], tokens: dict[Slot, str]
    ) -> dict[Slot, _T]:
        """Return what others make of these in time."""
        found: dict[Slot, _T] = {}
        try:
            async with asyncio.timeout(WAIT_S):
                for look in looks:
                    slot = look.slot
                    value = (
                        await self._elsewhere(slot, tokens)
                        if slot in led
                        else await self._here(slot)
                    )
                    if value is not None:
                        self._land(slot, value)
                        found[slot] = value
        except TimeoutError:
            pass
        return found

    async def _here(self, slot: Slot) -> _T | None:
        flight = self._flights.get(slot)
        if flight is None:
            return None
        await asyncio.wait([flight])
        return flight.result()

    async def _elsewhere(self, slot: Slot, tokens: dict[Slot, str]) -> _T | None:
        """Return what another process made; None: it gave up, and we hold the claim."""
        while True:
            value = await self._levels.look_again(slot)
            if value is not None:
                return self._codec.decode(value)
            if claimed := await self._levels.claim([slot]):
                tokens.update(claimed)
                return None
            await asyncio.sleep(_LOOK_AGAIN_S)


def _at(
    slots: Sequence[Slot], make: Make[_T]
) -> Callable[[Sequence[Slot]], Awaitable[list[_T]]]:
    """Return `make`, told by slots instead of positions."""

    async def by_slot(some: Sequence[Slot]) -> list[_T]:
        return list(await make([slots.index(slot) for slot in some]))

    return by_slot
