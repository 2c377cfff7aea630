"""Files that similarity jobs make, from what their chunks wrote."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dinoserve.domain.npz import NpzFile
from dinoserve.domain.score_blocks import (
    ScoreBlock,
    kept_neighbours,
    kept_scores,
    size_bytes,
    to_lines,
)
from dinoserve.ports import JobStore
from dinoserve.services.job_results import JobResults
from dinoserve.services.kinds.planned import parts


class Kept(NamedTuple):
    """The members of a set that an answer is of.

    Attributes:
        members: int32 (m,): their places in the set, in the order of the answer.
        places: int32 (n,): the place of each of the set in the answer; `NOBODY`: none.
        ids: of the m.
    """

    members: NDArray[np.int32]
    places: NDArray[np.int32]
    ids: list[str]


@dataclass(frozen=True, slots=True)
class SimilarityFiles:
    """Yields files of one job, a block at a time in memory.

    Attributes:
        width: columns of each block, see `ScoreBlock.from_bytes`.
    """

    jobs: JobStore
    results: JobResults
    job_id: str
    width: tuple[int, int]

    async def matrix(self, kept: Kept) -> AsyncGenerator[bytes]:
        """Yield npz: `ids` (m,), `scores` float32 (m, m)."""
        file, count = NpzFile(), len(kept.ids)
        yield file.array("ids", "<U32", (count,))
        yield file.add(np.array(kept.ids, "<U32"))
        yield file.array("scores", "<f4", (count, count))
        async for block in self._blocks():
            scores = await asyncio.to_thread(kept_scores, block, kept.members)
            yield await asyncio.to_thread(file.add, scores)
        yield file.end()

    async def neighbours(self, kept: Kept) -> AsyncGenerator[bytes]:
        """Yield npz: `ids` (m,), `indices` int32 (m, k), `scores` float32 (m, k)."""
        file, shape = NpzFile(), (len(kept.ids), self.width[0])
        yield file.array("ids", "<U32", shape[:1])
        yield file.add(np.array(kept.ids, "<U32"))
        yield file.array("indices", "<i4", shape)
        async for block in self._blocks():
            yield file.add(kept_neighbours(block, kept.places).indices)
        yield file.array("scores", "<f4", shape)
        async for block in self._blocks():
            yield file.add(kept_neighbours(block, kept.places).scores)
        yield file.end()

    async def lines(self, kept: Kept) -> AsyncGenerator[bytes]:
        """Yield NDJSON: a line for each asset, with its neighbours."""
        first = 0
        async for block in self._blocks():
            found = kept_neighbours(block, kept.places)
            yield await asyncio.to_thread(to_lines, kept.ids, first, found)
            first += len(found.indices)

    async def _blocks(self) -> AsyncGenerator[ScoreBlock]:
        async for chunk in parts(self.jobs, self.job_id):
            length = size_bytes(chunk.done, self.width)
            raw = await self.results.load(self.job_id, chunk.number, length)
            yield ScoreBlock.from_bytes(raw, chunk.done, self.width)
