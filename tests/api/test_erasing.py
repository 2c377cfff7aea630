"""Erasing while stores are away, or while the same image is given elsewhere."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import httpx2
import pytest

from dinoserve.adapters.memory import MemoryDocuments, MemoryObjects
from dinoserve.domain.assets import Asset
from dinoserve.domain.vectors import Embedding
from dinoserve.errors import UnavailableError
from dinoserve.services import Services
from dinoserve.services.assets import AssetService
from direct_uploads import Running, code, of_bucket, started
from object_servers import ceph, ceph_bucket
from odd_files import photo

DATA = photo(1, 64, 48)


class KeptObjects(MemoryObjects):
    """Objects that a store which just went away does not erase."""

    is_away = True

    async def delete(self, sha256: str) -> None:
        """Erase the object, or fail."""
        if self.is_away:
            raise UnavailableError("away", port="objects")
        await super().delete(sha256)


class Pages:
    """A network that has one text."""

    async def fetch(self, url: str) -> bytes:
        """Return it."""
        del url
        return b"no image at all"


def changed(running: Running, change: Callable[[AssetService], AssetService]) -> None:
    """Give the app assets that were changed so."""
    services: Services = running.app.state.services
    running.app.state.services = replace(services, assets=change(services.assets))


async def given(client: httpx2.AsyncClient, **query: str) -> httpx2.Response:
    return await client.post("/v1/assets", files={"file": DATA}, params=query)


@pytest.mark.needs("ceph")
async def test_nothing_is_erased_while_the_bucket_is_away_and_all_of_it_afterwards(
    tmp_path: Path,
) -> None:
    bucket = replace(ceph_bucket("erasing"), prefix="below")
    async with started(data=tmp_path, **of_bucket(bucket)) as running:
        url = (await given(running.client)).headers["location"]
        await asyncio.to_thread(ceph().kill_gateway)
        try:
            refused = await running.client.delete(url)
            assert (refused.status_code, code(refused)) == (503, "unavailable")
            assert (await running.client.get(url)).status_code == 200
        finally:
            await asyncio.to_thread(ceph().start_gateway)
        assert (await running.client.delete(url)).status_code == 204
        assert (await running.client.get(url)).status_code == 404
        assert await running.kept() == []


async def test_a_bucket_that_goes_away_at_the_end_is_erased_from_afterwards(
    memory: Running,
) -> None:
    objects = KeptObjects()
    changed(memory, lambda assets: replace(assets, objects=objects))
    url = (await given(memory.client)).headers["location"]

    assert (await memory.client.delete(url)).status_code == 204

    assert (await memory.client.get(url)).status_code == 404
    assert [found async for found in objects.scan()] != []
    [digest] = await memory.app.state.services.assets.documents.unreferenced()
    assert [found.sha256 async for found in objects.scan()] == [digest]


async def test_an_image_whose_asset_is_erased_elsewhere_meanwhile_is_kept_anew(
    memory: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    add, erased = MemoryDocuments.add, list[str]()

    async def add_and_lose(
        documents: MemoryDocuments, asset: Asset, embedding: Embedding | None
    ) -> bool:
        is_new = await add(documents, asset, embedding)
        if not is_new and not erased:
            erased.append(asset.id)
            await documents.remove(asset.id)
        return is_new

    monkeypatch.setattr(MemoryDocuments, "add", add_and_lose)
    before = await given(memory.client, embed="false")

    again = await given(memory.client)

    assert erased == [before.json()["id"]]
    assert (again.status_code, again.json()["id"]) == (201, erased[0])
    assert (await memory.client.get(again.headers["location"])).status_code == 200


async def test_an_image_that_is_erased_elsewhere_again_and_again_is_told_to_be(
    memory: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    add = MemoryDocuments.add

    async def add_to_nobody(
        documents: MemoryDocuments, asset: Asset, embedding: Embedding | None
    ) -> bool:
        await add(documents, asset, embedding)
        await documents.remove(asset.id)
        return False

    monkeypatch.setattr(MemoryDocuments, "add", add_to_nobody)
    answer = await given(memory.client)
    assert (answer.status_code, code(answer)) == (503, "unavailable")
    assert "erased" in answer.json()["detail"]


async def test_what_is_behind_a_url_and_no_image_is_told_of_the_url(
    memory: Running,
) -> None:
    changed(memory, lambda assets: replace(assets, fetcher=Pages()))
    answer = await memory.client.post("/v1/assets", json={"url": "https://a.example/"})
    assert (answer.status_code, code(answer)) == (415, "image-unsupported")
    assert answer.json()["field"] == "url"
