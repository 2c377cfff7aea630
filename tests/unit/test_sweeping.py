"""Erasing bytes of nobody, while another process may be writing the same bytes."""

import asyncio
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from dinoserve.adapters.memory import MemoryObjects
from dinoserve.errors import StorageFullError, UnavailableError
from dinoserve.ports import Area, Contents, ObjectStore, StoredObject
from dinoserve.services import Services
from dinoserve.services import assets as assets_module
from dinoserve.services.assets import AssetService
from dinoserve.services.keyed_lock import KeyedLock
from dinoserve.services.orphans import OrphanService
from dinoserve.services.sweeping import Sweeper
from dinoserve.services.upload import Upload
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
async def services() -> AsyncGenerator[Services]:
    memory = {"documents": "memory:", "objects": "memory:", "model": "stub"}
    async with open_services(Settings.model_validate(memory), Metrics()) as services:
        yield services


@pytest.fixture
def alone(services: Services) -> AssetService:
    """The service of the only process."""
    return services.assets


@pytest.fixture
def sweeper(services: Services) -> Sweeper:
    assets, uploads = services.assets, services.uploads
    areas: dict[Area, ObjectStore] = {
        "originals": assets.objects,
        "derived": MemoryObjects(),
        "incoming": uploads.incoming,
    }
    orphans = OrphanService(assets.documents, areas, lambda: datetime.now(UTC), 0)
    return Sweeper(assets, uploads, orphans, Metrics())


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


async def stored(objects: ObjectStore, count: int) -> list[str]:
    names = [hashlib.sha256(b"%d" % number).hexdigest() for number in range(count)]
    for name in names:
        await objects.put(name, b"picture")
    return names


async def names_in(objects: ObjectStore) -> set[str]:
    return {found.sha256 async for found in objects.scan()}


async def test_what_is_left_later_is_swept_later(
    alone: AssetService, sweeper: Sweeper
) -> None:
    async with sweeper.sweeping(pause_s=0):
        await alone.objects.put(SHA256, DATA)
        await alone.documents.mark(SHA256)
        while await alone.documents.unreferenced():  # noqa: ASYNC110 - stores have no event to wait for
            await asyncio.sleep(0)
    assert await alone.objects.size(SHA256) is None
    assert 'what="unfinished"} 1.0' in sweeper.metrics.render().decode()


async def test_a_sweep_removes_direct_uploads_that_nobody_completed(
    sweeper: Sweeper,
) -> None:
    incoming = sweeper.uploads.incoming
    await stored(incoming, 3)
    await sweeper.sweep()
    assert len(await names_in(incoming)) == 3

    later = datetime.now(UTC) + timedelta(hours=2)
    uploads = replace(sweeper.uploads, now=lambda: later)
    await replace(sweeper, uploads=uploads).sweep()
    assert await names_in(incoming) == set()
    assert 'what="incoming"} 3.0' in sweeper.metrics.render().decode()


async def test_what_nothing_tells_of_is_collected_while_serving(
    alone: AssetService, sweeper: Sweeper
) -> None:
    asset = (await alone.upload(Upload(DATA))).asset
    await stored(alone.objects, 3)
    async with sweeper.collecting(every_s=1e-6):
        while len(await names_in(alone.objects)) > 1:  # noqa: ASYNC110 - stores have no event to wait for
            await asyncio.sleep(0)
    assert await names_in(alone.objects) == {asset.sha256}


async def test_collecting_is_off_at_0(alone: AssetService, sweeper: Sweeper) -> None:
    names = await stored(alone.objects, 3)
    async with sweeper.collecting(every_s=0):
        for _ in range(20):
            await asyncio.sleep(0)
    assert await names_in(alone.objects) == set(names)


async def test_what_was_collected_is_counted_and_told(
    alone: AssetService, sweeper: Sweeper, caplog: pytest.LogCaptureFixture
) -> None:
    await stored(alone.objects, 3)
    await stored(sweeper.orphans.areas["derived"], 2)
    await sweeper.collect()
    figures = sweeper.metrics.render().decode()
    assert 'what="originals"} 3.0' in figures
    assert 'what="derived"} 2.0' in figures
    assert "removed 3 orphans, originals" in caplog.text


async def test_nothing_is_collected_where_the_database_must_be_wrong(
    alone: AssetService, sweeper: Sweeper, caplog: pytest.LogCaptureFixture
) -> None:
    names = await stored(alone.objects, 11)
    await sweeper.collect()
    assert await names_in(alone.objects) == set(names)
    assert "11 of 11 originals belong to no asset" in caplog.text


async def test_a_store_that_fails_is_collected_later(
    sweeper: Sweeper, caplog: pytest.LogCaptureFixture
) -> None:
    class Away(MemoryObjects):
        """Objects that cannot be listed the first times."""

        looks = 0

        async def scan(self, prefix: str = "") -> AsyncIterator[StoredObject]:
            self.looks += 1
            if self.looks < 3:
                raise UnavailableError("away", port="objects")
            async for found in super().scan(prefix):
                yield found

    areas = dict(sweeper.orphans.areas) | {"derived": (away := Away())}
    orphans = replace(sweeper.orphans, areas=areas)
    async with replace(sweeper, orphans=orphans).collecting(every_s=1e-6):
        while away.looks < 3:  # noqa: ASYNC110 - stores have no event to wait for
            await asyncio.sleep(0)
    assert "left for later: away" in caplog.text
