"""Copying between stores: what arrives, what is seen to differ, what is left alone."""

import hashlib
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from dinoserve.adapters.memory import MemoryDocuments, MemoryObjects
from dinoserve.adapters.objects import LocalObjects
from dinoserve.adapters.sqlite import SqliteDocuments
from dinoserve.cli.copy import copy_all, verify_all
from dinoserve.domain.assets import Asset
from dinoserve.domain.vectors import Embedding
from dinoserve.errors import UnavailableError
from dinoserve.ports import AssetChanges, Stores
from dinoserve.services import copying
from dinoserve.services.copying import MISSING, CopyService, pages
from records import NOON, a_recipe, a_vector, an_asset, an_embedding


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[CopyService]:
    """From memory into SQLite and a folder."""
    source = Stores(MemoryDocuments(), MemoryObjects())
    async with SqliteDocuments.open(tmp_path / "documents.sqlite") as documents:
        target = Stores(documents, LocalObjects(tmp_path / "objects"))
        yield CopyService(source, target)


async def give(stores: Stores, seed: int, **said: object) -> Asset:
    """Store an asset with two vectors and its bytes; return it as it is shown."""
    data = f"bytes {seed}".encode()
    sha256 = hashlib.sha256(data).hexdigest()
    asset = replace(
        an_asset(seed, tags=("a",), metadata={"n": seed}),
        sha256=sha256,
        size_bytes=len(data),
        created_at=NOON.replace(microsecond=seed),
        **said,
    )
    await stores.objects.put(sha256, data)
    await stores.documents.add(asset, an_embedding(asset, seed=seed))
    await stores.documents.put(Embedding(asset.id, "r2", a_vector(seed, 4)))
    return (await stores.documents.get([asset.id]))[asset.id]


async def everything(stores: Stores) -> dict[str, Asset]:
    return {
        asset.id: asset async for assets in pages(stores.documents) for asset in assets
    }


async def differences(service: CopyService) -> dict[str, str]:
    verified = await verify_all(service)
    return {failure.item: failure.detail for failure in verified.tally.failures}


async def test_records_vectors_recipes_and_bytes_arrive(
    service: CopyService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copying, "MAX_PAGE", 3)
    for seed in range(8):
        await give(service.source, seed, subject="Ann")
    await service.source.documents.save_recipe(a_recipe("one"))
    await service.source.documents.save_recipe(a_recipe("two"))
    tally = await copy_all(service)
    assert (tally.outcomes["copied"], tally.exit_code) == (8, 0)
    assert await everything(service.target) == await everything(service.source)
    recipes = [a_recipe("one"), a_recipe("two")]
    assert await service.target.documents.recipes() == recipes
    assert await service.target.documents.counts() == {"r1": 8, "r2": 8}
    assert await service.target.documents.unreferenced() == []
    assert await differences(service) == {}


async def test_a_second_copy_finds_all_already_there(service: CopyService) -> None:
    for seed in range(3):
        await give(service.source, seed)
    await copy_all(service)
    tally = await copy_all(service)
    assert tally.outcomes == {"copied": 0, "already there": 3}


async def test_what_a_stop_left_undone_is_done_by_the_next_copy(
    service: CopyService,
) -> None:
    assets = [await give(service.source, seed) for seed in range(3)]
    target = service.target
    await service.copy(assets[0])
    await target.objects.put(assets[1].sha256, b"bytes 1")
    await target.documents.add(assets[2], None)
    tally = await copy_all(service)
    assert tally.outcomes == {"copied": 2, "already there": 1}
    assert await differences(service) == {}


async def test_what_is_said_of_an_asset_is_made_that_of_the_source(
    service: CopyService,
) -> None:
    asset = await give(service.source, 1)
    await copy_all(service)
    changes = AssetChanges(tags=("b",), metadata={"m": 2}, subject="Ann")
    await service.source.documents.update(asset.id, changes)
    await copy_all(service)
    assert await everything(service.target) == await everything(service.source)
    await service.source.documents.update(asset.id, AssetChanges(clear_subject=True))
    await copy_all(service)
    assert await differences(service) == {}


async def test_a_lost_original_is_named_and_the_others_are_copied(
    service: CopyService,
) -> None:
    lost = await give(service.source, 1)
    await give(service.source, 2)
    await service.source.objects.delete(lost.sha256)
    tally = await copy_all(service)
    assert [(failure.item, failure.code) for failure in tally.failures] == [
        (lost.id, "unavailable")
    ]
    assert tally.outcomes["copied"] == 1
    assert await differences(service) == {lost.id: MISSING}


async def test_an_original_that_was_changed_on_its_way_is_seen(
    service: CopyService,
) -> None:
    asset = await give(service.source, 1)
    await copy_all(service)
    await service.target.objects.put(asset.sha256, b"BYTES 1")
    told = await differences(service)
    assert told == {asset.id: "the bytes have another digest"}


async def test_an_original_that_is_gone_is_seen_and_copied_again(
    service: CopyService,
) -> None:
    asset = await give(service.source, 1)
    await copy_all(service)
    await service.target.objects.delete(asset.sha256)
    assert "missing" in (await differences(service))[asset.id]
    await copy_all(service)
    assert await differences(service) == {}


async def test_another_vector_is_seen_and_replaced(service: CopyService) -> None:
    asset = await give(service.source, 1)
    await copy_all(service)
    await service.target.documents.put(Embedding(asset.id, "r2", a_vector(9, 4)))
    assert "vectors" in (await differences(service))[asset.id]
    await copy_all(service)
    assert await differences(service) == {}


async def test_a_record_that_cannot_be_made_equal_is_seen(service: CopyService) -> None:
    asset = await give(service.source, 1)
    earlier = replace(asset, filename="other.jpg")
    await service.target.documents.add(earlier, None)
    await copy_all(service)
    assert await differences(service) == {asset.id: "the record differs"}


async def test_assets_that_only_the_target_has_stay_and_are_counted(
    service: CopyService,
) -> None:
    await give(service.source, 1)
    other = await give(service.target, 2)
    await copy_all(service)
    verified = await verify_all(service)
    assert (verified.tally.exit_code, verified.others) == (0, 1)
    assert other.id in await everything(service.target)


async def test_a_database_that_fails_stops_the_copy_and_leaves_nothing_unmarked(
    service: CopyService, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def gone(*_: object) -> bool:
        raise UnavailableError("gone", port="documents")

    for seed in range(20):
        await give(service.source, seed)
    monkeypatch.setattr(SqliteDocuments, "add", gone)
    tally = await copy_all(service)
    assert (tally.stopped, tally.exit_code) == ("gone", 1)
    marked = set(await service.target.documents.unreferenced())
    assert {found.sha256 async for found in service.target.objects.scan()} <= marked
