import asyncio

import numpy as np
import pytest

from dinoserve.domain.assets import ImageInfo
from dinoserve.engine.embedder import QueuedEmbedder
from dinoserve.errors import (
    ImageDamagedError,
    ImageUnsupportedError,
    InvalidInputError,
    OverloadedError,
    UnavailableError,
)
from dinoserve.ports import Embedder, EngineLoad
from dinoserve.telemetry import Metrics
from guarded_forward import (
    MAX_WAITING,
    GuardedForward,
    occupy,
    png,
    serving,
    until,
    waiting_for_the_device,
    white,
)


async def test_each_image_gets_its_own_vector_in_order(embedder: Embedder) -> None:
    pictures = [png(1), png(2, 20, 50), png(3)]
    together = await embedder.embed(pictures)
    alone = [(await embedder.embed([picture]))[0] for picture in pictures]
    for one, other in zip(together, alone, strict=True):
        assert one.vector == pytest.approx(other.vector, abs=1e-6)
    assert [one.image for one in together] == [
        ImageInfo("image/png", 40, 30),
        ImageInfo("image/png", 20, 50),
        ImageInfo("image/png", 40, 30),
    ]
    assert {one.tokens for one in together} == {2}


async def test_vectors_are_float32_of_length_one(embedder: QueuedEmbedder) -> None:
    (result,) = await embedder.embed([png(1)])
    assert result.vector.dtype == np.float32
    assert np.linalg.norm(result.vector) == pytest.approx(1.0, abs=1e-6)


async def test_a_vector_keeps_no_batch_in_memory(embedder: QueuedEmbedder) -> None:
    results = await embedder.embed([png(1), png(2)])
    assert [result.vector.base for result in results] == [None, None]


async def test_no_image_gives_no_vector(embedder: QueuedEmbedder) -> None:
    assert await embedder.embed([]) == []


async def test_the_card_is_that_of_the_model(
    embedder: QueuedEmbedder, forward: GuardedForward
) -> None:
    assert embedder.card == forward.card


async def test_decoding_stays_off_the_event_loop(
    embedder: QueuedEmbedder, forward: GuardedForward
) -> None:
    await embedder.embed([png(1), png(2)])
    threads = {name.rsplit("_", 1)[0] for name in forward.prepared}
    assert threads == {"dinoserve-decode-interactive"}


async def test_concurrent_callers_share_a_forward(
    embedder: QueuedEmbedder, forward: GuardedForward
) -> None:
    first = await occupy(embedder, forward)
    rest = [asyncio.create_task(embedder.embed([png(seed)])) for seed in range(3)]
    await until(lambda: waiting_for_the_device(embedder) == 3)
    forward.open_doors()
    await asyncio.gather(first, *rest)
    assert forward.batches == [1, 3]


async def test_a_bad_image_is_named_by_its_place(embedder: QueuedEmbedder) -> None:
    images = [png(1), b"no image", png(2)[:-40], png(3)]
    with pytest.raises(ImageUnsupportedError) as caught:
        await embedder.embed(images)
    assert caught.value.extra["field"] == "images[1]"


async def test_of_two_bad_images_the_first_is_named(
    forward: GuardedForward, metrics: Metrics
) -> None:
    async with serving(forward, metrics, decode_threads=2) as embedder:
        forward.may_prepare.clear()
        forward.unusable = ImageDamagedError("found out last", field="image")
        call = asyncio.create_task(embedder.embed([png(1), b"no image"]))
        await until(lambda: b'count{stage="decode"} 1.0' in metrics.render())
        forward.open_doors()
        with pytest.raises(ImageDamagedError) as caught:
            await call
    assert caught.value.extra["field"] == "images[0]"


async def test_a_call_with_a_bad_image_costs_no_forward(
    embedder: QueuedEmbedder, forward: GuardedForward
) -> None:
    with pytest.raises(InvalidInputError):
        await embedder.embed([png(1), b"no image"])
    assert forward.batches == []


async def test_a_bad_image_costs_another_caller_nothing(
    embedder: QueuedEmbedder,
) -> None:
    good, bad = await asyncio.gather(
        embedder.embed([png(1)]), embedder.embed([b""]), return_exceptions=True
    )
    assert isinstance(bad, InvalidInputError)
    assert not isinstance(good, BaseException)


async def test_beyond_the_limit_callers_are_refused_at_once(
    embedder: QueuedEmbedder, forward: GuardedForward
) -> None:
    await occupy(embedder, forward, images=MAX_WAITING - 1)
    with pytest.raises(OverloadedError) as caught:
        await embedder.embed([png(1), png(2)])
    assert 1 <= caught.value.retry_after_s <= 60


async def test_a_refused_call_is_not_decoded(
    embedder: QueuedEmbedder, forward: GuardedForward
) -> None:
    await occupy(embedder, forward, images=MAX_WAITING)
    with pytest.raises(OverloadedError):
        await embedder.embed([png(1)])
    assert len(forward.prepared) == MAX_WAITING


@pytest.mark.parametrize(("image_s", "expected_s"), [(0.0, 1), (0.7, 5), (1e6, 60)])
async def test_the_time_to_retry_is_what_the_waiting_images_will_take(
    embedder: QueuedEmbedder, forward: GuardedForward, image_s: float, expected_s: int
) -> None:
    embedder._admission.image_s = image_s  # pyright: ignore[reportPrivateUsage] - a measured time, here chosen
    await occupy(embedder, forward, images=MAX_WAITING)
    with pytest.raises(OverloadedError) as caught:
        await embedder.embed([png(1)])
    assert caught.value.retry_after_s == expected_s


async def test_a_finished_call_teaches_how_long_an_image_takes(
    embedder: QueuedEmbedder,
) -> None:
    embedder._admission.image_s = 100.0  # pyright: ignore[reportPrivateUsage] - a measured time, here chosen
    await embedder.embed([png(1)])
    assert 80 < embedder._admission.image_s < 100  # pyright: ignore[reportPrivateUsage] - shown only through Retry-After, rounded


async def test_a_call_larger_than_the_queue_can_never_be_served(
    embedder: QueuedEmbedder,
) -> None:
    with pytest.raises(InvalidInputError) as caught:
        await embedder.embed([png(1)] * (MAX_WAITING + 1))
    assert caught.value.extra == {
        "field": "images",
        "limit": MAX_WAITING,
        "value": MAX_WAITING + 1,
    }


async def test_the_load_counts_admitted_images(
    embedder: QueuedEmbedder, forward: GuardedForward
) -> None:
    task = await occupy(embedder, forward, images=2)
    load = embedder.load()
    forward.open_doors()
    await task
    assert load == EngineLoad(2, MAX_WAITING, bulk=0, oldest_s=load.oldest_s)
    assert embedder.load() == EngineLoad(0, MAX_WAITING, bulk=0, oldest_s=0)


async def test_a_cancelled_caller_gives_its_permits_back(
    embedder: QueuedEmbedder, forward: GuardedForward
) -> None:
    task = await occupy(embedder, forward, images=3)
    task.cancel()
    await asyncio.wait([task])
    assert embedder.load().waiting == 0


async def test_a_cancelled_caller_leaves_the_queue(
    embedder: QueuedEmbedder, forward: GuardedForward
) -> None:
    first = await occupy(embedder, forward)
    leaving = asyncio.create_task(embedder.embed([png(1), png(2)]))
    await until(lambda: waiting_for_the_device(embedder) == 2)
    leaving.cancel()
    await asyncio.wait([leaving])
    assert waiting_for_the_device(embedder) == 0
    forward.open_doors()
    await first


async def test_a_cancelled_caller_is_not_decoded_further(
    embedder: QueuedEmbedder, forward: GuardedForward
) -> None:
    forward.may_prepare.clear()
    leaving = asyncio.create_task(embedder.embed([png(1), png(2), png(3)]))
    await until(lambda: len(forward.prepared) == 1)
    leaving.cancel()
    await asyncio.wait([leaving])
    forward.open_doors()
    await embedder.embed([png(4)])
    assert len(forward.prepared) == 2


async def test_a_failed_forward_fails_only_the_bad_picture(
    embedder: QueuedEmbedder, forward: GuardedForward
) -> None:
    first = await occupy(embedder, forward)
    pictures = [png(1), white(), png(2)]
    rest = [asyncio.create_task(embedder.embed([picture])) for picture in pictures]
    await until(lambda: waiting_for_the_device(embedder) == 3)
    forward.open_doors()
    results = await asyncio.gather(first, *rest, return_exceptions=True)
    failed = [isinstance(result, UnavailableError) for result in results]
    assert failed == [False, False, True, False]


async def test_a_failed_forward_tells_its_cause(
    embedder: QueuedEmbedder,
) -> None:
    with pytest.raises(UnavailableError) as caught:
        await embedder.embed([white()])
    assert caught.value.port == "embedder"
    assert isinstance(caught.value.__cause__, RuntimeError)


@pytest.mark.parametrize("number", [np.nan, np.inf, 0.0, 1.0])
async def test_numbers_that_make_no_unit_vector_are_never_served(
    embedder: QueuedEmbedder, forward: GuardedForward, number: float
) -> None:
    forward.white_gives = number
    with pytest.raises(UnavailableError):
        await embedder.embed([png(1), white()])


async def test_inspecting_decodes_without_the_model(
    embedder: QueuedEmbedder, forward: GuardedForward
) -> None:
    assert await embedder.inspect(png(1, 50, 60)) == ImageInfo("image/png", 50, 60)
    assert forward.batches == []


async def test_inspecting_a_bad_image_names_the_image(
    embedder: QueuedEmbedder,
) -> None:
    with pytest.raises(ImageUnsupportedError) as caught:
        await embedder.inspect(b"no image")
    assert caught.value.extra["field"] == "image"


async def test_inspecting_is_bounded_too(
    embedder: QueuedEmbedder, forward: GuardedForward
) -> None:
    await occupy(embedder, forward, images=MAX_WAITING)
    with pytest.raises(OverloadedError):
        await embedder.inspect(png(1))
