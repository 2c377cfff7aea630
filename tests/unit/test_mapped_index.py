"""What is special to the index in files: graph, restart, damage, erasure, builds."""

import json
import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dinoserve.adapters.exact_index import ExactIndex
from dinoserve.adapters.mapped_index import Limits, MappedIndex, files, index
from dinoserve.adapters.mapped_index.planning import walk_effort
from dinoserve.domain.vectors import Matrix, to_bytes
from dinoserve.ports import Nearest, Space, VectorIndex
from dinoserve.telemetry import Metrics

HERE = Space("default", "r1")
WIDTH = 16
COUNT = 3000
# A walk is cheaper than comparing from 300 vectors on.
GRAPH = Limits(graph_from=500, file_from=200, effort=30, links=16, sample_every=10)
FLAT = replace(GRAPH, graph_from=10**6)
IDS = [f"{number:032x}" for number in range(COUNT)]


def unit(count: int, seed: int = 0) -> Matrix:
    rows = np.random.default_rng(seed).standard_normal((count, WIDTH))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


VECTORS = unit(COUNT)
QUERIES = unit(50, seed=1)


@asynccontextmanager
async def opened(
    root: Path, limits: Limits = GRAPH, metrics: Metrics | None = None
) -> AsyncGenerator[MappedIndex]:
    async with MappedIndex.open(root, limits, metrics or Metrics()) as index:
        yield index


async def fill(index: VectorIndex, vectors: Matrix = VECTORS) -> None:
    """Give everything as a start does."""
    for start in range(0, len(vectors), 512):
        ids = IDS[start : start + 512][: len(vectors) - start]
        await index.upsert(HERE, ids, vectors[start : start + 512])
    await index.retain(HERE.recipe, {HERE.collection: IDS[: len(vectors)]})


@asynccontextmanager
async def built(
    root: Path, limits: Limits = GRAPH, metrics: Metrics | None = None
) -> AsyncGenerator[MappedIndex]:
    async with opened(root, limits, metrics) as index:
        await fill(index)
        await index.settled()
        yield index


def the_file(root: Path, end: str) -> Path:
    (path,) = root.glob(f"*/*.{end}")
    return path


def everything(root: Path) -> bytes:
    return b"".join(path.read_bytes() for path in root.rglob("*") if path.is_file())


def ids_of(found: Nearest) -> list[str]:
    return [hit.asset_id for hit in found.hits]


async def recall(
    index: VectorIndex, truth: VectorIndex, among: set[str] | None
) -> float:
    same = 0
    for query in QUERIES:
        found = ids_of(await index.search(HERE, query, 10, among))
        same += len({*found} & {*ids_of(await truth.search(HERE, query, 10, among))})
    return same / (10 * len(QUERIES))


@pytest.fixture
async def truth() -> ExactIndex:
    index = ExactIndex()
    await fill(index)
    return index


async def test_a_large_space_is_searched_by_a_graph_and_says_so(
    tmp_path: Path, truth: ExactIndex
) -> None:
    async with built(tmp_path) as index:
        found = await index.search(HERE, QUERIES[0], 10, None)
        assert (found.path, found.is_exact) == ("graph", False)
        assert await recall(index, truth, None) > 0.9
        assert (await index.ping()).startswith("graph, in this process, 3000 vectors")


@pytest.mark.parametrize("k", [1, 10, 1000, COUNT])
async def test_exact_is_as_exact_as_comparing_float32(
    tmp_path: Path, truth: ExactIndex, k: int
) -> None:
    async with built(tmp_path) as index:
        for query in QUERIES[:10]:
            found = await index.search(HERE, query, k, None, exact=True)
            assert found == await truth.search(HERE, query, k, None)


async def test_exact_tells_apart_what_float16_cannot(tmp_path: Path) -> None:
    noise = np.random.default_rng(3).standard_normal((COUNT, WIDTH)) * 1e-6
    near = VECTORS[:1] + noise
    near = (near / np.linalg.norm(near, axis=1, keepdims=True)).astype(np.float32)
    truth = ExactIndex()
    await fill(truth, near)
    async with opened(tmp_path, FLAT) as index:
        await fill(index, near)
        await index.settled()
        found = await index.search(HERE, near[7], 5, None)
    assert found == await truth.search(HERE, near[7], 5, None)


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5, 0.9])
async def test_a_filter_keeps_the_recall(
    tmp_path: Path, truth: ExactIndex, share: float
) -> None:
    chosen = np.random.default_rng(5).random(COUNT) < share
    among = {IDS[row] for row in np.flatnonzero(chosen)}
    async with built(tmp_path) as index:
        assert await recall(index, truth, among) > 0.9
        found = await index.search(HERE, QUERIES[0], 10, among)
    assert set(ids_of(found)) <= among


async def test_a_set_that_comes_again_misses_what_was_deleted_meanwhile(
    tmp_path: Path, truth: ExactIndex
) -> None:
    among = frozenset(IDS[:1500])
    async with built(tmp_path, replace(GRAPH, rebuild_share=1)) as index:
        before = await index.search(HERE, QUERIES[0], 9, among)
        gone = ids_of(before)[:3]
        for each in (index, truth):
            await each.delete(HERE, gone)
        found = await index.search(HERE, QUERIES[0], 9, among, exact=True)
    assert found == await truth.search(HERE, QUERIES[0], 9, among)
    assert not set(gone) & set(ids_of(found))


async def test_what_is_deleted_is_never_found_and_costs_no_recall(
    tmp_path: Path, truth: ExactIndex
) -> None:
    async with built(tmp_path, replace(GRAPH, rebuild_share=1)) as index:
        for each in (index, truth):
            await each.delete(HERE, IDS[::5])
        assert (await index.search(HERE, QUERIES[0], 9, None)).path == "graph"
        assert await recall(index, truth, None) > 0.9
        found = await index.search(HERE, VECTORS[0], 1000, None)
    assert not set(ids_of(found)) & set(IDS[::5])


async def test_new_rows_are_found_before_they_are_in_the_graph(tmp_path: Path) -> None:
    async with built(tmp_path) as index:
        await index.upsert(HERE, ["new", IDS[3]], QUERIES[:2])
        assert ids_of(await index.search(HERE, QUERIES[0], 1, None)) == ["new"]
        found = await index.search(HERE, QUERIES[1], 1, None)
        assert ids_of(found) == [IDS[3]]
        assert ids_of(await index.search(HERE, VECTORS[3], 1, None)) != [IDS[3]]
        assert await index.count(HERE) == COUNT + 1


async def test_a_restart_takes_the_graph_from_the_files(tmp_path: Path) -> None:
    async with built(tmp_path) as index:
        before = await index.search(HERE, QUERIES[0], 10, None)
    metrics = Metrics()
    async with opened(tmp_path, metrics=metrics) as index:
        await fill(index)
        await index.settled()
        assert await index.search(HERE, QUERIES[0], 10, None) == before
    assert 'index_builds_total{outcome="done"}' not in metrics.render().decode()


async def test_a_restart_sees_what_changed_in_the_store_meanwhile(
    tmp_path: Path,
) -> None:
    async with built(tmp_path):
        pass
    changed = VECTORS.copy()
    changed[3] = QUERIES[0]
    async with opened(tmp_path) as index:
        await index.upsert(HERE, IDS[1:], changed[1:])
        await index.retain(HERE.recipe, {HERE.collection: IDS[1:]})
        assert ids_of(await index.search(HERE, QUERIES[0], 1, None)) == [IDS[3]]
        assert IDS[0] not in ids_of(await index.search(HERE, VECTORS[0], 9, None))


async def test_files_of_another_recipe_are_taken_away(tmp_path: Path) -> None:
    async with built(tmp_path):
        pass
    other = Space("default", "r2")
    async with opened(tmp_path) as index:
        await index.upsert(other, ["a"], VECTORS[:1])
        await index.retain(other.recipe, {other.collection: ["a"]})
        assert await index.count(HERE) == 0
    assert everything(tmp_path) == b""


@pytest.mark.parametrize("end", ["ids", "rows", "codes", "json"])
@pytest.mark.parametrize("damage", ["cut", "changed", "missing"])
async def test_damaged_files_are_made_anew_and_searches_stay_right(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    truth: ExactIndex,
    end: str,
    damage: str,
) -> None:
    async with built(tmp_path):
        pass
    path = the_file(tmp_path, end)
    whole = path.read_bytes()
    if damage == "missing":
        path.unlink()
    else:
        middle = len(whole) // 2
        flipped = whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]
        path.write_bytes(whole[:middle] if damage == "cut" else flipped)
    caplog.set_level(logging.WARNING)
    async with opened(tmp_path) as index:
        await fill(index)
        for query in QUERIES[:5]:
            found = await index.search(HERE, query, 10, None, exact=True)
            assert found == await truth.search(HERE, query, 10, None)
        await index.settled()
        found = await index.search(HERE, QUERIES[0], 10, None)
        assert found.path == "graph"
    # Changed rows are found by comparing them with the store's.
    assert ("is made anew" in caplog.text) is ((end, damage) != ("rows", "changed"))


async def test_an_erased_vector_leaves_the_files(tmp_path: Path) -> None:
    async with built(tmp_path, replace(GRAPH, erase_s=0)) as index:
        await index.delete(HERE, IDS[:1])
        await index.settled()
    kept = everything(tmp_path)
    assert IDS[1].encode() in kept
    assert to_bytes(VECTORS[1]) in kept
    assert IDS[0].encode() not in kept
    assert to_bytes(VECTORS[0]) not in kept
    assert VECTORS[0].astype(np.float16).tobytes() not in kept


async def test_a_space_that_was_emptied_leaves_no_files(tmp_path: Path) -> None:
    async with built(tmp_path) as index:
        await index.delete(HERE, IDS)
        await index.settled()
        assert (await index.search(HERE, QUERIES[0], 9, None)).hits == []
    assert everything(tmp_path) == b""


async def test_changes_during_a_build_are_not_lost(tmp_path: Path) -> None:
    async with opened(tmp_path) as index:
        await fill(index)
        added = 0
        while await index.count(HERE) < COUNT + 50:
            await index.upsert(HERE, [f"new{added}"], QUERIES[added : added + 1])
            await index.delete(HERE, [IDS[added]])
            await index.upsert(HERE, [IDS[added]], VECTORS[added : added + 1])
            added += 1
        await index.settled()
        for row in range(50):
            for vector, name in ((QUERIES[row], f"new{row}"), (VECTORS[row], IDS[row])):
                found = await index.search(HERE, vector, 1, None, exact=True)
                assert ids_of(found) == [name]
        assert await index.count(HERE) == COUNT + 50


async def test_a_build_that_fails_leaves_searches_exact(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, truth: ExactIndex
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(index, "_LOOK_S", 0)
    write = files.write
    monkeypatch.setattr(files, "write", full)
    metrics = Metrics()
    async with opened(tmp_path, metrics=metrics) as broken:
        await fill(broken)
        found = await broken.search(HERE, QUERIES[0], 10, None)
        assert found == await truth.search(HERE, QUERIES[0], 10, None)
        monkeypatch.setattr(files, "write", write)
        await broken.settled()
        assert (await broken.search(HERE, QUERIES[0], 10, None)).path == "graph"
    assert 'index_builds_total{outcome="failed"}' in metrics.render().decode()


async def test_every_tenth_walk_is_compared_with_the_truth(tmp_path: Path) -> None:
    metrics = Metrics()
    async with built(tmp_path, metrics=metrics) as index:
        for query in QUERIES[:10]:
            await index.search(HERE, query, 10, None)
    assert "dinoserve_index_recall_count 1.0" in metrics.render().decode()


async def test_a_manifest_of_a_later_format_is_not_read(tmp_path: Path) -> None:
    async with built(tmp_path):
        pass
    path = the_file(tmp_path, "json")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": 2}))
    async with opened(tmp_path) as index:
        assert await index.count(HERE) == 0


@pytest.mark.parametrize("kind", ["exact", "mapped"])
async def test_only_what_is_retained_stays(tmp_path: Path, kind: str) -> None:
    other = Space("other", "r1")
    async with opened(tmp_path) as mapped:
        index: VectorIndex = mapped if kind == "mapped" else ExactIndex()
        await index.upsert(HERE, ["a", "b"], VECTORS[:2])
        await index.upsert(other, ["c"], VECTORS[:1])
        await index.retain(HERE.recipe, {HERE.collection: ["b", "absent"]})
        assert ids_of(await index.search(HERE, QUERIES[0], 9, None)) == ["b"]
        assert await index.count(other) == 0


def test_a_walk_keeps_more_the_fewer_are_meant_until_comparing_is_cheaper() -> None:
    limits = Limits(effort=400)
    million = 1_000_000
    assert walk_effort(limits, 10, million, million) == 400
    assert walk_effort(limits, 10, million // 2, million) == 800
    assert walk_effort(limits, 1000, million, million) == 2000
    assert walk_effort(limits, 10, million // 100, million) is None
    assert walk_effort(limits, 10, 0, million) is None
