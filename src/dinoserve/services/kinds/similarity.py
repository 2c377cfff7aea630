"""`similarity`: assets of a set compared, each with each, as one file."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from typing import Final, cast

import numpy as np
from numpy.typing import NDArray

from dinoserve.domain.assets import Filter, Metadata
from dinoserve.domain.jobs import Chunk, Job, Outcome
from dinoserve.domain.neighbours import NOBODY, cosines_of, nearest_others
from dinoserve.domain.score_blocks import ScoreBlock, rows_of, size_bytes
from dinoserve.errors import InvalidInputError, UnavailableError
from dinoserve.ports import DocumentStore
from dinoserve.services.embeddings import EmbeddingService
from dinoserve.services.job_kinds import Found
from dinoserve.services.job_results import JobResults, ResultFile, free_number
from dinoserve.services.kinds.asset_sets import AssetSet, AssetSets
from dinoserve.services.kinds.lacking import why_lacking
from dinoserve.services.kinds.parameters import text, texts
from dinoserve.services.kinds.planned import Settled, parts, settled
from dinoserve.services.kinds.similarity_files import Kept, SimilarityFiles

MAX_SET: Final = 100_000
"""Assets that are compared by one job."""

MAX_MATRIX: Final = 10_000
"""Assets of which a matrix is made: of so many it has 400 MB."""

_K: Final = 10
_BATCH: Final = 1000


@dataclass(frozen=True, slots=True)
class SimilarityKind:
    """Compares assets by their vectors; items are asset ids.

    Parameters: `assets`, a list of ids, or `collection`; `mode`: `matrix`, or
    `neighbours` with `k`, `min_score` and `format` (`ndjson` or `npz`).

    Attributes:
        sets: what the jobs compare.
    """

    documents: DocumentStore
    embeddings: EmbeddingService
    results: JobResults
    sets: AssetSets

    name: str = field(default="similarity", init=False)
    chunk_items: int = field(default=256, init=False)
    has_finish: bool = field(default=True, init=False)

    def items(self, parameters: Metadata) -> Sequence[str] | None:
        """Return None: a plan keeps the set first."""
        del parameters

    async def plan(self, job: Job, cursor: str | None) -> AsyncGenerator[Found]:
        """Yield all assets of the set at once, by id, when their vectors are kept.

        Raises:
            InvalidInputError: they are too many.
        """
        if cursor is not None:
            return
        ids = await self._ids(job)
        plan = Settled.by(self.embeddings.recipe, free_number())
        await self.sets.keep(job.id, plan, ids)
        yield Found(ids, plan.cursor())

    async def work(self, job: Job, chunk: Chunk) -> Outcome:
        """Compare these with the set; those that are not in it are failures."""
        plan = await settled(self.documents.jobs, job.id)
        members = await self.sets.get(job.id, plan)
        rows = members.places(chunk.items)
        block = await asyncio.to_thread(_block, job.parameters, members, rows)
        await self.results.write(job.id, chunk.number, block)
        there = set(members.ids[rows].tolist())
        lacking = [key for key in chunk.items if key.encode() not in there]
        found = await self.documents.get(lacking)
        failures = (why_lacking(key, found.get(key), plan.recipe) for key in lacking)
        return Outcome(len(rows), tuple(failures))

    async def finish(self, job: Job) -> Metadata:
        """Return the file, and how many assets it is of.

        What was erased meanwhile is in it no more, neither as row nor as column.
        """
        plan = await settled(self.documents.jobs, job.id)
        members = await self.sets.get(job.id, plan)
        compared = await self._compared(job)
        kept = await self._kept(members, compared)
        file = await self._keep(job, members, kept)
        self.sets.forget(job.id)
        return {
            "file": file.to_json(),
            "recipe": plan.recipe,
            "assets": len(kept.ids),
            "erased": len(compared) - len(kept.ids),
        }

    async def _ids(self, job: Job) -> list[str]:
        named = texts(job.parameters, "assets")
        if named is not None:
            return sorted(set(named))
        collection = text(job.parameters, "collection") or ""
        limit = MAX_MATRIX if _mode(job.parameters) == "matrix" else MAX_SET
        counts = await self.documents.counts(collection)
        _check_count(max(counts.values(), default=0), limit)
        ids = await self.documents.ids(collection, Filter())
        _check_count(len(ids), limit)
        return await asyncio.to_thread(sorted, ids)

    async def _compared(self, job: Job) -> NDArray[np.int32]:
        """Return places in the set, in the order of the parts' rows."""
        found: list[NDArray[np.int32]] = [np.empty(0, np.int32)]
        async for chunk in parts(self.documents.jobs, job.id):
            length = size_bytes(chunk.done, (0, 0))
            head = await self.results.head(job.id, chunk.number, length)
            if len(head) < length:
                raise UnavailableError("A part of the result is cut.", port="objects")
            found.append(rows_of(head))
        return np.concatenate(found)

    async def _kept(self, members: AssetSet, compared: NDArray[np.int32]) -> Kept:
        """Return those that were compared and are there still."""
        ids = [key.decode() for key in members.ids[compared].tolist()]
        there: set[str] = set()
        for start in range(0, len(ids), _BATCH):
            there.update(await self.documents.get(ids[start : start + _BATCH]))
        is_there = np.fromiter((key in there for key in ids), bool, len(ids))
        kept = compared[is_there]
        places = np.full(len(members.ids), NOBODY, np.int32)
        places[kept] = np.arange(len(kept), dtype=np.int32)
        return Kept(kept, places, [key for key in ids if key in there])

    async def _keep(self, job: Job, members: AssetSet, kept: Kept) -> ResultFile:
        name, width = _mode(job.parameters), _width(job.parameters, len(members.ids))
        files = SimilarityFiles(self.documents.jobs, self.results, job.id, width)
        media_type, ending = "application/zip", "npz"
        if name == "matrix":
            data = files.matrix(kept)
        elif text(job.parameters, "format") == "npz":
            data = files.neighbours(kept)
        else:
            data, media_type, ending = (
                files.lines(kept),
                "application/x-ndjson",
                "ndjson",
            )
        return await self.results.keep(job.id, f"{name}.{ending}", media_type, data)


def _block(parameters: Metadata, members: AssetSet, rows: NDArray[np.int32]) -> bytes:
    """Return what a chunk writes: its members compared with all."""
    _, count = width = _width(parameters, len(members.ids))
    if _mode(parameters) == "matrix":
        scores = np.empty((len(rows), count), np.float32)
        cosines_of(members.vectors, rows, scores)
        return ScoreBlock(rows, np.empty((0, 0), np.int32), scores).to_bytes()
    least = cast("float | None", parameters.get("min_score"))
    found = nearest_others(
        members.vectors, rows, width[0], -1.0 if least is None else least
    )
    return ScoreBlock(rows, *found).to_bytes()


def _mode(parameters: Metadata) -> str:
    return text(parameters, "mode") or "neighbours"


def _width(parameters: Metadata, count: int) -> tuple[int, int]:
    """Return how many columns of indices and of scores there are."""
    if _mode(parameters) == "matrix":
        return 0, count
    k = min(int(text(parameters, "k") or _K), max(count - 1, 0))
    return k, k


def _check_count(count: int, limit: int) -> None:
    if count > limit:
        raise InvalidInputError(
            f"The collection has {count} assets or more; so many cannot be compared in"
            f" this mode, which takes {limit}.",
            field="parameters.collection",
            limit=limit,
            value=count,
        )
