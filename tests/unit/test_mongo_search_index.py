"""MongoDB's search index at a start: made, waited for, and never changed."""

import logging
from collections.abc import AsyncGenerator

import pytest

from dinoserve.adapters.mongo import index as mongo_index
from dinoserve.adapters.mongo import search
from dinoserve.adapters.mongo.database import Database, connect
from dinoserve.adapters.mongo.index import prepare
from dinoserve.errors import StartUpError
from mongo_search_server import SearchServer, searching
from mongo_server import fresh_database

pytestmark = pytest.mark.needs("mongodb")

WIDTH = 8
DEFINITION = {
    "fields": [
        {
            "type": "vector",
            "path": "vector",
            "numDimensions": WIDTH,
            "similarity": "cosine",
        },
        {"type": "filter", "path": "collection"},
        {"type": "filter", "path": "recipe"},
    ]
}


@pytest.fixture
async def server() -> AsyncGenerator[SearchServer]:
    async with fresh_database() as url, searching(url) as server:
        yield server


@pytest.fixture
async def database(server: SearchServer) -> AsyncGenerator[Database]:
    async with connect(server.url) as database:
        yield database


async def test_the_search_index_has_the_dimension_and_what_is_filtered_by(
    server: SearchServer, database: Database
) -> None:
    await prepare(database, WIDTH)

    assert server.indexes == {"vectors_8": DEFINITION}


async def test_a_search_index_that_is_there_is_not_made_again(
    server: SearchServer, database: Database
) -> None:
    await prepare(database, WIDTH)
    await prepare(database, WIDTH)

    made = [one for one in server.commands if "createSearchIndexes" in one]
    assert len(made) == 1


async def test_two_servers_may_make_it_at_the_same_moment(
    server: SearchServer, database: Database
) -> None:
    await database.run(search.create_index, WIDTH)
    await database.run(search.create_index, WIDTH)

    assert set(server.indexes) == {"vectors_8"}


async def test_the_start_waits_until_the_index_can_be_asked_and_says_so(
    server: SearchServer,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(mongo_index, "_PAUSE_S", 0)
    monkeypatch.setattr(mongo_index, "_TELL_EVERY_S", 0)
    server.statuses = ["PENDING", "BUILDING", "READY"]
    caplog.set_level(logging.INFO)

    await prepare(database, WIDTH)

    assert server.statuses == ["READY"]
    assert caplog.text.count("waiting for vectors_8") == 2


async def test_an_index_that_is_not_ready_in_time_stops_the_start(
    server: SearchServer, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mongo_index, "_BUILD_S", 0)
    server.statuses = ["BUILDING"]

    with pytest.raises(StartUpError, match="DINOSERVE_INDEX=memory"):
        await prepare(database, WIDTH)


async def test_an_index_that_failed_stops_the_start(
    server: SearchServer, database: Database
) -> None:
    server.statuses = ["FAILED"]

    with pytest.raises(StartUpError, match="could not build the search index"):
        await prepare(database, WIDTH)


async def test_an_index_of_that_name_that_is_not_ours_is_left_alone(
    server: SearchServer, database: Database
) -> None:
    theirs = {"fields": [{**DEFINITION["fields"][0], "similarity": "euclidean"}]}
    server.indexes = {"vectors_8": theirs}

    with pytest.raises(StartUpError, match="not as dinoserve makes it"):
        await prepare(database, WIDTH)

    assert server.indexes == {"vectors_8": theirs}


# CommandNotSupported, SearchNotEnabled, CommandNotFound, Unauthorized.
@pytest.mark.parametrize("code", [115, 31082, 59, 13])
async def test_a_server_without_vector_search_is_told_with_its_reason(
    server: SearchServer, database: Database, code: int
) -> None:
    server.refusal = code

    with pytest.raises(StartUpError, match=f"error {code}: needs configuration"):
        await prepare(database, WIDTH)


async def test_the_test_server_itself_has_no_vector_search() -> None:
    async with fresh_database() as url, connect(url) as database:
        with pytest.raises(StartUpError, match="error 115"):
            await prepare(database, WIDTH)
