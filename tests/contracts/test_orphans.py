"""Bytes without record and records without bytes, on every pair of stores."""

import hashlib
from dataclasses import replace
from datetime import UTC, datetime

from dinoserve.adapters.memory import MemoryObjects
from dinoserve.domain.assets import Asset
from dinoserve.ports import DocumentStore, ObjectStore
from dinoserve.services.losses import LossService
from dinoserve.services.orphans import OrphanService
from records import an_asset, an_embedding

DATA = b"picture"


def service(documents: DocumentStore, objects: ObjectStore) -> OrphanService:
    return OrphanService(
        documents,
        {
            "originals": objects,
            "derived": MemoryObjects(),
            "incoming": MemoryObjects(),
        },
        lambda: datetime.now(UTC),
        # A server of objects may be some seconds before us.
        grace_s=-60,
    )


def asset_of(data: bytes) -> Asset:
    sha256 = hashlib.sha256(data).hexdigest()
    return replace(an_asset(data), sha256=sha256, size_bytes=len(data))


async def given(documents: DocumentStore, objects: ObjectStore, data: bytes) -> Asset:
    asset = asset_of(data)
    await objects.put(asset.sha256, data)
    await documents.add(asset, an_embedding(asset))
    return asset


def told(_what: str, _count: int) -> None:
    """Hear how far it is, and say nothing."""


async def test_bytes_without_record_are_found_and_removed_and_no_others(
    documents: DocumentStore, objects: ObjectStore
) -> None:
    kept = await given(documents, objects, b"kept")
    orphan = asset_of(b"orphan").sha256
    await objects.put(orphan, b"orphan")
    orphans = service(documents, objects)
    found = await orphans.find(told)
    assert found.names["originals"] == [orphan]
    assert await orphans.remove("originals", orphan) is True
    assert [entry.sha256 async for entry in objects.scan()] == [kept.sha256]
    assert await documents.unreferenced() == []


async def test_bytes_that_got_a_record_since_they_were_found_stay(
    documents: DocumentStore, objects: ObjectStore
) -> None:
    orphans = service(documents, objects)
    asset = await given(documents, objects, DATA)
    assert await orphans.remove("originals", asset.sha256) is False
    assert await objects.size(asset.sha256) == len(DATA)


async def test_records_without_bytes_are_found_and_erased_and_no_others(
    documents: DocumentStore, objects: ObjectStore
) -> None:
    kept = await given(documents, objects, b"kept")
    lost = await given(documents, objects, b"lost")
    short = await given(documents, objects, b"short")
    await objects.delete(lost.sha256)
    await objects.delete(short.sha256)
    await objects.put(short.sha256, b"sho")
    orphans = service(documents, objects)
    losses = LossService(orphans)
    found = await losses.find((await orphans.find(told)).stored, told)
    assert found.total == 3
    assert {asset.id for asset in found.assets} == {lost.id, short.id}
    for asset in (kept, *found.assets):
        assert await losses.erase(asset.id) is (asset.id != kept.id)
    assert [*await documents.get([kept.id, lost.id, short.id])] == [kept.id]
    assert await documents.counts() == {"r1": 1}
    assert [entry.sha256 async for entry in objects.scan()] == [kept.sha256]
