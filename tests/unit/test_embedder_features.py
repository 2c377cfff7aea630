import asyncio

import numpy as np
import pytest

from dinoserve.domain.assets import ImageInfo
from dinoserve.domain.framing import Framing
from dinoserve.domain.vectors import normalise
from dinoserve.engine.embedder import EngineLimits, QueuedEmbedder
from dinoserve.engine.stub import StubForward
from dinoserve.errors import (
    ImageUnsupportedError,
    InvalidInputError,
    OverloadedError,
    UnavailableError,
)
from dinoserve.telemetry import Metrics
from guarded_forward import (
    LIMITS,
    MAX_PATCHES,
    MAX_WAITING,
    GuardedForward,
    occupy,
    png,
    until,
    waiting_for_the_device,
    white,
)

FRAMING = Framing("64x96", "squash")


async def test_each_image_gets_every_token_in_order(embedder: QueuedEmbedder) -> None:
    pictures = [png(1), png(2, 20, 50), png(3)]
    together = await embedder.features(pictures, FRAMING)
    alone = [(await embedder.features([one], FRAMING))[0] for one in pictures]
    for one, other in zip(together, alone, strict=True):
        assert one.tokens == pytest.approx(other.tokens, abs=1e-6)
    assert {one.tokens.shape for one in together} == {(1 + 2 * 3, 64)}
    assert {one.tokens.dtype.name for one in together} == {"float32"}


async def test_features_tell_image_geometry_and_registers(
    embedder: QueuedEmbedder,
) -> None:
    (one,) = await embedder.features([png(1, 20, 50)], FRAMING)
    geometry = one.geometry
    assert one.image == ImageInfo("image/png", 20, 50)
    assert (geometry.rows, geometry.columns, one.registers) == (2, 3, 0)


async def test_features_of_a_framing_have_its_recipe(
    embedder: QueuedEmbedder, forward: GuardedForward
) -> None:
    (one,) = await embedder.features([png(1)], FRAMING)
    assert one.recipe == forward.recipe(FRAMING) != embedder.card.recipe


async def test_features_without_a_framing_have_the_recipe_of_embeddings(
    embedder: QueuedEmbedder,
) -> None:
    (one,) = await embedder.features([png(1)])
    assert one.recipe == embedder.card.recipe


async def test_the_class_token_has_the_direction_of_the_embedding(
    embedder: QueuedEmbedder,
) -> None:
    (features,) = await embedder.features([png(1)])
    (embedded,) = await embedder.embed([png(1)])
    assert normalise(features.tokens[0]) == pytest.approx(embedded.vector, abs=1e-6)


async def test_tokens_keep_no_batch_in_memory(embedder: QueuedEmbedder) -> None:
    results = await embedder.features([png(1), png(2)], FRAMING)
    assert [result.tokens.base for result in results] == [None, None]


async def test_no_image_has_no_features(embedder: QueuedEmbedder) -> None:
    assert await embedder.features([]) == []


async def test_callers_that_want_tokens_of_one_size_share_a_forward(
    embedder: QueuedEmbedder, forward: GuardedForward
) -> None:
    first = await occupy(embedder, forward)
    rest = [
        asyncio.create_task(embedder.features([png(seed)], Framing("32x32", "squash")))
        for seed in range(3)
    ]
    await until(lambda: waiting_for_the_device(embedder) == 3)
    forward.open_doors()
    await asyncio.gather(first, *rest)
    assert forward.batches == [1, 3]


async def test_a_large_image_drags_no_small_one_along(
    embedder: QueuedEmbedder, forward: GuardedForward
) -> None:
    first = await occupy(embedder, forward)
    sizes = ("32x32", "64x32", "32x32", "32x64", "32x32")
    rest = [
        asyncio.create_task(embedder.features([png(1)], Framing(size, "squash")))
        for size in sizes
    ]
    await until(lambda: waiting_for_the_device(embedder) == 5)
    forward.open_doors()
    await asyncio.gather(first, *rest)
    assert forward.batches == [1, 3, 1, 1]


async def test_vectors_and_tokens_of_one_size_come_from_forwards_of_their_own(
    embedder: QueuedEmbedder, forward: GuardedForward
) -> None:
    first = await occupy(embedder, forward)
    vectors = asyncio.create_task(embedder.embed([png(1)] * 2))
    await until(lambda: waiting_for_the_device(embedder) == 2)
    tokens = asyncio.create_task(embedder.features([png(1)]))
    await until(lambda: waiting_for_the_device(embedder) == 3)
    forward.open_doors()
    await asyncio.gather(first, vectors)
    assert (await tokens)[0].tokens.shape == (2, 64)
    assert forward.batches == [1, 2, 1]


async def test_a_batch_has_no_more_tokens_than_one_of_the_default_size(
    embedder: QueuedEmbedder, forward: GuardedForward
) -> None:
    # Four of the default size have 8 tokens; two of 32 x 64 have 6, three have 9.
    await embedder.features([png(1)] * 4, Framing("32x64", "squash"))
    assert forward.batches == [2, 2]


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
async def test_tokens_that_are_not_finite_are_never_served(
    embedder: QueuedEmbedder, forward: GuardedForward, number: float
) -> None:
    forward.white_gives = number
    with pytest.raises(UnavailableError):
        await embedder.features([white()], FRAMING)


async def test_too_many_patches_are_refused_before_the_pixels_are_made(
    embedder: QueuedEmbedder, forward: GuardedForward
) -> None:
    with pytest.raises(InvalidInputError) as caught:
        await embedder.features([png(1)], Framing("160x128", "squash"))
    assert caught.value.extra == {"field": "size", "limit": MAX_PATCHES, "value": 20}
    assert (forward.prepared, forward.batches) == ([], [])


async def test_as_many_patches_as_are_allowed_are_computed(
    embedder: QueuedEmbedder,
) -> None:
    (one,) = await embedder.features([png(1)], Framing("128x128", "squash"))
    assert len(one.tokens) == 1 + MAX_PATCHES


async def test_images_that_become_too_many_patches_together_are_refused(
    embedder: QueuedEmbedder, forward: GuardedForward
) -> None:
    with pytest.raises(InvalidInputError) as caught:
        await embedder.features([png(1)] * 3, Framing("128x128", "squash"))
    assert (caught.value.extra["limit"], caught.value.extra["value"]) == (32, 48)
    assert forward.batches == []


async def test_an_image_too_long_for_the_default_size_is_named(
    embedder: QueuedEmbedder, forward: GuardedForward
) -> None:
    forward.framing = Framing("short:64", "round")
    with pytest.raises(InvalidInputError) as caught:
        await embedder.embed([png(1), png(2, 30, 400)])
    assert caught.value.extra == {
        "field": "images[1]",
        "limit": MAX_PATCHES,
        "value": 2 * 27,
    }


async def test_a_bad_image_is_named_by_its_place(embedder: QueuedEmbedder) -> None:
    with pytest.raises(ImageUnsupportedError) as caught:
        await embedder.features([png(1), b"no image"], FRAMING)
    assert caught.value.extra["field"] == "images[1]"


async def test_a_size_that_a_picture_cannot_take_is_told_as_the_size(
    embedder: QueuedEmbedder,
) -> None:
    with pytest.raises(InvalidInputError) as caught:
        await embedder.features([png(1)], Framing("0", "squash"))
    assert caught.value.extra["field"] == "size"


async def test_a_model_without_tokens_has_no_features(metrics: Metrics) -> None:
    limits = EngineLimits(4, 4, patches=16, request_patches=16)
    async with QueuedEmbedder(
        StubForward(), LIMITS, limits, metrics=metrics
    ) as embedder:
        for framing in (None, FRAMING):
            with pytest.raises(InvalidInputError) as caught:
                await embedder.features([png(1)], framing)
            assert caught.value.extra["field"] == "model"
        assert (await embedder.embed([png(1)]))[0].tokens == 1


async def test_features_are_bounded_as_embeddings_are(
    embedder: QueuedEmbedder, forward: GuardedForward
) -> None:
    await occupy(embedder, forward, images=MAX_WAITING)
    with pytest.raises(OverloadedError):
        await embedder.features([png(1)])
