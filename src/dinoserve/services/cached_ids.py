"""Id sets that filters leave: the same object until some asset changes."""

import asyncio
from collections.abc import Awaitable, Callable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Final
from uuid import uuid4

from dinoserve.domain.recent import Recent
from dinoserve.ports import Entry, LocalCache, Slot

ASSETS: Final = "assets"
"""Owner of what was made of all records; erased whenever one changes."""


@dataclass(frozen=True, slots=True)
class CachedIds:
    """Keeps id sets of this process; the cache tells whether they still hold.

    Attributes:
        local: forgets `ASSETS` with every change of a record, whoever made it.
        ttl_s: seconds that a set is believed.
    """

    local: LocalCache
    ttl_s: float
    _sets: Recent[bytes, frozenset[str]] = field(
        default_factory=Recent[bytes, frozenset[str]]
    )

    async def read(
        self, name: str, load: Callable[[], Awaitable[AbstractSet[str]]]
    ) -> frozenset[str]:
        """Return the set of this name.

        Args:
            name: everything that decides it but the records; nothing lossy.
            load: asks the store, where nothing is kept that holds.
        """
        slot = Slot("ids", ASSETS, name)
        [seen] = await self.local.read([slot])
        kept = self._sets.get(seen.value) if seen.value else None
        if kept is not None:
            return kept
        ids = await asyncio.to_thread(frozenset, await load())
        if seen.ticket:
            # Bytes are what caches keep; these stand for the set.
            token = uuid4().bytes
            self._sets.put(token, ids, len(ids))
            await self.local.write([Entry(slot, token, seen.ticket, self.ttl_s)])
        return ids
