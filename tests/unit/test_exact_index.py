"""What is special to the exact index: its rows grow, move and stay right."""

import numpy as np

from dinoserve.adapters.exact_index import ExactIndex
from dinoserve.ports import Space

HERE = Space("default", "r1")


async def test_after_thousands_of_changes_every_vector_is_found_by_itself() -> None:
    rng = np.random.default_rng(7)
    index = ExactIndex()
    kept: dict[str, np.ndarray] = {}
    for step in range(60):
        ids = [f"{step:02}-{n:03}" for n in range(40)]
        vectors = rng.standard_normal((40, 16)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        await index.upsert(HERE, ids, vectors)
        kept |= dict(zip(ids, vectors, strict=True))
        gone = rng.choice(sorted(kept), 20, replace=False).tolist()
        await index.delete(HERE, gone)
        for asset_id in gone:
            del kept[asset_id]
    assert await index.count(HERE) == len(kept) == 1200
    for asset_id, vector in kept.items():
        (hit,) = (await index.search(HERE, vector, 1, None)).hits
        assert hit.asset_id == asset_id


async def test_the_last_of_two_rows_of_one_id_counts() -> None:
    index = ExactIndex()
    vectors = np.array([[1, 0], [0, 1]], np.float32)
    await index.upsert(HERE, ["a", "a"], vectors)
    (hit,) = (await index.search(HERE, vectors[1], 9, None)).hits
    assert hit.score == 1.0


async def test_the_order_is_that_of_float64_where_float32_cannot_tell() -> None:
    rng = np.random.default_rng(3)
    base = rng.standard_normal(1024)
    near = base + rng.standard_normal((500, 1024)) * 1e-5
    vectors = (near / np.linalg.norm(near, axis=1, keepdims=True)).astype(np.float32)
    query = vectors[0]
    exact = (vectors.astype(np.float64) * query).sum(axis=1)
    ids = [f"{n:03}" for n in range(500)]
    index = ExactIndex()
    await index.upsert(HERE, ids, vectors)
    hits = (await index.search(HERE, query, 20, None)).hits
    clipped = np.clip(exact, -1, 1)
    expected = sorted(range(500), key=lambda row: (-clipped[row], row))[:20]
    assert [hit.asset_id for hit in hits] == [ids[row] for row in expected]
