"""The cache as services see it: this process first, then what processes share."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from dinoserve.ports import Cache, Entry, Kind, LocalCache, Slot
from dinoserve.telemetry import Metrics

CLAIM_S: Final = 10.0
"""How long others believe that a value is being made."""

# Other processes may change these, so only what processes share can be believed.
_CHANGING: frozenset[Kind] = frozenset({"record", "hits", "ids"})


@dataclass(frozen=True, slots=True)
class CachePolicy:
    """How long and how large.

    Attributes:
        ttl_s: seconds that vectors and features are kept.
        changing_ttl_s: seconds that records and hits are kept.
        absent_ttl_s: seconds that something is known not to exist.
        local_ttl_s: seconds that this process keeps what another may erase.
        max_value_bytes: greater values are not kept.
    """

    ttl_s: float = 86_400
    changing_ttl_s: float = 60
    absent_ttl_s: float = 5
    local_ttl_s: float = 5
    max_value_bytes: int = 8 * 1024 * 1024


class Look(NamedTuple):
    """What both levels know of a slot.

    Attributes:
        value: None is a miss; empty: known not to exist.
        local: ticket of this process's level.
        shared: ticket of the shared level.
    """

    slot: Slot
    value: bytes | None
    local: str | None
    shared: str | None


@dataclass(frozen=True, slots=True)
class TwoLevels:
    """A cache in this process, before one that processes share, if there is one."""

    local: LocalCache
    shared: Cache | None
    policy: CachePolicy
    metrics: Metrics

    async def read(self, slots: Collection[Slot]) -> list[Look]:
        """Return what is known of every slot, in order; one round trip at most."""
        asked = list(slots)
        near = [
            Look(slot, seen.value, seen.ticket, None)
            for slot, seen in zip(asked, await self.local.read(asked), strict=True)
        ]
        missed = [look for look in near if look.value is None]
        far = await self._read_shared(missed)
        self._count(near, far)
        known = {look.slot: look for look in (*near, *far)}
        return [known[slot] for slot in asked]

    async def write(self, values: Collection[tuple[Look, bytes]]) -> None:
        """Keep what was made after these looks missed; empty: it does not exist."""
        fitting = [
            (look, value)
            for look, value in values
            if len(value) <= self.policy.max_value_bytes
        ]
        await self._write_local(fitting)
        if self.shared:
            await self.shared.write(
                [
                    Entry(look.slot, value, look.shared, self._ttl_s(look.slot, value))
                    for look, value in fitting
                    if look.shared
                ]
            )

    async def erase(self, owners: Collection[str]) -> None:
        """Forget everything made of these owners, in both levels."""
        await self.local.erase(owners)
        if self.shared:
            await self.shared.erase(owners)

    async def claim(self, slots: Collection[Slot]) -> dict[Slot, str]:
        """Return a token for each value that no other process is making."""
        if not self.shared:
            return dict.fromkeys(slots, "")
        shared = self.shared
        tokens = await asyncio.gather(*(shared.claim(slot, CLAIM_S) for slot in slots))
        pairs = zip(slots, tokens, strict=True)
        return {slot: token for slot, token in pairs if token is not None}

    async def release(self, tokens: Mapping[Slot, str]) -> None:
        """End these claims."""
        if self.shared:
            shared = self.shared
            await asyncio.gather(*(shared.release(*each) for each in tokens.items()))

    async def look_again(self, slot: Slot) -> bytes | None:
        """Return what another process may have made meanwhile; not counted."""
        if not self.shared:
            return None
        [seen] = await self.shared.read([slot])
        return seen.value

    async def _read_shared(self, looks: Sequence[Look]) -> list[Look]:
        if not (self.shared and looks):
            return []
        seen = await self.shared.read([look.slot for look in looks])
        far = [
            look._replace(value=each.value, shared=each.ticket)
            for look, each in zip(looks, seen, strict=True)
        ]
        hits = [(look, look.value) for look in far if look.value is not None]
        await self._write_local(hits)
        return far

    async def _write_local(self, values: Collection[tuple[Look, bytes]]) -> None:
        await self.local.write(
            [
                Entry(look.slot, value, look.local, self._local_ttl_s(look.slot, value))
                for look, value in values
                if look.local and self._is_for_local(look.slot, value)
            ]
        )

    def _is_for_local(self, slot: Slot, value: bytes) -> bool:
        """Tell whether another process cannot make this level say something wrong."""
        return not self.shared or (slot.kind not in _CHANGING and bool(value))

    def _ttl_s(self, slot: Slot, value: bytes) -> float:
        if not value:
            return self.policy.absent_ttl_s
        changes = slot.kind in _CHANGING
        return self.policy.changing_ttl_s if changes else self.policy.ttl_s

    def _local_ttl_s(self, slot: Slot, value: bytes) -> float:
        ttl_s = self._ttl_s(slot, value)
        return min(ttl_s, self.policy.local_ttl_s) if self.shared else ttl_s

    def _count(self, near: Sequence[Look], far: Sequence[Look]) -> None:
        found = {look.slot for look in far if look.value is not None}
        for look in near:
            kind = look.slot.kind
            if look.value is not None:
                self.metrics.cache_hits.labels(kind, "local").inc()
            elif look.slot in found:
                self.metrics.cache_hits.labels(kind, "shared").inc()
            else:
                self.metrics.cache_misses.labels(kind).inc()
