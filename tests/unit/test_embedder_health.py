import asyncio

import pytest

from dinoserve.engine import embedder as module
from dinoserve.engine.embedder import QueuedEmbedder
from dinoserve.errors import UnavailableError
from dinoserve.telemetry import Metrics
from guarded_forward import (
    MAX_WAITING,
    GuardedForward,
    occupy,
    png,
    until,
    waiting_for_the_device,
    white,
)


async def test_a_healthy_engine_is_not_asked_again(
    embedder: QueuedEmbedder, forward: GuardedForward
) -> None:
    await embedder.embed([png(1)])
    await embedder.check()
    assert forward.batches == [1]


async def test_an_engine_in_doubt_proves_itself_by_a_forward(
    embedder: QueuedEmbedder, forward: GuardedForward
) -> None:
    await embedder.check()
    assert forward.batches == [1]


async def test_a_broken_model_does_not_pass_the_check(
    embedder: QueuedEmbedder, forward: GuardedForward
) -> None:
    forward.is_broken = True
    with pytest.raises(UnavailableError):
        await embedder.check()


async def test_a_model_that_works_again_passes_the_check(
    embedder: QueuedEmbedder,
) -> None:
    with pytest.raises(UnavailableError):
        await embedder.embed([white()])
    await embedder.check()


async def test_a_hanging_model_does_not_pass_the_check(
    embedder: QueuedEmbedder, forward: GuardedForward, monkeypatch: pytest.MonkeyPatch
) -> None:
    await occupy(embedder, forward)
    monkeypatch.setattr(module, "CHECK_S", 0.01)
    with pytest.raises(UnavailableError, match="within"):
        await embedder.check()


async def test_a_forward_that_never_returns_is_told_though_the_last_one_worked(
    embedder: QueuedEmbedder, forward: GuardedForward, monkeypatch: pytest.MonkeyPatch
) -> None:
    await embedder.embed([png(1)])
    forward.batches.clear()
    await occupy(embedder, forward)
    await embedder.check()
    monkeypatch.setattr(module, "CHECK_S", 0.0)
    with pytest.raises(UnavailableError, match="within"):
        await embedder.check()


async def test_a_forward_that_came_back_after_all_is_healthy(
    embedder: QueuedEmbedder, forward: GuardedForward, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = await occupy(embedder, forward)
    monkeypatch.setattr(module, "CHECK_S", 0.0)
    with pytest.raises(UnavailableError):
        await embedder.check()
    forward.open_doors()
    await task
    monkeypatch.undo()
    await embedder.check()


async def test_while_its_thread_dies_the_engine_is_not_healthy_and_then_it_is(
    embedder: QueuedEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    await embedder.embed([png(1)])
    with monkeypatch.context() as patch:
        patch.setattr(embedder._batcher, "_note", lambda **_: 1 / 0)  # pyright: ignore[reportPrivateUsage, reportUnknownLambdaType, reportUnknownArgumentType] - breaks what keeps the thread alive
        for asked in (embedder.embed([png(1)]), embedder.check()):
            with pytest.raises(UnavailableError):
                await asked
    await embedder.check()
    assert len(await embedder.embed([png(1)])) == 1


async def test_a_full_queue_does_not_refuse_the_check(
    embedder: QueuedEmbedder, forward: GuardedForward
) -> None:
    await occupy(embedder, forward, images=MAX_WAITING)
    check = asyncio.create_task(embedder.check())
    await until(lambda: waiting_for_the_device(embedder) == 3)
    forward.open_doors()
    await check


async def test_a_check_overtakes_what_waits(
    embedder: QueuedEmbedder, forward: GuardedForward
) -> None:
    await occupy(embedder, forward)
    late = asyncio.create_task(embedder.embed([png(seed) for seed in range(5)]))
    await until(lambda: waiting_for_the_device(embedder) == 5)
    check = asyncio.create_task(embedder.check())
    await until(lambda: waiting_for_the_device(embedder) == 6)
    forward.let_one_batch_go()
    await until(lambda: len(forward.batches) == 2)
    forward.let_one_batch_go()
    await check
    assert not late.done()


async def test_many_checks_share_one_forward(
    embedder: QueuedEmbedder, forward: GuardedForward
) -> None:
    await asyncio.gather(*(embedder.check() for _ in range(5)))
    assert forward.batches == [1]


async def test_warming_up_runs_one_image_and_a_full_batch(
    embedder: QueuedEmbedder, forward: GuardedForward
) -> None:
    assert await embedder.warm_up() > 0
    assert forward.batches == [1, 4]


async def test_a_broken_model_does_not_warm_up(
    embedder: QueuedEmbedder, forward: GuardedForward
) -> None:
    forward.is_broken = True
    with pytest.raises(UnavailableError):
        await embedder.warm_up()


async def test_closing_answers_everyone(
    embedder: QueuedEmbedder, forward: GuardedForward
) -> None:
    running = await occupy(embedder, forward)
    queued = asyncio.create_task(embedder.embed([png(1)]))
    await until(lambda: waiting_for_the_device(embedder) == 1)
    forward.may_prepare.clear()
    decoding = asyncio.create_task(embedder.embed([png(2), png(3)]))
    await until(lambda: len(forward.prepared) == 3)
    closing = asyncio.create_task(embedder.close())
    await asyncio.wait([queued])
    forward.open_doors()
    await closing
    results = await asyncio.gather(running, queued, decoding, return_exceptions=True)
    failed = [isinstance(result, UnavailableError) for result in results]
    assert failed == [False, True, True]


async def test_closing_decodes_nothing_more(
    embedder: QueuedEmbedder, forward: GuardedForward
) -> None:
    forward.may_prepare.clear()
    decoding = asyncio.create_task(embedder.embed([png(1), png(2)]))
    await until(lambda: len(forward.prepared) == 1)
    closing = asyncio.create_task(embedder.close())
    await asyncio.sleep(0)
    forward.open_doors()
    await asyncio.wait([closing, decoding])
    assert len(forward.prepared) == 1


async def test_a_closed_engine_is_unavailable(embedder: QueuedEmbedder) -> None:
    await embedder.embed([png(1)])
    await embedder.close()
    for asked in (embedder.embed([png(1)]), embedder.inspect(png(1)), embedder.check()):
        with pytest.raises(UnavailableError):
            await asked


async def test_every_image_is_counted_once_by_its_outcome(
    embedder: QueuedEmbedder, forward: GuardedForward, metrics: Metrics
) -> None:
    leaving = await occupy(embedder, forward, images=4)
    leaving.cancel()
    await asyncio.wait([leaving])
    forward.open_doors()
    for call in ([png(1), png(2)], [b"no image"], [white(), png(1), png(2)]):
        await asyncio.gather(embedder.embed(call), return_exceptions=True)
    assert {
        'dinoserve_images_total{outcome="embedded"} 2.0',
        'dinoserve_images_total{outcome="refused"} 1.0',
        'dinoserve_images_total{outcome="failed"} 3.0',
        'dinoserve_images_total{outcome="dropped"} 4.0',
    } <= set(metrics.render().decode().splitlines())


async def test_stages_and_load_are_measured(
    embedder: QueuedEmbedder, forward: GuardedForward, metrics: Metrics
) -> None:
    await embedder.embed([png(1)])
    forward.batches.clear()
    await occupy(embedder, forward, images=2)
    assert {
        'dinoserve_stage_seconds_count{stage="decode"} 3.0',
        "dinoserve_engine_waiting_images 2.0",
        "dinoserve_engine_healthy 1.0",
    } <= set(metrics.render().decode().splitlines())
