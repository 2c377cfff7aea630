"""Filling an index from the document store, and seeing whether it finds the same."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from dinoserve.domain.recipes import Recipe
from dinoserve.domain.vectors import Matrix
from dinoserve.ports import DocumentStore, IndexEntry, Space, VectorIndex

SAMPLE: Final = 100
"""Vectors of each recipe that are searched by to measure recall."""

_K: Final = 10
# Two that are as near as float32 can tell may stand in for each other.
_TIE: Final = 1e-5


@dataclass(frozen=True, slots=True)
class Rebuilding:
    """Fills an index with all that the store has.

    Attributes:
        told: called with how many vectors more are done.
    """

    documents: DocumentStore
    index: VectorIndex
    told: Callable[[int], None]

    async def fill(self, recipe: Recipe) -> int:
        """Give the index every vector of a recipe, take out others; return how many."""
        kept = await give_all(self.documents, self.index, recipe.id, self.told)
        await self.index.retain(recipe.id, kept)
        return sum(map(len, kept.values()))

    async def recall(self, recipe: Recipe) -> float:
        """Return the share of the ten nearest that the index finds, in [0, 1].

        Searched by `SAMPLE` vectors that the store has; the truth is the product of
        each with every vector of its collection. 1 where there is nothing to find.
        """
        queries = await self._sample(recipe)
        tops: dict[str, Matrix] = {}
        async for batch in self.documents.scan(recipe.id):
            for collection, rows in _by_collection(batch).items():
                if collection in queries:
                    scores = queries[collection] @ _matrix(rows).T
                    tops[collection] = _best(tops.get(collection), scores)
            self.told(len(batch))
        return await self._compared(recipe, queries, tops)

    async def _compared(
        self,
        recipe: Recipe,
        queries: Mapping[str, Matrix],
        tops: Mapping[str, Matrix],
    ) -> float:
        found = wanted = 0
        for collection, vectors in queries.items():
            space = Space(collection, recipe.id)
            for vector, top in zip(vectors, tops[collection], strict=True):
                hits = (await self.index.search(space, vector, _K, None)).hits
                found += sum(hit.score >= top[0] - _TIE for hit in hits)
                wanted += len(top)
        return found / wanted if wanted else 1.0

    async def _sample(self, recipe: Recipe) -> dict[str, Matrix]:
        """Return some vectors by collection: those that a fixed dice chose."""
        rng = np.random.default_rng(0)
        kept: list[IndexEntry] = []
        seen = 0
        # Reservoir sampling (Vitter, algorithm R): each is as likely.
        async for batch in self.documents.scan(recipe.id):
            for entry in batch:
                seen += 1
                if len(kept) < SAMPLE:
                    kept.append(entry)
                elif (at := int(rng.integers(seen))) < SAMPLE:
                    kept[at] = entry
        return {name: _matrix(rows) for name, rows in _by_collection(kept).items()}


async def give_all(
    documents: DocumentStore,
    index: VectorIndex,
    recipe: str,
    told: Callable[[int], None] = lambda _: None,
) -> dict[str, list[str]]:
    """Give the index every vector of a recipe; return whose: asset ids by collection.

    Args:
        documents: has the vectors.
        index: gets them.
        recipe: whose vectors.
        told: called with how many vectors more are given.
    """
    kept: defaultdict[str, list[str]] = defaultdict(list)
    async for batch in documents.scan(recipe):
        for collection, rows in _by_collection(batch).items():
            ids = [row.asset_id for row in rows]
            await index.upsert(Space(collection, recipe), ids, _matrix(rows))
            kept[collection] += ids
        told(len(batch))
    return dict(kept)


def _by_collection(batch: Sequence[IndexEntry]) -> dict[str, list[IndexEntry]]:
    found: defaultdict[str, list[IndexEntry]] = defaultdict(list)
    for entry in batch:
        found[entry.collection].append(entry)
    return dict(found)


def _matrix(rows: Sequence[IndexEntry]) -> Matrix:
    return np.stack([row.vector for row in rows])


def _best(before: Matrix | None, scores: Matrix) -> Matrix:
    """Return float32 (n, at most 10): the greatest scores of each row so far."""
    both = scores if before is None else np.concatenate([before, scores], axis=1)
    return np.sort(both, axis=1)[:, -_K:]
