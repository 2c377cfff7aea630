"""A cache in this process: bounded by bytes, the least recently used gives way."""

import time
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Collection, Sequence
from itertools import count
from typing import NamedTuple

from dinoserve.ports import Entry, Seen, Slot
from dinoserve.telemetry import Metrics

_ENTRY_BYTES = 400
"""What Python needs for an entry beside its value (tuple, strings, three dicts)."""

_ERASURES = 10_000
"""Erased owners that are remembered, to refuse values made before."""


class _Kept(NamedTuple):
    value: bytes
    expires_s: float


class MemoryCache:
    """Plays `LocalCache`.

    Args:
        max_bytes: what values and their slots may take; 0 keeps nothing.
        metrics: where evictions and bytes are counted.
        now: seconds of a clock that never goes back.
    """

    def __init__(
        self,
        max_bytes: int,
        metrics: Metrics,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._max_bytes = max_bytes
        self._metrics = metrics
        self._now = now
        self._bytes = 0
        self._kept: OrderedDict[Slot, _Kept] = OrderedDict()
        self._by_owner: dict[str, set[Slot]] = defaultdict(set)
        self._claims: dict[Slot, tuple[str, float]] = {}
        self._ticks = count(1)
        self._erased: OrderedDict[str, int] = OrderedDict()
        self._oldest_ticket = 0

    async def read(self, slots: Sequence[Slot]) -> list[Seen]:
        """Return what is known of every slot, in order."""
        ticket = str(next(self._ticks)) if self._max_bytes else None
        return [Seen(self._value(slot), ticket) for slot in slots]

    async def write(self, entries: Collection[Entry]) -> None:
        """Keep values whose owner was not erased since; make room for them."""
        for entry in entries:
            if self._is_current(entry) and _size(entry.slot, entry.value) <= (
                self._max_bytes
            ):
                self._keep(entry)

    async def erase(self, owners: Collection[str]) -> None:
        """Forget every value of these owners, those that are being made included."""
        for owner in owners:
            for slot in list(self._by_owner.get(owner, ())):
                self._drop(slot)
            self._erased[owner] = next(self._ticks)
            self._erased.move_to_end(owner)
            if len(self._erased) > _ERASURES:
                _, self._oldest_ticket = self._erased.popitem(last=False)

    async def clear(self) -> None:
        """Forget every value, those that are being made included."""
        for slot in list(self._kept):
            self._drop(slot)
        self._erased.clear()
        self._oldest_ticket = next(self._ticks)

    async def claim(self, slot: Slot, seconds: float) -> str | None:
        """Return a token if nobody else is making this value; None if somebody is."""
        now = self._now()
        holder = self._claims.get(slot)
        if holder and holder[1] > now:
            return None
        token = str(next(self._ticks))
        self._claims[slot] = (token, now + seconds)
        return token

    async def release(self, slot: Slot, token: str) -> None:
        """End a claim. One that ended before: nothing happens."""
        holder = self._claims.get(slot)
        if holder and holder[0] == token:
            del self._claims[slot]

    async def ping(self) -> str:
        """Return what it is and how full."""
        return f"memory, {self._bytes} of {self._max_bytes} bytes"

    def _value(self, slot: Slot) -> bytes | None:
        kept = self._kept.get(slot)
        if kept is None:
            return None
        if kept.expires_s <= self._now():
            self._drop(slot)
            return None
        self._kept.move_to_end(slot)
        return kept.value

    def _is_current(self, entry: Entry) -> bool:
        ticket = int(entry.ticket)
        erased = self._erased.get(entry.slot.owner, 0)
        return ticket > max(erased, self._oldest_ticket)

    def _keep(self, entry: Entry) -> None:
        self._drop(entry.slot)
        self._kept[entry.slot] = _Kept(entry.value, self._now() + entry.ttl_s)
        self._by_owner[entry.slot.owner].add(entry.slot)
        self._weigh(entry.slot, _size(entry.slot, entry.value))
        while self._bytes > self._max_bytes:
            oldest = next(iter(self._kept))
            self._drop(oldest)
            self._metrics.cache_evictions.labels(oldest.kind).inc()

    def _drop(self, slot: Slot) -> None:
        kept = self._kept.pop(slot, None)
        if kept is None:
            return
        owned = self._by_owner[slot.owner]
        owned.discard(slot)
        if not owned:
            del self._by_owner[slot.owner]
        self._weigh(slot, -_size(slot, kept.value))

    def _weigh(self, slot: Slot, change: int) -> None:
        self._bytes += change
        self._metrics.cache_bytes.labels(slot.kind).inc(change)


def _size(slot: Slot, value: bytes) -> int:
    return len(value) + len(slot.owner) + len(slot.name) + _ENTRY_BYTES
