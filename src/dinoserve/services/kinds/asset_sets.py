"""The sets that similarity jobs compare: vectors as they were when the job began."""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dinoserve.domain.vectors import Matrix
from dinoserve.ports import DocumentStore
from dinoserve.services.job_results import JobResults
from dinoserve.services.keyed_lock import KeyedLock
from dinoserve.services.kinds.planned import Settled

_BATCH: Final = 1000
# Jobs take turns chunk by chunk; a set of 100 000 is some 100 MB.
_MAX_SETS: Final = 2
_UNUSED_S: Final = 60.0


class AssetSet(NamedTuple):
    """Assets with their vectors.

    Attributes:
        ids: ASCII (n,), ascending.
        vectors: float32 (n, d), of unit length.
    """

    ids: NDArray[np.bytes_]
    vectors: Matrix

    def places(self, ids: Sequence[str]) -> NDArray[np.int32]:
        """Return int32 (those that are here,): the place of each, in their order."""
        wanted = np.array(ids, "S32")
        at = np.searchsorted(self.ids, wanted)
        is_within = at < len(self.ids)
        at, wanted = at[is_within], wanted[is_within]
        return at[self.ids[at] == wanted].astype(np.int32)


@dataclass(frozen=True, slots=True)
class AssetSets:
    """Keeps the set of each job among its results, and those in use in memory.

    So every chunk compares with the same, in whichever process, and whatever is
    stored, erased or embedded meanwhile.
    """

    documents: DocumentStore
    results: JobResults
    _loaded: OrderedDict[str, AssetSet] = field(
        default_factory=OrderedDict[str, AssetSet], repr=False
    )
    _timers: dict[str, asyncio.TimerHandle] = field(
        default_factory=dict[str, asyncio.TimerHandle], repr=False
    )
    _lock: KeyedLock = field(default_factory=KeyedLock, repr=False)

    async def keep(self, job_id: str, plan: Settled, ids: Sequence[str]) -> None:
        """Keep those of the assets that have a vector, as the plan's part.

        Args:
            job_id: whose set it is.
            plan: says which recipe, and under which number it is kept.
            ids: ascending.
        """
        await self.results.write(job_id, plan.part, self._rows(plan, ids))

    async def get(self, job_id: str, plan: Settled) -> AssetSet:
        """Return the job's set; errors as `JobResults.load`."""
        async with self._lock(job_id):
            found = self._loaded.pop(job_id, None) or await self._load(job_id, plan)
            self._loaded[job_id] = found
        while len(self._loaded) > _MAX_SETS:
            self.forget(next(iter(self._loaded)))
        self._forget_later(job_id)
        return found

    def forget(self, job_id: str) -> None:
        """Hold the job's set in memory no longer."""
        self._loaded.pop(job_id, None)
        if timer := self._timers.pop(job_id, None):
            timer.cancel()

    def _forget_later(self, job_id: str) -> None:
        if timer := self._timers.pop(job_id, None):
            timer.cancel()
        loop = asyncio.get_running_loop()
        self._timers[job_id] = loop.call_later(_UNUSED_S, self.forget, job_id)

    async def _load(self, job_id: str, plan: Settled) -> AssetSet:
        raw = await self.results.load(job_id, plan.part)
        rows = np.frombuffer(raw, _row(plan.dimension))
        # The numbers of a row lie side by side: products need no copy of them.
        return AssetSet(np.ascontiguousarray(rows["id"]), rows["vector"])

    async def _rows(self, plan: Settled, ids: Sequence[str]) -> AsyncGenerator[bytes]:
        for start in range(0, len(ids), _BATCH):
            some = ids[start : start + _BATCH]
            vectors = await self.documents.vectors(some, plan.recipe)
            rows = np.empty(len(vectors), _row(plan.dimension))
            held = [key for key in some if key in vectors]
            if held:
                rows["id"] = held
                rows["vector"] = np.stack([vectors[key] for key in held])
                yield rows.tobytes()


def _row(dimension: int) -> np.dtype[np.void]:
    return np.dtype([("id", "S32"), ("vector", "<f4", (dimension,))])
