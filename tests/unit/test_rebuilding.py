"""An index is filled from the store, and what it finds is compared."""

from collections.abc import Collection

import numpy as np
import pytest

from dinoserve.adapters.exact_index import ExactIndex
from dinoserve.adapters.memory import MemoryDocuments
from dinoserve.adapters.qdrant_index import QdrantIndex
from dinoserve.domain.vectors import Embedding, Vector
from dinoserve.ports import Nearest, Space
from dinoserve.services.rebuilding import SAMPLE, Rebuilding
from records import a_recipe, a_vector, an_asset

RECIPE = a_recipe()
HERE = Space("default", RECIPE.id)
COUNT = 150


class Forgetful(ExactIndex):
    """Finds the farthest for every second query."""

    turn = 0

    async def search(
        self,
        space: Space,
        query: Vector,
        k: int,
        among: Collection[str] | None,
        *,
        exact: bool = False,
    ) -> Nearest:
        self.turn += 1
        sign = np.float32(1 if self.turn % 2 else -1)
        found = await super().search(space, sign * query, k, among, exact=exact)
        hits = [type(hit)(hit.asset_id, float(sign) * hit.score) for hit in found.hits]
        return Nearest(hits, found.path, found.is_exact)


@pytest.fixture
async def documents() -> MemoryDocuments:
    store = MemoryDocuments()
    for seed in range(COUNT):
        asset = an_asset(seed, collection="default" if seed % 3 else "other")
        vector = a_vector(seed, RECIPE.dimension)
        await store.add(asset, Embedding(asset.id, RECIPE.id, vector))
    return store


async def test_every_vector_of_the_store_is_found(documents: MemoryDocuments) -> None:
    async with QdrantIndex.open(":memory:") as index:
        told: list[int] = []
        work = Rebuilding(documents, index, told.append)
        assert await work.fill(RECIPE) == COUNT
        assert await index.count(HERE) == 100
        assert await index.count(Space("other", RECIPE.id)) == 50
        assert await work.recall(RECIPE) == 1
        assert sum(told) == 2 * COUNT


async def test_what_the_store_does_not_have_is_taken_out(
    documents: MemoryDocuments,
) -> None:
    async with QdrantIndex.open(":memory:") as index:
        vector = a_vector(999, RECIPE.dimension)
        await index.upsert(HERE, ["gone"], vector[None])
        await Rebuilding(documents, index, lambda _: None).fill(RECIPE)
        hits = (await index.search(HERE, vector, 200, None)).hits
    assert len(hits) == 100
    assert "gone" not in {hit.asset_id for hit in hits}


async def test_a_recipe_whose_last_vector_was_erased_is_emptied() -> None:
    async with QdrantIndex.open(":memory:") as index:
        vector = a_vector(999, RECIPE.dimension)
        await index.upsert(HERE, ["gone"], vector[None])
        work = Rebuilding(MemoryDocuments(), index, lambda _: None)
        assert await work.fill(RECIPE) == 0
        assert await index.count(HERE) == 0


async def test_recall_tells_of_an_index_that_misses_half(
    documents: MemoryDocuments,
) -> None:
    index = Forgetful()
    work = Rebuilding(documents, index, lambda _: None)
    await work.fill(RECIPE)
    assert await work.recall(RECIPE) == pytest.approx(0.5, abs=0.01)
    assert index.turn == SAMPLE


async def test_where_nothing_is_to_be_found_nothing_is_missed() -> None:
    work = Rebuilding(MemoryDocuments(), ExactIndex(), lambda _: None)
    assert await work.fill(RECIPE) == 0
    assert await work.recall(RECIPE) == 1
