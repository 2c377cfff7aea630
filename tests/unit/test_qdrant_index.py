"""Qdrant behind the port: what the contract of every index does not ask for."""

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dinoserve import wiring
from dinoserve.adapters import qdrant_index
from dinoserve.adapters.qdrant_index import QdrantIndex
from dinoserve.errors import StartUpError, UnavailableError
from dinoserve.ports import Space
from dinoserve.services.search import SearchRequest
from dinoserve.services.sources import Encoded
from dinoserve.services.upload import Upload
from dinoserve.settings import Settings
from dinoserve.telemetry import Metrics
from odd_files import photo
from records import a_vector

HERE, OTHER = Space("default", "r1"), Space("default", "r2")
NOBODY = "http://127.0.0.1:9"
ONE = a_vector(1)
Ask = Callable[[QdrantIndex], Awaitable[object]]


ASKS: dict[str, Ask] = {
    "upsert": lambda index: index.upsert(HERE, ["a"], ONE[None]),
    "delete": lambda index: index.delete(HERE, ["a"]),
    "search": lambda index: index.search(HERE, ONE, 1, None),
    "retain": lambda index: index.retain(HERE.recipe, {HERE.collection: ["a"]}),
    "count": lambda index: index.count(HERE),
    "ping": lambda index: index.ping(),
}


@pytest.mark.parametrize("ask", ASKS.values(), ids=ASKS)
async def test_a_server_that_does_not_answer_is_unavailable(ask: Ask) -> None:
    async with QdrantIndex.open(NOBODY) as index:
        with pytest.raises(UnavailableError) as caught:
            await ask(index)
    assert caught.value.port == "index"


async def test_a_start_without_the_server_says_so(tmp_path: Path) -> None:
    settings = Settings.model_validate(
        {"data": tmp_path, "model": "stub", "index": f"qdrant+{NOBODY}"}
    )
    before = settings.model_copy(update={"index": "memory"})
    async with wiring.open_services(before, Metrics()) as services:
        await services.assets.upload(Upload(photo(1)))
    with pytest.raises(StartUpError, match="index: Qdrant did not answer"):
        async with wiring.open_services(settings, Metrics()):
            pass


async def test_without_its_client_the_start_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def nothing(_: str) -> None:
        return None

    monkeypatch.setattr(qdrant_index, "find_spec", nothing)
    with pytest.raises(StartUpError, match=r"dinoserve\[qdrant\]"):
        async with QdrantIndex.open(NOBODY):
            pass


async def test_retaining_takes_out_others_of_the_recipe_only() -> None:
    rows = np.stack([a_vector(seed) for seed in (1, 2)])
    async with QdrantIndex.open(":memory:") as index:
        await index.upsert(HERE, ["a", "b"], rows)
        await index.upsert(OTHER, ["c"], rows[:1])
        await index.retain(HERE.recipe, {HERE.collection: ["b", "absent"]})
        hits = (await index.search(HERE, ONE, 9, None)).hits
        assert [hit.asset_id for hit in hits] == ["b"]
        assert await index.count(OTHER) == 1


async def test_pictures_are_found_and_erased_through_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def open_local(
        url: str, settings: Settings, stack: AsyncExitStack
    ) -> QdrantIndex:
        assert (url, settings.index_key) == (NOBODY, None)
        return await stack.enter_async_context(QdrantIndex.open(":memory:"))

    monkeypatch.setattr(wiring, "open_qdrant", open_local)
    settings = Settings.model_validate(
        {"data": tmp_path, "model": "stub", "index": f"qdrant+{NOBODY}"}
    )
    metrics = Metrics()
    request = SearchRequest(Encoded(photo(1)))
    async with wiring.open_services(settings, metrics) as services:
        asset = (await services.assets.upload(Upload(photo(1)))).asset
        found = await services.search.search(request)
        assert [hit.asset.id for hit in found.hits] == [asset.id]
        assert found.path == "qdrant"
        await services.assets.remove(asset.id)
        space = Space("default", services.embeddings.recipe.id)
        assert await services.search.index.count(space) == 0
    assert 'dinoserve_index{kind="qdrant"} 1.0' in metrics.render().decode()


async def test_retaining_nothing_takes_out_all_of_the_recipe() -> None:
    rows = a_vector(1)[None]
    async with QdrantIndex.open(":memory:") as index:
        await index.upsert(HERE, ["a"], rows)
        await index.upsert(OTHER, ["c"], rows)
        await index.retain(HERE.recipe, {})
        assert await index.count(HERE) == 0
        assert await index.count(OTHER) == 1


async def test_nothing_is_erased_while_the_server_does_not_answer(
    tmp_path: Path,
) -> None:
    settings = Settings.model_validate(
        {"data": tmp_path, "model": "stub", "index": "memory"}
    )
    async with (
        wiring.open_services(settings, Metrics()) as services,
        QdrantIndex.open(NOBODY) as away,
    ):
        asset = (await services.assets.upload(Upload(photo(1)))).asset
        with pytest.raises(UnavailableError):
            await replace(services.assets, index=away).remove(asset.id)
        assert (await services.assets.get(asset.id)).id == asset.id
