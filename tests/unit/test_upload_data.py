"""Images on the disk: through engine, cache and store as if they were in memory."""

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import replace
from io import FileIO
from pathlib import Path

import numpy as np
import pytest

from dinoserve.adapters.memory_cache import MemoryCache
from dinoserve.adapters.objects import LocalObjects
from dinoserve.engine.embedder import QueuedEmbedder
from dinoserve.errors import ImageTooLargeError, UnavailableError
from dinoserve.ports import Contents
from dinoserve.services import Services
from dinoserve.services.cached_embedder import CachedEmbedder
from dinoserve.services.caching import CachePolicy, TwoLevels
from dinoserve.services.spooling import Spooled, sha256_of, spooled
from dinoserve.services.upload import Upload
from dinoserve.settings import Settings
from dinoserve.telemetry import Metrics
from dinoserve.wiring import open_services
from guarded_forward import LIMITS, GuardedForward, png, until
from spools import spools
from upload_crowd import large_photo

LARGE = b"".join(large_photo(1, 2_000_000))


@pytest.fixture
async def services(tmp_path: Path) -> AsyncGenerator[Services]:
    settings = Settings.model_validate({"data": tmp_path, "model": "stub"})
    async with open_services(settings, Metrics()) as services:
        yield services


@pytest.fixture
def on_disk(tmp_path: Path) -> Spooled:
    path = tmp_path / "image"
    path.write_bytes(png(1))
    return Spooled(FileIO(path))


async def pieces() -> AsyncIterator[bytes]:
    yield LARGE


async def stored(services: Services, asset_id: str) -> bytes:
    asset = await services.assets.get(asset_id)
    chunks = await services.assets.read(asset, 0, asset.size_bytes)
    return b"".join([chunk async for chunk in chunks])


async def test_an_image_on_the_disk_has_the_vector_that_it_has_in_memory(
    embedder: QueuedEmbedder, on_disk: Spooled
) -> None:
    with on_disk.held():
        [first] = await embedder.embed([on_disk])
        assert await embedder.inspect(on_disk) == first.image
    [second] = await embedder.embed([png(1)])
    assert np.array_equal(first.vector, second.vector)


async def test_an_image_on_the_disk_is_found_in_the_cache(
    embedder: QueuedEmbedder, forward: GuardedForward, on_disk: Spooled
) -> None:
    metrics = Metrics()
    levels = TwoLevels(MemoryCache(1_000_000, metrics), None, CachePolicy(), metrics)
    cached = CachedEmbedder.over(embedder, levels, request_patches=100)
    await cached.embed([png(1)])
    forward.batches.clear()
    with on_disk.held():
        await cached.embed([on_disk])
    assert forward.batches == []


async def test_an_image_that_is_too_long_is_refused_without_being_read(
    embedder: QueuedEmbedder, tmp_path: Path
) -> None:
    path = tmp_path / "image"
    path.touch()
    os.truncate(path, LIMITS.max_bytes + 1)
    data = Spooled(FileIO(path))
    os.truncate(path, 0)  # to read it would fail
    with data.held(), pytest.raises(ImageTooLargeError):
        await embedder.embed([data])


async def test_a_disk_that_does_not_give_the_image_is_no_fault_of_the_caller(
    embedder: QueuedEmbedder, on_disk: Spooled, tmp_path: Path
) -> None:
    os.truncate(tmp_path / "image", 10)
    with on_disk.held(), pytest.raises(UnavailableError) as caught:
        await embedder.embed([on_disk])
    assert caught.value.port == "temporary"


async def test_an_upload_on_the_disk_is_stored_whole(services: Services) -> None:
    async with spooled(pieces()) as data:
        uploaded = await services.assets.upload(Upload(data))
    assert uploaded.asset.size_bytes == len(LARGE)
    assert uploaded.asset.sha256 == sha256_of(LARGE)
    assert await stored(services, uploaded.asset.id) == LARGE


async def test_a_lost_original_is_restored_from_the_disk(services: Services) -> None:
    first = await services.assets.upload(Upload(LARGE))
    await services.assets.objects.delete(first.asset.sha256)
    async with spooled(pieces()) as data:
        again = await services.assets.upload(Upload(data))
    assert not again.is_new
    assert await stored(services, first.asset.id) == LARGE


async def test_what_is_being_stored_outlives_its_caller(
    services: Services, tmp_path: Path
) -> None:
    objects = PausedObjects(tmp_path / "paused")
    assets = replace(services.assets, objects=objects)
    before = spools()

    async def upload() -> None:
        async with spooled(pieces()) as data:
            await assets.upload(Upload(data))

    task = asyncio.create_task(upload())
    await objects.begun.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert spools() == before + 1
    objects.may_store.set()
    await until(lambda: spools() == before)
    digest = sha256_of(LARGE)
    chunks = [chunk async for chunk in objects.read(digest, 0, len(LARGE))]
    assert b"".join(chunks) == LARGE


class PausedObjects(LocalObjects):
    """A folder that takes nothing before it may."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.begun = asyncio.Event()
        self.may_store = asyncio.Event()

    async def put(self, sha256: str, data: Contents) -> None:
        self.begun.set()
        await self.may_store.wait()
        await super().put(sha256, data)
