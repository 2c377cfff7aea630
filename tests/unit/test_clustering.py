"""Clusters by a library: one set at a time, and not too many that wait."""

import asyncio
import importlib
from typing import Any

import numpy as np
import pytest

from dinoserve.adapters.clustering import LearnedClustering
from dinoserve.domain.vectors import Matrix
from dinoserve.errors import OverloadedError


def vectors(count: int) -> Matrix:
    return np.random.default_rng(3).normal(size=(count, 32)).astype(np.float32)


def threads() -> list[int]:
    """How many threads each library that computes may use."""
    library: Any = importlib.import_module("threadpoolctl")
    return [int(pool["num_threads"]) for pool in library.threadpool_info()]


async def test_sets_that_are_clustered_at_once_leave_every_library_its_threads() -> (
    None
):
    clustering = LearnedClustering()
    rows = vectors(500)
    await clustering.kmeans(rows, 2)  # the libraries are there from here on
    before = threads()

    await asyncio.gather(*(clustering.kmeans(rows, 5 + 3 * at) for at in range(6)))

    assert threads() == before


async def test_more_sets_than_may_wait_are_refused_at_once() -> None:
    clustering = LearnedClustering()
    rows = vectors(50)

    async with asyncio.TaskGroup() as group:
        made = [group.create_task(clustering.kmeans(rows, 2)) for _ in range(16)]
        await asyncio.sleep(0)
        with pytest.raises(OverloadedError):
            await clustering.kmeans(rows, 2)

    assert {len(task.result()) for task in made} == {50}


async def test_a_caller_who_left_holds_no_place() -> None:
    clustering = LearnedClustering()
    rows = vectors(50)
    left = [asyncio.create_task(clustering.kmeans(rows, 2)) for _ in range(16)]
    await asyncio.sleep(0)
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)

    assert len(await clustering.kmeans(rows, 2)) == 50


async def test_the_same_vectors_give_the_same_clusters() -> None:
    clustering = LearnedClustering()
    rows = vectors(200)

    first, second = [await clustering.kmeans(rows, 7) for _ in range(2)]

    assert np.array_equal(first, second)
