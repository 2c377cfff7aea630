"""`network`: which assets look alike, as relations of kind `similar`."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import numpy as np

from dinoserve.domain.assets import Metadata
from dinoserve.domain.groups import Places
from dinoserve.domain.jobs import Chunk, Job, JobState, Outcome
from dinoserve.domain.neighbours import NOBODY, Neighbours
from dinoserve.domain.network import is_mutual, nearest_settled
from dinoserve.domain.relations import Relation
from dinoserve.domain.score_blocks import ScoreBlock, size_bytes
from dinoserve.ports import DocumentStore, JobQuery
from dinoserve.services.asset_choice import records_of
from dinoserve.services.embeddings import EmbeddingService
from dinoserve.services.job_kinds import Found
from dinoserve.services.job_results import JobResults, free_number
from dinoserve.services.kinds.asset_sets import AssetSet, AssetSets
from dinoserve.services.kinds.chosen import chosen_ids
from dinoserve.services.kinds.network_rows import (
    SIMILAR,
    Near,
    Network,
    Stamp,
    floors_of,
    is_found,
    near_of,
    node,
    relations_of,
    to_compare,
)
from dinoserve.services.kinds.parameters import named_fields, text, texts
from dinoserve.services.kinds.planned import Settled, parts, settled
from dinoserve.services.relating import Relating, Replaced

MAX_SET: Final = 100_000
"""Assets of one network: their vectors are held in memory while it is made."""

_AT_ONCE: Final = 200
_NEWER: Final = 20


@dataclass(frozen=True, slots=True)
class NetworkKind:
    """Relates assets to those nearest to them; items are asset ids.

    Parameters: `assets`, a list of ids, or `collection`; and the fields of `Network`.
    Chunks find neighbours, the end stores relations: doing it again stores what is
    still missing.

    Attributes:
        sets: what the jobs compare.
    """

    embeddings: EmbeddingService
    results: JobResults
    sets: AssetSets
    now: Callable[[], datetime]

    name: str = field(default="network", init=False)
    chunk_items: int = field(default=256, init=False)
    has_finish: bool = field(default=True, init=False)

    @property
    def documents(self) -> DocumentStore:
        """Return the truth: relations of what a cache believes in would be refused."""
        return self.embeddings.assets.documents

    def items(self, parameters: Metadata) -> Sequence[str] | None:
        """Return None: a plan keeps the set first."""
        del parameters

    async def plan(self, job: Job, cursor: str | None) -> AsyncGenerator[Found]:
        """Yield all that are to be compared at once, when the set's vectors are kept.

        Raises:
            InvalidInputError: the set is too large.
        """
        if cursor is not None:
            return
        ids = await chosen_ids(self.documents, job.parameters, MAX_SET)
        plan = Settled.by(self.embeddings.recipe, free_number())
        await self.sets.keep(job.id, plan, ids)
        members = await self.sets.get(job.id, plan)
        rows = await self._to_compare(job, members, plan.recipe)
        yield Found([key.decode() for key in members.ids[rows].tolist()], plan.cursor())

    async def work(self, job: Job, chunk: Chunk) -> Outcome:
        """Find the neighbours of these in the set."""
        plan = await settled(self.documents.jobs, job.id)
        members = await self.sets.get(job.id, plan)
        rows = members.places(chunk.items)
        how = named_fields(Network, job.parameters)
        found = await asyncio.to_thread(
            nearest_settled, members.vectors, rows, how.k, how.min_score
        )
        block = ScoreBlock(rows, *found).to_bytes()
        await self.results.write(job.id, chunk.number, block)
        return Outcome(len(rows))

    async def finish(self, job: Job) -> Metadata:
        """Store the relations; return how many there were, stored and erased.

        What was erased meanwhile is in none. A newer job on the same collection makes
        this one needless: it stops.
        """
        plan = await settled(self.documents.jobs, job.id)
        members = await self.sets.get(job.id, plan)
        rows, found = await self._found(job, len(members.ids))
        bare = await self._without_vector(job, members, plan.recipe)
        stamp = Stamp(job.id, plan.recipe, self.now())
        done = Replaced(0, 0)
        for near in _batches(members, rows, found, bare):
            if await self._is_needless(job):
                break
            done = done.plus(await self._replace(job, stamp, near))
        self.sets.forget(job.id)
        return {
            "recipe": plan.recipe,
            "assets": len(members.ids),
            "without_vector": len(bare),
            "compared": len(rows),
            "relations_put": done.put,
            "relations_removed": done.removed,
        }

    async def _to_compare(self, job: Job, members: AssetSet, recipe: str) -> Places:
        """Return places: first those that a new one is near to, then the new ones.

        In this order they are stored: one that was not reached stays new.
        """
        how = named_fields(Network, job.parameters)
        floors: dict[int, float] = {}
        if _is_whole(job) and not how.mutual:
            nodes = [node(key.decode()) for key in members.ids.tolist()]
            places = {name: at for at, name in enumerate(nodes)}
            for start in range(0, len(nodes), _AT_ONCE):
                some = nodes[start : start + _AT_ONCE]
                present = await self._relating.present(some, [SIMILAR], "out")
                own = [each for each in present if is_found(each, recipe)]
                floors |= floors_of(how, own, places)
        return await asyncio.to_thread(to_compare, members, floors, full=how.full)

    async def _found(self, job: Job, count: int) -> tuple[Places, Neighbours]:
        """Return what the chunks found, in their order: rows, and their neighbours."""
        how = named_fields(Network, job.parameters)
        k = min(how.k, max(count - 1, 0))
        blocks = [ScoreBlock.from_bytes(b"", 0, (k, k))]
        async for chunk in parts(self.documents.jobs, job.id):
            length = size_bytes(chunk.done, (k, k))
            raw = await self.results.load(job.id, chunk.number, length)
            blocks.append(ScoreBlock.from_bytes(raw, chunk.done, (k, k)))
        rows, indices, scores = (
            np.concatenate(each) for each in zip(*blocks, strict=True)
        )
        found = Neighbours(indices, scores)
        if how.mutual:
            found = await asyncio.to_thread(_mutual, rows, found, count)
        return rows, found

    async def _replace(self, job: Job, stamp: Stamp, near: Sequence[Near]) -> Replaced:
        """Bring what is stored of these in step with what was found."""
        how = named_fields(Network, job.parameters)
        ids = [key for key, _ in near]
        assets = await records_of(self.documents, ids)
        # Where chunks were given up, the next run is to compare all of them anew.
        is_whole = _is_whole(job) and not job.progress.failed
        wanted = await asyncio.to_thread(
            relations_of, how, stamp, assets, near, is_whole=is_whole
        )
        nodes = [node(key) for key in ids]
        present = await self._relating.present(nodes, [SIMILAR], "out")

        def is_meant(relation: Relation) -> bool:
            return is_found(relation, None if how.remove_old else stamp.recipe)

        return await self._relating.replace(present, wanted, is_meant)

    async def _without_vector(
        self, job: Job, members: AssetSet, recipe: str
    ) -> list[str]:
        """Return what is meant and there, and has no vector: it has no neighbours."""
        meant = await chosen_ids(self.documents, job.parameters, MAX_SET)
        known = {key.decode() for key in members.ids.tolist()}
        rest = await records_of(self.documents, [k for k in meant if k not in known])
        return [key for key, asset in rest.items() if not asset.has_recipe(recipe)]

    async def _is_needless(self, job: Job) -> bool:
        """Tell whether a newer job makes the network of the same collection."""
        if not _is_whole(job):
            return False
        live: tuple[JobState, ...] = ("queued", "running", "succeeded")
        collection = text(job.parameters, "collection")
        query = JobQuery(live, self.name, job.collection, limit=_NEWER)
        return any(
            (each.created_at, each.id) > (job.created_at, job.id)
            and _is_whole(each)
            and text(each.parameters, "collection") == collection
            for each in await self.documents.jobs.jobs(query)
        )

    @property
    def _relating(self) -> Relating:
        return Relating(self.documents)


def _is_whole(job: Job) -> bool:
    return texts(job.parameters, "assets") is None


def _mutual(rows: Places, found: Neighbours, count: int) -> Neighbours:
    """Return of each row the neighbours that have it as theirs."""
    k = found.indices.shape[1]
    whole = np.full((count, k), NOBODY, np.int32)
    whole[rows] = found.indices
    is_both = is_mutual(whole)[rows]
    return Neighbours(np.where(is_both, found.indices, np.int32(NOBODY)), found.scores)


def _batches(
    members: AssetSet, rows: Places, found: Neighbours, bare: Sequence[str]
) -> Generator[list[Near]]:
    """Yield rows with their neighbours, in order, and then those that have none."""
    for start in range(0, len(rows), _AT_ONCE):
        some = slice(start, start + _AT_ONCE)
        block = Neighbours(found.indices[some], found.scores[some])
        yield near_of(members.ids, rows[some], block)
    for start in range(0, len(bare), _AT_ONCE):
        yield [(key, []) for key in bare[start : start + _AT_ONCE]]
