"""Erasing bytes of nobody, while another process may be writing the same bytes."""

import asyncio
import hashlib
from collections.abc import AsyncGenerator
from dataclasses import replace

import pytest

from dinoserve.adapters.memory import MemoryObjects
from dinoserve.errors import StorageFullError
from dinoserve.ports import Contents
from dinoserve.services import assets as assets_module
from dinoserve.services.assets import AssetService, Upload
from dinoserve.services.keyed_lock import KeyedLock
from dinoserve.services.sweeping import swept
from dinoserve.settings import Settings
from dinoserve.telemetry import Metrics
from dinoserve.wiring import open_services
from odd_files import photo

HOUR_S = 3600
DATA = photo(1)
SHA256 = hashlib.sha256(DATA).hexdigest()


class HeldObjects(MemoryObjects):
    """Objects whose writes wait at a door."""

    def __init__(self) -> None:
        super().__init__()
        self.begun, self.door = asyncio.Event(), asyncio.Event()

    async def put(self, sha256: str, data: Contents) -> None:
        """Store at once, but tell nobody before the door is open."""
        await super().put(sha256, data)
        self.begun.set()
        await self.door.wait()


class FullObjects(MemoryObjects):
    """Objects that are kept although the caller is told of a full disk."""

    async def put(self, sha256: str, data: Contents) -> None:
        """Store and fail."""
        await super().put(sha256, data)
        raise StorageFullError("full", port="objects")


@pytest.fixture
async def alone() -> AsyncGenerator[AssetService]:
    memory = {"documents": "memory:", "objects": "memory:", "model": "stub"}
    async with open_services(Settings.model_validate(memory), Metrics()) as services:
        yield services.assets


@pytest.fixture
def ours(alone: AssetService) -> AssetService:
    """The service of one process of several."""
    return replace(alone, grace_s=HOUR_S)


def another(service: AssetService) -> AssetService:
    """The service of another process: the same stores, a lock of its own."""
    return replace(service, _lock=KeyedLock())


async def test_a_sweep_spares_what_another_process_is_uploading(
    ours: AssetService,
) -> None:
    ours = replace(ours, objects=(objects := HeldObjects()))
    uploading = asyncio.create_task(ours.upload(Upload(DATA)))
    await objects.begun.wait()
    assert await another(ours).sweep() == 0
    objects.door.set()
    asset = (await uploading).asset
    assert await objects.size(asset.sha256) == len(DATA)


async def test_an_erasure_spares_what_another_process_is_uploading(
    ours: AssetService,
) -> None:
    first = (await ours.upload(Upload(DATA, collection="one"))).asset
    held = HeldObjects()
    await MemoryObjects.put(held, SHA256, DATA)
    ours = replace(ours, objects=held)
    uploading = asyncio.create_task(ours.upload(Upload(DATA, collection="two")))
    await held.begun.wait()
    await another(ours).remove(first.id)
    held.door.set()
    await uploading
    assert await held.size(SHA256) == len(DATA)


async def test_an_upload_waits_for_the_erasure_of_the_same_bytes(
    ours: AssetService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(assets_module, "_ERASURE_PAUSE_S", 0)
    first = (await ours.upload(Upload(DATA, collection="one"))).asset
    await ours.documents.remove(first.id)
    assert await ours.documents.claim(SHA256, HOUR_S)
    uploading = asyncio.create_task(ours.upload(Upload(DATA, collection="two")))
    for _ in range(20):
        await asyncio.sleep(0)
    await ours.objects.delete(SHA256)
    await ours.documents.clear(SHA256)
    await uploading
    assert await ours.objects.size(SHA256) == len(DATA)


async def test_who_is_alone_leaves_nothing_of_a_failed_upload(
    alone: AssetService,
) -> None:
    alone = replace(alone, objects=(objects := FullObjects()))
    with pytest.raises(StorageFullError):
        await alone.upload(Upload(DATA))
    assert await objects.size(SHA256) is None
    assert await alone.documents.unreferenced() == []


async def test_a_failed_upload_is_left_to_the_sweep_where_others_may_upload_the_same(
    ours: AssetService, alone: AssetService
) -> None:
    ours = replace(ours, objects=(objects := FullObjects()))
    with pytest.raises(StorageFullError):
        await ours.upload(Upload(DATA))
    assert await ours.documents.unreferenced() == [SHA256]
    assert await replace(alone, objects=objects).sweep() == 1
    assert await objects.size(SHA256) is None


async def test_an_erased_asset_leaves_no_bytes_at_once_though_others_serve_too(
    ours: AssetService,
) -> None:
    asset = (await ours.upload(Upload(DATA))).asset
    await ours.remove(asset.id)
    assert await ours.objects.size(SHA256) is None
    assert await ours.documents.unreferenced() == []


async def test_what_is_left_later_is_swept_later(alone: AssetService) -> None:
    async with swept(alone, pause_s=0):
        await alone.objects.put(SHA256, DATA)
        await alone.documents.mark(SHA256)
        while await alone.documents.unreferenced():  # noqa: ASYNC110 - stores have no event to wait for
            await asyncio.sleep(0)
    assert await alone.objects.size(SHA256) is None
