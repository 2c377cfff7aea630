"""The engine of another server: what it gives and refuses is what one here would."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import NamedTuple

import httpx2
import numpy as np
import pytest

from dinoserve.adapters.remote_embedder import RemoteEmbedder
from dinoserve.domain.framing import Framing
from dinoserve.domain.urgency import priority
from dinoserve.domain.vectors import Matrix
from dinoserve.errors import (
    DinoserveError,
    InvalidInputError,
    OverloadedError,
    UnavailableError,
)
from dinoserve.loading import open_embedder
from dinoserve.ports import Embedded, Embedder, ImageBytes
from dinoserve.services.spooling import Spooled
from dinoserve.settings import Settings
from dinoserve.telemetry import Metrics
from odd_files import odd_files, photo
from servers import Server, running

# The same engine on both sides, so that equal means every bit.
_EXACT = {"engine": "torch", "precision": "fp32", "cache_bytes": 0}
_KEY = "key-of-the-gpu-box"
_WIDE = Framing("64x96", "squash")


class Both(NamedTuple):
    """An engine here and the same one elsewhere."""

    here: Embedder
    elsewhere: Embedder


def _env(**settings: object) -> dict[str, str]:
    return {f"DINOSERVE_{name.upper()}": str(told) for name, told in settings.items()}


@pytest.fixture(scope="module")
def bundled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    env = _env(**_EXACT, api_keys=_KEY)
    with running(tmp_path_factory.mktemp("bundled"), **env) as server:
        yield server


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


async def opened(stack: AsyncExitStack, **settings: object) -> Embedder:
    """An embedder of these settings, open until the test ends."""
    chosen = Settings.model_validate(settings)
    return await open_embedder(chosen, Metrics(), stack)


async def remote(stack: AsyncExitStack, server: Server, **more: object) -> Embedder:
    """The engine of this server."""
    return await opened(stack, engine_url=server.url, engine_key=_KEY, **more)


def _rows(found: Sequence[Embedded]) -> Matrix:
    return np.stack([one.vector for one in found])


@pytest.fixture
async def both(stack: AsyncExitStack, bundled: Server, tmp_path: Path) -> Both:
    here = await opened(stack, **_EXACT, data=tmp_path)
    return Both(here, await remote(stack, bundled))


@pytest.fixture
async def stubs(stack: AsyncExitStack, server: Server) -> Both:
    return Both(await opened(stack, model="stub"), await remote(stack, server))


async def refusal(
    work: Callable[[Embedder], Awaitable[object]], of: Embedder
) -> DinoserveError:
    with pytest.raises(DinoserveError) as caught:
        await work(of)
    return caught.value


async def test_the_card_is_that_of_the_engine_elsewhere(both: Both) -> None:
    here, there = both.here.card, both.elsewhere.card
    assert there.recipe == here.recipe
    assert (there.kind, there.registers) == (here.kind, here.registers)
    assert there.details["remote"] is True


async def test_vectors_are_equal_to_the_last_bit(both: Both) -> None:
    for seed in range(3):
        image = photo(seed)
        [here] = await both.here.embed([image])
        [there] = await both.elsewhere.embed([image])
        assert there.vector.dtype == np.float32
        assert there.vector.tobytes() == here.vector.tobytes()
        assert (there.image, there.tokens) == (here.image, here.tokens)


@pytest.mark.parametrize("framing", [None, _WIDE])
async def test_features_are_equal_to_the_last_bit(
    both: Both, framing: Framing | None
) -> None:
    image = photo(1, 300, 200)
    [here] = await both.here.features([image], framing)
    [there] = await both.elsewhere.features([image], framing)
    assert there.tokens.tobytes() == here.tokens.tobytes()
    assert there.tokens.shape == here.tokens.shape
    assert (there.geometry, there.registers) == (here.geometry, here.registers)
    assert (there.recipe, there.image) == (here.recipe, here.image)


async def test_many_images_come_back_in_their_order(stubs: Both) -> None:
    images = [photo(seed, 64, 48) for seed in range(80)]
    here = await stubs.here.embed(images)
    there = await stubs.elsewhere.embed(images)
    cosines = _rows(there) @ _rows(here).T  # other batches round otherwise
    assert np.array_equal(cosines.argmax(axis=1), np.arange(80))
    assert np.allclose(_rows(there), _rows(here), atol=1e-5)


async def test_what_is_given_out_is_read_only(both: Both) -> None:
    [embedded] = await both.elsewhere.embed([photo(1)])
    [features] = await both.elsewhere.features([photo(1)])
    assert not embedded.vector.flags.writeable
    assert not features.tokens.flags.writeable


async def test_bytes_on_the_disk_are_sent_too(stubs: Both) -> None:
    image: ImageBytes = Spooled()
    assert isinstance(image, Spooled)
    with image.held():
        image.append(photo(1))
        [there] = await stubs.elsewhere.embed([image])
    [here] = await stubs.here.embed([photo(1)])
    assert there.vector.tobytes() == here.vector.tobytes()


async def test_every_odd_file_is_refused_as_here_or_taken_as_here(stubs: Both) -> None:
    for file in odd_files():
        if file.answer == "ok":
            [here] = await stubs.here.embed([file.data])
            [there] = await stubs.elsewhere.embed([file.data])
            assert there.vector.tobytes() == here.vector.tobytes(), file.name
            continue
        images = [photo(1, 64, 48), file.data]
        here, there = [
            await refusal(lambda engine, all_=images: engine.embed(all_), engine)
            for engine in stubs
        ]
        assert (type(there), there.detail) == (type(here), here.detail), file.name
        assert there.extra == here.extra, file.name


@pytest.mark.parametrize(
    "framing", [Framing("4096", "squash"), Framing("50", "squash")]
)
async def test_a_framing_is_refused_as_here(both: Both, framing: Framing) -> None:
    here, there = [
        await refusal(lambda engine: engine.features([photo(1)], framing), engine)
        for engine in both
    ]
    assert (type(there), there.detail) == (type(here), here.detail)
    assert there.extra == here.extra


async def test_a_model_without_features_is_told_of_as_here(stubs: Both) -> None:
    here, there = [
        await refusal(lambda engine: engine.features([photo(1)]), engine)
        for engine in stubs
    ]
    assert (type(there), there.code, there.extra) == (type(here), here.code, here.extra)


async def test_an_image_too_large_there_is_told_by_its_place(
    stack: AsyncExitStack, tmp_path: Path
) -> None:
    env = _env(model="stub", max_image_pixels=10_000)
    with running(tmp_path, **env) as small:
        engine = await remote(stack, small)
        error = await refusal(
            lambda engine: engine.embed([photo(1, 64, 48), photo(2, 500, 375)]), engine
        )
    assert isinstance(error, InvalidInputError)
    assert (error.code, error.extra["field"]) == ("image-too-large", "images[1]")


async def test_more_images_than_may_wait_here_are_refused_at_once(
    stack: AsyncExitStack, server: Server
) -> None:
    engine = await remote(stack, server, max_waiting_images=2)
    images = [photo(seed, 64, 48) for seed in range(2)]
    calls = [engine.embed(images) for _ in range(2)]
    done, refused = await asyncio.gather(*calls, return_exceptions=True)
    assert isinstance(done, list)
    assert isinstance(refused, OverloadedError)
    assert engine.load().capacity == 2


async def test_a_wrong_key_is_told_with_the_setting_to_look_at(
    stack: AsyncExitStack, bundled: Server
) -> None:
    with pytest.raises(UnavailableError, match="DINOSERVE_ENGINE_KEY") as caught:
        await opened(stack, engine_url=bundled.url, engine_key="wrong-secret")
    assert "wrong-secret" not in str(caught.value)


async def test_an_engine_that_is_ready_passes_the_check(stubs: Both) -> None:
    await stubs.elsewhere.check()


async def test_an_engine_that_died_is_away_and_one_that_came_back_serves_again(
    stack: AsyncExitStack, tmp_path: Path
) -> None:
    with running(tmp_path, **_env(model="stub")) as mortal:
        engine = await remote(stack, mortal)
        [before] = await engine.embed([photo(1)])
        mortal.kill()
        for asked in (engine.embed([photo(1)]), engine.check()):
            with pytest.raises(UnavailableError, match="cannot be reached"):
                await asked
        mortal.start()
        [after] = await engine.embed([photo(1)])
    assert after.vector.tobytes() == before.vector.tobytes()


async def test_vectors_of_another_recipe_are_never_taken(
    stack: AsyncExitStack, tmp_path: Path
) -> None:
    with running(tmp_path / "first", **_env(model="stub")) as first:
        engine = await remote(stack, first)
        await engine.embed([photo(1)])
    other = Server(tmp_path / "other", **_env(**_EXACT))
    other.port = first.port
    try:
        other.start()
        changed = (await remote(stack, other)).card.recipe.id
        for asked in (engine.embed([photo(2)]), engine.check()):
            with pytest.raises(UnavailableError, match=changed):
                await asked
    finally:
        other.kill()


async def test_requests_tell_their_priority(
    stack: AsyncExitStack, server: Server
) -> None:
    told: list[str] = []

    async def note(request: httpx2.Request) -> None:
        told.append(request.headers["x-request-priority"])

    engine = await remote(stack, server)
    assert isinstance(engine, RemoteEmbedder)
    engine._http.event_hooks = {"request": [note]}  # pyright: ignore[reportPrivateUsage] - what it sends
    await engine.embed([photo(1)])
    token = priority.set("bulk")
    try:
        await engine.embed([photo(1)])
    finally:
        priority.reset(token)
    assert told == ["interactive", "bulk"]
