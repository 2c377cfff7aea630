"""`quality`: what is measured of many assets, kept, and told in one file."""

import hashlib
import json
from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Any

import pytest

from dinoserve.adapters.memory import MemoryDocuments, MemoryObjects
from dinoserve.domain.assets import Asset
from dinoserve.domain.jobs import Job
from dinoserve.domain.quality import MEASURES, METHOD
from dinoserve.domain.vectors import Embedding
from dinoserve.ports import Stores, Trait
from dinoserve.services.copying import CopyService
from filed_jobs import Filed, filed
from odd_files import photo
from records import a_vector, an_asset


@pytest.fixture
async def shop() -> AsyncGenerator[Filed]:
    async with filed() as shop:
        yield shop


async def give(shop: Filed, *seeds: int, collection: str = "default") -> list[Asset]:
    """Store pictures with vectors; their bytes lie in the object store."""
    recipe = shop.services.embeddings.recipe
    assets: list[Asset] = []
    for seed in seeds:
        data = photo(seed, 160, 120)
        sha256 = hashlib.sha256(data).hexdigest()
        asset = replace(
            an_asset(seed, collection=collection), sha256=sha256, size_bytes=len(data)
        )
        await shop.services.assets.objects.put(sha256, data)
        vector = a_vector(seed, recipe.dimension)
        await shop.documents.add(asset, Embedding(asset.id, recipe.id, vector))
        assets.append(asset)
    return assets


async def lines(shop: Filed, job: Job) -> dict[str, dict[str, Any]]:
    told = [json.loads(line) for line in (await shop.file(job)).splitlines()]
    return {line["asset"]: line for line in told}


async def test_every_asset_of_a_collection_has_a_line(shop: Filed) -> None:
    inside = await give(shop, *range(5), collection="in")
    await give(shop, 9, collection="out")
    job = await shop.done("quality", collection="in")
    told = await lines(shop, job)
    assert set(told) == {asset.id for asset in inside}
    for line in told.values():
        assert tuple(line["measures"]) == MEASURES
    assert (job.state, job.progress.done) == ("succeeded", 5)


async def test_the_result_counts_issues_and_tells_thresholds(shop: Filed) -> None:
    assets = await give(shop, *range(4))
    limits = {"too_small": 128, "noisy": None}
    job = await shop.done(
        "quality", assets=[one.id for one in assets], thresholds=limits
    )
    result: dict[str, Any] = dict(job.result or {})
    told = await lines(shop, job)
    counted = [issue["issue"] for line in told.values() for issue in line["issues"]]
    assert result["issues"]["too_small"] == 4
    assert sum(result["issues"].values()) == len(counted)
    assert result["thresholds"]["noisy"] is None
    assert (result["assets"], result["method"]) == (4, METHOD)


async def test_what_is_measured_is_kept_and_used_again(shop: Filed) -> None:
    [asset] = await give(shop, 1)
    await shop.done("quality", assets=[asset.id])
    kept = dict((await shop.documents.traits.get([asset.id], METHOD))[asset.id])
    await shop.documents.traits.put([Trait(asset.id, METHOD, kept | {"noise": 99.0})])
    job = await shop.done("quality", assets=[asset.id], weights={"noisy": 1})
    line = (await lines(shop, job))[asset.id]
    assert line["measures"]["noise"] == 99
    assert [issue["issue"] for issue in line["issues"]] == ["noisy", "too_small"]
    assert line["overall"] == pytest.approx(15 / 99, abs=1e-5)


async def test_nothing_measured_is_left_of_an_erased_asset(shop: Filed) -> None:
    [asset] = await give(shop, 1)
    await shop.done("quality", assets=[asset.id])
    await shop.services.assets.remove(asset.id)
    assert await shop.documents.traits.of(asset.id) == []


async def test_typicality_is_told_where_a_reference_is_named(shop: Filed) -> None:
    await give(shop, *range(10), collection="reference")
    [asset] = await give(shop, 20)
    job = await shop.done("quality", assets=[asset.id], reference="reference", k=3)
    typicality = (await lines(shop, job))[asset.id]["typicality"]
    assert 0 < typicality["distance"] <= 2
    assert 0 <= typicality["percentile"] <= 100


async def test_a_reference_that_is_empty_fails_with_the_reason(shop: Filed) -> None:
    [asset] = await give(shop, 1)
    job = await shop.done("quality", assets=[asset.id], reference="none")
    assert job.progress.done == 0
    assert job.progress.failed == 1


async def test_an_asset_that_is_not_there_is_a_failure(shop: Filed) -> None:
    [asset] = await give(shop, 1)
    job = await shop.done("quality", assets=[asset.id, "0" * 32])
    assert job.progress.reasons == {"asset-not-found": 1}
    assert set(await lines(shop, job)) == {asset.id}


async def test_an_asset_whose_bytes_are_lost_is_a_failure(shop: Filed) -> None:
    lost, there = await give(shop, 1, 2)
    await shop.services.assets.objects.delete(lost.sha256)
    job = await shop.done("quality", assets=[lost.id, there.id])
    assert job.progress.reasons == {"not-found": 1}
    assert set(await lines(shop, job)) == {there.id}


async def test_an_empty_collection_gives_an_empty_file(shop: Filed) -> None:
    job = await shop.done("quality", collection="none")
    assert job.state == "succeeded"
    assert await shop.file(job) == b""


async def test_what_was_measured_is_copied_with_the_asset(shop: Filed) -> None:
    [asset] = await give(shop, 1)
    await shop.done("quality", assets=[asset.id])
    source = Stores(shop.documents, shop.services.assets.objects)
    target = Stores(MemoryDocuments(), MemoryObjects())
    service = CopyService(source, target)
    [asset] = (await shop.documents.get([asset.id])).values()
    assert await service.copy(asset)
    kept = await shop.documents.traits.of(asset.id)
    assert kept
    assert await target.documents.traits.of(asset.id) == kept
    assert await service.difference(asset) is None
    await target.documents.traits.put([kept[0]._replace(values={})])
    assert "measured" in (await service.difference(asset) or "")
    assert await service.copy(asset)
    assert await target.documents.traits.of(asset.id) == kept
