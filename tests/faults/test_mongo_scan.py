"""A scan of all vectors whose cursor, connection or server dies: it goes on."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import pytest
from pymongo import AsyncMongoClient

from dinoserve.adapters.mongo import MongoDocuments, database, scanning
from dinoserve.errors import UnavailableError
from dinoserve.ports import IndexEntry
from mongo_server import MongoServer, failing, fresh_database
from records import an_asset, an_embedding

pytestmark = pytest.mark.needs("mongodb")

COUNT = 30
BREAK = {"closeConnection": True}
CURSOR_NOT_FOUND = {"errorCode": 43}


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scanning, "BATCH", 4)


@pytest.fixture
async def url() -> AsyncIterator[str]:
    async with fresh_database() as url:
        yield url


@pytest.fixture
async def documents(url: str) -> AsyncIterator[MongoDocuments]:
    async with MongoDocuments.open(url) as documents:
        await fill(documents)
        yield documents


async def fill(documents: MongoDocuments) -> None:
    for seed in range(COUNT):
        asset = an_asset(seed)
        await documents.add(asset, an_embedding(asset))
        await documents.put(an_embedding(asset, "r2"))


async def open_cursors(url: str) -> int:
    async with AsyncMongoClient[dict[str, Any]](url) as client:
        status = await client.admin.command("serverStatus")
    return int(status["metrics"]["cursor"]["open"]["total"])


def every_id() -> list[str]:
    return sorted(an_asset(seed).id for seed in range(COUNT))


def ids(entries: list[IndexEntry]) -> list[str]:
    return sorted(entry.asset_id for entry in entries)


@pytest.mark.parametrize("how", [BREAK, CURSOR_NOT_FOUND])
async def test_a_cursor_that_dies_in_the_middle_costs_no_vector_and_doubles_none(
    url: str, documents: MongoDocuments, how: dict[str, Any]
) -> None:
    found: list[IndexEntry] = []
    async with aclosing(documents.scan("r1")) as batches:
        found += await anext(batches)
        async with failing(url, "getMore", times=1, **how):
            async for batch in batches:
                found += batch
    assert ids(found) == every_id()


async def test_every_batch_may_break_off_twice(
    url: str, documents: MongoDocuments
) -> None:
    found: list[IndexEntry] = []
    async with aclosing(documents.scan("r1")) as batches:
        for _ in range(COUNT // 4):
            async with failing(url, "getMore", "find", times=2, **CURSOR_NOT_FOUND):
                found += await anext(batches)
        async for batch in batches:
            found += batch
    assert ids(found) == every_id()


async def test_a_server_that_is_killed_and_restarted_between_batches_costs_nothing(
    own_server: MongoServer,
) -> None:
    async with MongoDocuments.open(own_server.url) as documents:
        await fill(documents)
        found: list[IndexEntry] = []
        async with aclosing(documents.scan("r1")) as batches:
            found += await anext(batches)
            own_server.kill()
            own_server.start()
            async for batch in batches:
                found += batch
    assert ids(found) == every_id()


async def test_a_server_that_stays_away_is_waited_for_within_a_bound(
    own_server: MongoServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "ANSWER_S", 1.0)
    async with MongoDocuments.open(own_server.url) as documents:
        await fill(documents)
        async with aclosing(documents.scan("r1")) as batches:
            await anext(batches)
            own_server.kill()
            with pytest.raises(UnavailableError):
                await anext(batches)
        # The driver leaves a socket behind when it is closed while its server is away.
        own_server.start()
        await documents.ping()


async def test_a_scan_whose_order_was_lost_says_so_instead_of_missing_vectors(
    url: str, documents: MongoDocuments, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def backwards(db: Any, recipe: str, _: str) -> Any:
        return db.embeddings.find({"recipe": recipe}).sort("_id", -1).batch_size(4)

    monkeypatch.setattr(scanning, "_cursor", backwards)
    async with aclosing(documents.scan("r1")) as batches:
        await anext(batches)
        async with failing(url, "getMore", times=1, **CURSOR_NOT_FOUND):
            with pytest.raises(UnavailableError):
                await anext(batches)


async def test_the_index_gives_vectors_by_their_ids(documents: MongoDocuments) -> None:
    found = [one.asset_id async for batch in documents.scan("r1") for one in batch]
    assert found == every_id()


async def test_a_scan_that_is_left_early_leaves_no_cursor(
    url: str, documents: MongoDocuments
) -> None:
    before = await open_cursors(url)
    async with aclosing(documents.scan("r1")) as batches:
        await anext(batches)
        assert await open_cursors(url) == before + 1
    assert await open_cursors(url) == before
