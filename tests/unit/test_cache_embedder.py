"""The engine behind the cache: the same answers and limits, less work."""

from collections.abc import AsyncIterator

import numpy as np
import pytest

from dinoserve.adapters.memory_cache import MemoryCache
from dinoserve.domain.framing import Framing
from dinoserve.errors import InvalidInputError
from dinoserve.services.cached_embedder import CachedEmbedder
from dinoserve.services.caching import CachePolicy, TwoLevels
from dinoserve.telemetry import Metrics
from guarded_forward import MAX_PATCHES, GuardedForward, png, serving

FRAMING = Framing("64x96", "squash")
LARGE = Framing("128x128", "squash")  # 16 patches: two of them are a request's limit


@pytest.fixture
def forward() -> GuardedForward:
    return GuardedForward()


@pytest.fixture
async def embedder(forward: GuardedForward) -> AsyncIterator[CachedEmbedder]:
    metrics = Metrics()
    levels = TwoLevels(MemoryCache(10_000_000, metrics), None, CachePolicy(), metrics)
    async with serving(forward, metrics) as engine:
        yield CachedEmbedder.over(engine, levels, 2 * MAX_PATCHES)


async def test_features_of_the_same_bytes_are_computed_once(
    embedder: CachedEmbedder, forward: GuardedForward
) -> None:
    [first] = await embedder.features([png(1)], FRAMING)
    forward.batches.clear()

    [second] = await embedder.features([png(1)], FRAMING)

    assert forward.batches == []
    assert np.array_equal(first.tokens, second.tokens)
    assert (second.geometry, second.recipe) == (first.geometry, first.recipe)


async def test_features_of_another_size_are_others(embedder: CachedEmbedder) -> None:
    [small] = await embedder.features([png(1)], FRAMING)
    [large] = await embedder.features([png(1)], LARGE)

    assert len(small.tokens) == 1 + 2 * 3
    assert len(large.tokens) == 1 + 4 * 4


async def test_vectors_and_features_do_not_meet(embedder: CachedEmbedder) -> None:
    [features] = await embedder.features([png(1)])
    [embedded] = await embedder.embed([png(1)])

    assert embedded.vector.ndim == 1
    assert features.tokens.ndim == 2


async def test_a_bad_image_is_named_by_its_place_in_the_request(
    embedder: CachedEmbedder,
) -> None:
    await embedder.embed([png(1)])

    with pytest.raises(InvalidInputError) as caught:
        await embedder.embed([png(1), png(2), b"no image"])

    assert caught.value.extra["field"] == "images[2]"


async def test_what_is_cached_does_not_widen_the_limit_of_a_request(
    embedder: CachedEmbedder,
) -> None:
    for seed in range(3):
        await embedder.features([png(seed)], LARGE)

    with pytest.raises(InvalidInputError, match="patches"):
        await embedder.features([png(seed) for seed in range(3)], LARGE)
