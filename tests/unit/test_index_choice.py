"""Which index searches: what DINOSERVE_INDEX asks for, and what there is."""

import logging
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from dinoserve.errors import StartUpError
from dinoserve.services import Services
from dinoserve.services.search import SearchRequest
from dinoserve.services.sources import Encoded
from dinoserve.services.upload import Upload
from dinoserve.settings import Settings
from dinoserve.telemetry import Metrics
from dinoserve.wiring import open_services
from mongo_search_server import SearchServer, searching
from mongo_server import fresh_database
from odd_files import photo

pytestmark = pytest.mark.needs("mongodb")


@pytest.fixture
async def plain() -> AsyncGenerator[str]:
    """The URL of a server without vector search."""
    async with fresh_database() as url:
        yield url


@pytest.fixture
async def server(plain: str) -> AsyncGenerator[SearchServer]:
    async with searching(plain) as server:
        yield server


def settings(folder: Path, documents: str, index: str) -> Settings:
    return Settings.model_validate(
        {"data": folder, "documents": documents, "index": index, "model": "stub"}
    )


async def told(services: Services) -> str:
    """Return what health says of the index."""
    ports = {port.name: port for port in await services.health.ports()}
    assert ports["index"].is_ok
    return ports["index"].detail


async def test_without_vector_search_auto_searches_in_this_process_and_says_so(
    plain: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    metrics = Metrics()

    async with open_services(settings(tmp_path, plain, "auto"), metrics) as services:
        await services.assets.upload(Upload(photo(1)))
        found = await services.search.search(SearchRequest(Encoded(photo(1))))
        detail = await told(services)

    assert "vectors are searched in this process: MongoDB does not" in caplog.text
    assert 'dinoserve_index{kind="memory"} 1.0' in metrics.render().decode()
    assert detail == "exact, in this process, 1 vectors"
    assert (len(found.hits), found.exact) == (1, True)


async def test_without_vector_search_asking_for_it_stops_the_start(
    plain: str, tmp_path: Path
) -> None:
    own = settings(tmp_path, plain, "mongodb")

    with pytest.raises(StartUpError, match="error 115"):
        async with open_services(own, Metrics()):
            pass


async def test_mongodbs_index_needs_the_documents_in_mongodb(tmp_path: Path) -> None:
    own = settings(tmp_path, "sqlite:", "mongodb")

    with pytest.raises(StartUpError, match="DINOSERVE_DOCUMENTS=mongodb"):
        async with open_services(own, Metrics()):
            pass


async def test_with_vector_search_auto_takes_it_and_says_so(
    server: SearchServer, tmp_path: Path
) -> None:
    metrics = Metrics()
    own = settings(tmp_path, server.url, "auto")

    async with open_services(own, metrics) as services:
        name = f"vectors_{services.models.card.recipe.dimension}"
        assert await told(services) == (
            f"approximate, MongoDB vector search, {name} READY, 0 recent changes"
        )

    assert 'dinoserve_index{kind="mongodb"} 1.0' in metrics.render().decode()
    assert set(server.indexes) == {name}


async def test_a_server_that_may_not_use_it_searches_in_this_process(
    server: SearchServer, tmp_path: Path
) -> None:
    async with open_services(
        settings(tmp_path, server.url, "memory"), Metrics()
    ) as services:
        assert await told(services) == "exact, in this process, 0 vectors"

    assert server.commands == []


async def test_an_index_that_failed_leaves_auto_in_this_process(
    server: SearchServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    server.statuses = ["FAILED"]

    async with open_services(
        settings(tmp_path, server.url, "auto"), Metrics()
    ) as services:
        assert await told(services) == "exact, in this process, 0 vectors"

    assert "could not build the search index" in caplog.text


async def test_vectors_are_found_after_a_restart_without_being_read(
    server: SearchServer, tmp_path: Path
) -> None:
    own = settings(tmp_path, server.url, "mongodb")
    async with open_services(own, Metrics()) as services:
        await services.assets.upload(Upload(photo(1)))

    async with open_services(own, Metrics()) as services:
        assert await services.search.fill() == 1
        assert "0 recent changes" in await told(services)
        found = await services.search.search(SearchRequest(Encoded(photo(1))))

    assert [round(hit.score, 6) for hit in found.hits] == [1.0]
    assert found.exact is False


async def test_an_exact_search_is_exact_and_says_so(
    server: SearchServer, tmp_path: Path
) -> None:
    own = settings(tmp_path, server.url, "mongodb")
    async with open_services(own, Metrics()) as services:
        await services.search.search(SearchRequest(Encoded(photo(1))))
        found = await services.search.search(
            SearchRequest(Encoded(photo(1)), exact=True)
        )

    assert found.exact is True
    assert [stage.get("exact") for stage in server.stages] == [None, True]


async def test_an_upload_is_found_at_once_and_a_deleted_asset_never_again(
    server: SearchServer, tmp_path: Path
) -> None:
    server.knows = set()
    own = settings(tmp_path, server.url, "mongodb")
    async with open_services(own, Metrics()) as services:
        asset = (await services.assets.upload(Upload(photo(1)))).asset
        found = await services.search.search(SearchRequest(Encoded(photo(1))))
        assert [hit.asset.id for hit in found.hits] == [asset.id]

        await services.assets.remove(asset.id)
        found = await services.search.search(SearchRequest(Encoded(photo(1))))

    assert found.hits == []
