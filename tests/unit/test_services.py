"""Use cases over stores in memory, where HTTP would only be in the way."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import replace

import numpy as np
import pytest

from dinoserve.domain.vectors import Embedding
from dinoserve.errors import FetchFailedError, RecipeMismatchError
from dinoserve.services import Services
from dinoserve.services.search import SearchRequest
from dinoserve.services.sources import Encoded, Linked
from dinoserve.services.upload import Upload
from dinoserve.settings import Settings
from dinoserve.telemetry import Metrics
from dinoserve.wiring import open_services
from odd_files import photo

OTHER = "feedfacefeedface"
QUERY = SearchRequest(Encoded(photo(9)))


@pytest.fixture
async def services() -> AsyncGenerator[Services]:
    memory = {"documents": "memory:", "objects": "memory:", "model": "stub"}
    async with open_services(Settings.model_validate(memory), Metrics()) as services:
        yield services


async def give(services: Services, seed: int, *, other: bool = False) -> None:
    """Upload a picture; with `other`, as if an earlier model had embedded it."""
    uploaded = await services.assets.upload(Upload(photo(seed)), embed=not other)
    if other:
        vector = np.full(4, 0.5, np.float32)
        documents = services.assets.documents
        await documents.put(Embedding(uploaded.asset.id, OTHER, vector))
        recipe = services.models.card.recipe
        await documents.save_recipe(replace(recipe, revision="earlier"))


async def test_a_collection_of_another_recipe_alone_is_not_searched(
    services: Services,
) -> None:
    await give(services, 1, other=True)

    with pytest.raises(RecipeMismatchError, match="dinoserve reembed") as caught:
        await services.search.search(QUERY)

    assert OTHER in caught.value.detail
    assert services.models.card.recipe.id in caught.value.detail


async def test_a_search_tells_how_many_assets_it_cannot_compare(
    services: Services,
) -> None:
    await give(services, 1)
    await give(services, 2, other=True)
    await give(services, 3, other=True)

    result = await services.search.search(QUERY)

    assert (len(result.hits), result.not_searched) == (1, 2)


async def test_a_failed_fetch_stops_the_others_of_its_request(
    services: Services,
) -> None:
    ended = asyncio.Event()

    class Fetcher:
        async def fetch(self, url: str) -> bytes:
            if url == "bad":
                raise FetchFailedError("no", field="url")
            try:
                await asyncio.Event().wait()
            finally:
                ended.set()
            return b""

    assets = replace(services.assets, fetcher=Fetcher())
    embeddings = replace(services.embeddings, assets=assets)

    with pytest.raises(FetchFailedError) as caught:
        await embeddings.embed([Linked("bad"), Linked("slow")])

    assert caught.value.extra["field"] == "input[0]"
    assert ended.is_set()
