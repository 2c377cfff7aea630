"""Orphans: bytes that belong to no asset are found, and removed."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, TypeAlias

from dinoserve.domain.digests import DigestTable
from dinoserve.domain.renditions import derived_prefix
from dinoserve.domain.uploads import EXPIRES_S
from dinoserve.domain.uploads import GRACE_S as UPLOAD_GRACE_S
from dinoserve.ports import Area, DocumentStore, ObjectStore, StoredObject

GRACE_S: Final = 3600.0
"""Age of an orphan from which on it may go: longer than any upload lasts."""

# As many digests make one question to the document store.
_BATCH = 500
# More than so many, and than such a part of all, speak for a store that was mistaken
# for another rather than for orphans.
_FEW, _PART = 10, 0.1

Told: TypeAlias = Callable[[str, int], None]
"""Is told what is looked at, and how many of it were so far."""


@dataclass(frozen=True, slots=True)
class Orphans:
    """What belongs to no asset.

    Attributes:
        names: of objects, 64 hex digits each, by area.
        stored: every original there is.
    """

    names: Mapping[Area, Sequence[str]]
    stored: DigestTable

    @property
    def are_too_many(self) -> bool:
        """Tell whether this looks like the wrong database; see `too_many`."""
        return too_many(len(self.names["originals"]), len(self.stored))


def too_many(found: int, total: int) -> bool:
    """Tell whether it is more than 10, and more than a tenth of all."""
    return found > max(_FEW, total * _PART)


@dataclass(frozen=True, slots=True)
class OrphanService:
    """Finds and removes bytes that belong to no asset, while others write.

    It holds 40 bytes for every original, and some 130 for every orphan.

    Attributes:
        areas: the object stores, by what they are for.
        grace_s: age from which on originals and what is derived are orphans, and marks
            of uploads are left overs; 0: nobody else uses the stores.
        pause_s: rest after each `_BATCH`, so that callers are served meanwhile.
    """

    documents: DocumentStore
    areas: Mapping[Area, ObjectStore]
    now: Callable[[], datetime]
    grace_s: float = GRACE_S
    pause_s: float = 0

    async def find(self, told: Told) -> Orphans:
        """Return what belongs to no asset: in one pass over each area.

        Originals that no asset has; what was derived of originals that are none or not
        there; and what came directly and was never completed.

        Args:
            told: of how many objects of each area were looked at.

        Raises:
            UnavailableError: a store failed.
        """
        before = self.now() - timedelta(seconds=self.grace_s)
        expired = self.now() - timedelta(seconds=EXPIRES_S + UPLOAD_GRACE_S)
        stored = DigestTable()
        originals = await self._originals(stored, before, told)
        derived = await self._derived(stored, set(originals), before, told)
        incoming: list[str] = []
        async for batch in self._batches("incoming", told):
            incoming += _older(batch, expired)
        names: dict[Area, list[str]] = {
            "originals": originals,
            "derived": derived,
            "incoming": incoming,
        }
        return Orphans(names, stored)

    async def remove(self, area: Area, name: str) -> bool:
        """Remove an orphan; safe if it is none any more, or another removes it too.

        With an original goes what was derived of it.

        Returns:
            False: an asset has these bytes by now, or somebody is giving them.
        """
        if area != "originals":
            await self.areas[area].delete(name)
            return True
        await self.documents.condemn(name)
        if not await self.documents.claim(name, self.grace_s):
            return False
        await self.areas[area].delete(name)
        async for made in self.areas["derived"].scan(derived_prefix(name)):
            await self.areas["derived"].delete(made.sha256)
        await self.documents.clear(name)
        return True

    async def _originals(
        self, stored: DigestTable, before: datetime, told: Told
    ) -> list[str]:
        found: list[str] = []
        async for batch in self._batches("originals", told):
            stored.add([o.sha256 for o in batch], [o.size_bytes for o in batch])
            old = _older(batch, before)
            kept = await self.documents.referenced(old)
            found += [name for name in old if name not in kept]
        return found

    async def _derived(
        self, stored: DigestTable, orphans: set[str], before: datetime, told: Told
    ) -> list[str]:
        found: list[str] = []
        going = {derived_prefix(name) for name in orphans}
        async for batch in self._batches("derived", told):
            old = _older(batch, before)
            prefixes = [derived_prefix(name) for name in old]
            # The first time it sorts them all: that may take a second.
            there = await asyncio.to_thread(stored.begins, prefixes)
            triples = zip(old, prefixes, there, strict=True)
            found += [
                name for name, prefix, is_so in triples if prefix in going or not is_so
            ]
        return found

    async def _batches(
        self, area: Area, told: Told
    ) -> AsyncIterator[list[StoredObject]]:
        batch: list[StoredObject] = []
        count = 0
        async for found in self.areas[area].scan():
            batch.append(found)
            if len(batch) == _BATCH:
                yield batch
                count += len(batch)
                told(area, count)
                batch = []
                await asyncio.sleep(self.pause_s)
        yield batch
        told(area, count + len(batch))


def _older(batch: Sequence[StoredObject], than: datetime) -> list[str]:
    return [found.sha256 for found in batch if found.stored_at <= than]
