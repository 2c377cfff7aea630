"""What every vector index does; see `ports.VectorIndex`."""

import asyncio
import math
import os
from collections.abc import AsyncGenerator
from pathlib import Path

import numpy as np
import pytest

from dinoserve.adapters.exact_index import ExactIndex
from dinoserve.adapters.mapped_index import Limits, MappedIndex
from dinoserve.adapters.qdrant_index import QdrantIndex
from dinoserve.domain.vectors import Matrix
from dinoserve.ports import Nearest, Space, VectorIndex
from dinoserve.telemetry import Metrics
from mongo_search_server import searching
from mongo_server import database_of, fresh_database
from needs import MONGODB_SEARCH_URL, QDRANT_URL
from records import a_vector
from searched_mongo import searched

HERE = Space("default", "r1")
WIDTH = 8


MONGO = [
    pytest.param(name, marks=pytest.mark.needs("mongodb"))
    for name in ("mongodb, settled", "mongodb, recent")
]
REAL = pytest.param("mongodb", marks=pytest.mark.needs("mongodb-search"))
QDRANT = [
    "qdrant, local",
    pytest.param("qdrant", marks=pytest.mark.needs("qdrant")),
]


LIMITS = {
    "mapped": Limits(),
    "mapped, written at once": Limits(file_from=1, erase_s=0),
}


@pytest.fixture(params=["exact", *LIMITS, *MONGO, REAL, *QDRANT])
async def index(
    request: pytest.FixtureRequest, tmp_path: Path
) -> AsyncGenerator[VectorIndex]:
    if request.param == "exact":
        yield ExactIndex()
    elif limits := LIMITS.get(request.param):
        async with MappedIndex.open(tmp_path / "index", limits, Metrics()) as index:
            await index.retain("r1", {})
            yield index
    elif request.param.startswith("qdrant"):
        local = request.param.endswith("local")
        url = ":memory:" if local else os.environ[QDRANT_URL]
        async with QdrantIndex.open(url) as index:
            await remove_all(index)
            yield index
    elif request.param == "mongodb":
        async with (
            database_of(os.environ[MONGODB_SEARCH_URL]) as url,
            searched(url) as index,
        ):
            yield index
    else:
        async with fresh_database() as url, searching(url) as server:
            if request.param.endswith("recent"):
                server.knows = set()
            settling_s = 0 if server.knows is None else math.inf
            async with searched(server.url, settling_s) as index:
                yield index


async def remove_all(index: QdrantIndex) -> None:
    """Empty what an earlier test left on the server."""
    for recipe in ("r1", "r2"):
        await index._client.delete_collection(f"dinoserve-{recipe}")  # pyright: ignore[reportPrivateUsage] - no user empties a server


def ids_of(found: Nearest) -> list[str]:
    return [hit.asset_id for hit in found.hits]


def rows(*seeds: int) -> Matrix:
    return np.stack([a_vector(seed, WIDTH) for seed in seeds])


async def test_the_nearest_comes_first(index: VectorIndex) -> None:
    await index.upsert(HERE, ["a", "b", "c"], rows(1, 2, 3))
    hits = (await index.search(HERE, a_vector(2), 3, None)).hits
    assert hits[0].asset_id == "b"
    assert [hit.score for hit in hits] == sorted(
        (hit.score for hit in hits), reverse=True
    )


async def test_scores_are_cosines(index: VectorIndex) -> None:
    await index.upsert(HERE, ["a"], rows(1))
    (hit,) = (await index.search(HERE, a_vector(2), 1, None)).hits
    assert hit.score == pytest.approx(float(a_vector(1) @ a_vector(2)), abs=1e-6)


async def test_scores_stay_within_their_bounds(index: VectorIndex) -> None:
    vectors = rows(*range(200))
    await index.upsert(HERE, [f"{n:03}" for n in range(200)], vectors)
    for sign in (1, -1):
        for vector in vectors[:50]:
            hits = (await index.search(HERE, sign * vector, 200, None)).hits
            assert all(-1 <= hit.score <= 1 for hit in hits)


async def test_k_bounds_the_hits(index: VectorIndex) -> None:
    await index.upsert(HERE, ["a", "b", "c"], rows(1, 2, 3))
    assert len((await index.search(HERE, a_vector(2), 2, None)).hits) == 2


async def test_k_beyond_the_count_gives_all(index: VectorIndex) -> None:
    await index.upsert(HERE, ["a", "b", "c"], rows(1, 2, 3))
    assert len((await index.search(HERE, a_vector(2), 9, None)).hits) == 3


@pytest.mark.parametrize("k", [1, 5, 29, 30])
async def test_ties_go_by_ascending_id(index: VectorIndex, k: int) -> None:
    ids = [f"{n * 7 % 30:02}" for n in range(30)]
    await index.upsert(HERE, ids, rows(*[1] * 30))
    found = await index.search(HERE, a_vector(2), k, None)
    assert ids_of(found) == sorted(ids)[:k]


async def test_equal_vectors_score_equally_wherever_they_lie(
    index: VectorIndex,
) -> None:
    width = 387
    vectors = np.stack([a_vector(seed % 3, width) for seed in range(301)])
    await index.upsert(HERE, [f"{n:03}" for n in range(301)], vectors)
    hits = (await index.search(HERE, a_vector(9, width), 301, None)).hits
    assert len({hit.score for hit in hits}) == 3


async def test_among_limits_the_hits(index: VectorIndex) -> None:
    await index.upsert(HERE, ["a", "b", "c"], rows(1, 2, 3))
    found = await index.search(HERE, a_vector(2), 3, {"a", "c", "absent"})
    assert set(ids_of(found)) == {"a", "c"}


@pytest.mark.parametrize("share", [1, 40, 399])
async def test_among_few_and_among_many_rank_alike(
    index: VectorIndex, share: int
) -> None:
    ids = [f"{n:03}" for n in range(400)]
    await index.upsert(HERE, ids, rows(*range(400)))
    everything = (await index.search(HERE, a_vector(500), 400, None)).hits
    among = set(ids[:share])
    expected = [hit for hit in everything if hit.asset_id in among][:5]
    assert (await index.search(HERE, a_vector(500), 5, among)).hits == expected


async def test_among_none_there_gives_nothing(index: VectorIndex) -> None:
    await index.upsert(HERE, ["a"], rows(1))
    assert (await index.search(HERE, a_vector(1), 1, {"absent"})).hits == []
    assert (await index.search(HERE, a_vector(1), 1, set())).hits == []


async def test_an_unknown_space_gives_nothing(index: VectorIndex) -> None:
    assert (await index.search(HERE, a_vector(1), 1, None)).hits == []
    assert await index.count(HERE) == 0


@pytest.mark.parametrize("other", [Space("other", "r1"), Space("default", "r2")])
async def test_spaces_never_meet(index: VectorIndex, other: Space) -> None:
    await index.upsert(HERE, ["a"], rows(1))
    await index.upsert(other, ["b"], rows(1))
    assert ids_of(await index.search(HERE, a_vector(1), 9, None)) == ["a"]
    await index.delete(other, ["a", "b"])
    assert await index.count(HERE) == 1


async def test_asking_for_an_asset_of_another_collection_finds_nothing(
    index: VectorIndex,
) -> None:
    await index.upsert(Space("other", "r1"), ["a"], rows(1))
    assert (await index.search(HERE, a_vector(1), 9, {"a"})).hits == []


async def test_an_upsert_replaces(index: VectorIndex) -> None:
    await index.upsert(HERE, ["a", "b"], rows(1, 2))
    await index.upsert(HERE, ["a"], rows(3))
    (best, _) = (await index.search(HERE, a_vector(3), 2, None)).hits
    assert best.asset_id == "a"
    assert best.score == pytest.approx(1.0, abs=1e-6)
    assert await index.count(HERE) == 2


async def test_an_upsert_of_nothing_does_nothing(index: VectorIndex) -> None:
    await index.upsert(HERE, [], np.empty((0, WIDTH), np.float32))
    assert await index.count(HERE) == 0


async def test_changing_what_was_given_changes_nothing_indexed(
    index: VectorIndex,
) -> None:
    given = rows(1)
    await index.upsert(HERE, ["a"], given)
    given[:] = 0
    (hit,) = (await index.search(HERE, a_vector(1), 1, None)).hits
    assert hit.score == pytest.approx(1.0, abs=1e-6)


async def test_the_next_search_misses_what_was_deleted(index: VectorIndex) -> None:
    await index.upsert(HERE, ["a", "b", "c"], rows(1, 2, 3))
    await index.delete(HERE, ["a", "absent"])
    assert set(ids_of(await index.search(HERE, a_vector(1), 9, None))) == {
        "b",
        "c",
    }
    assert await index.count(HERE) == 2


async def test_deleting_from_an_unknown_space_does_nothing(
    index: VectorIndex,
) -> None:
    await index.delete(HERE, ["a"])
    assert await index.count(HERE) == 0


async def test_what_was_deleted_can_come_again(index: VectorIndex) -> None:
    await index.upsert(HERE, ["a"], rows(1))
    await index.delete(HERE, ["a"])
    await index.upsert(HERE, ["a"], rows(2))
    assert ids_of(await index.search(HERE, a_vector(1), 9, None)) == ["a"]


async def test_a_query_of_another_width_is_a_bug(index: VectorIndex) -> None:
    await index.upsert(HERE, ["a"], rows(1))
    with pytest.raises(ValueError, match="width"):
        await index.search(HERE, a_vector(1, WIDTH + 1), 1, None)


async def test_vectors_of_another_width_are_a_bug(index: VectorIndex) -> None:
    await index.upsert(HERE, ["a"], rows(1))
    with pytest.raises(ValueError, match="width"):
        await index.upsert(HERE, ["b"], a_vector(1, WIDTH + 1)[np.newaxis])
    assert await index.count(HERE) == 1


async def test_more_ids_than_vectors_are_a_bug(index: VectorIndex) -> None:
    with pytest.raises(ValueError, match="2 ids"):
        await index.upsert(HERE, ["a", "b"], rows(1))


async def test_k_below_one_is_a_bug(index: VectorIndex) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        await index.search(HERE, a_vector(1), 0, None)


async def test_searches_beside_writes_never_see_a_torn_row(
    index: VectorIndex,
) -> None:
    width = 4096
    ids = [f"{n:02}" for n in range(64)]
    ones = np.full((64, width), 1 / 64, np.float32)
    await index.upsert(HERE, ids, ones)

    async def flip() -> None:
        for turn in range(20):
            await index.upsert(HERE, ids, ones if turn % 2 else -ones)

    async def look() -> set[float]:
        found: set[float] = set()
        for _ in range(20):
            hits = (await index.search(HERE, ones[0], 64, None)).hits
            found |= {hit.score for hit in hits}
        return found

    _, *seen = await asyncio.gather(flip(), look(), look())
    assert set().union(*seen) <= {1.0, -1.0}


async def test_fifty_concurrent_upserts_all_arrive(index: VectorIndex) -> None:
    vectors = rows(*range(50))
    await asyncio.gather(
        *(index.upsert(HERE, [f"{n:02}"], vectors[n : n + 1]) for n in range(50))
    )
    for seed in range(50):
        (hit,) = (await index.search(HERE, a_vector(seed), 1, None)).hits
        assert hit.asset_id == f"{seed:02}"
