"""The feed of changes of a MongoDB: broken off, taken up, refused."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import numpy as np
import pytest
from pymongo import AsyncMongoClient

from dinoserve.adapters.mongo import MongoDocuments
from dinoserve.adapters.mongo import changes as changes_module
from dinoserve.errors import UnavailableError
from dinoserve.ports import Change
from mongo_server import MongoServer, failing, fresh_database
from records import a_vector, an_asset, an_embedding

pytestmark = pytest.mark.needs("mongodb")

ASSET = an_asset(1, collection="one")
BREAK = {"closeConnection": True}
# More than a server waits for news before it answers that there are none: a second.
ANSWER_MS = 1500
# MaxTimeMSExpired: an answer took longer than it may.
SLOW = {"errorCode": 50}
# A code that no stream is resumed after: ChangeStreamHistoryLost.
LOST = {"errorCode": 286}
# What a server without change streams answers.
NONE_HERE = {"errorCode": 40573}


@pytest.fixture
async def url(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    monkeypatch.setattr(changes_module, "_PAUSE_S", 0)
    async with fresh_database() as url:
        yield url


@pytest.fixture
async def documents(url: str) -> AsyncIterator[MongoDocuments]:
    async with MongoDocuments.open(url) as documents:
        yield documents


def assert_stored(change: Change | None, seed: int) -> None:
    assert change is not None
    assert change.vector is not None
    np.testing.assert_array_equal(change.vector, a_vector(seed))


async def test_every_state_of_a_vector_is_told_in_order(
    documents: MongoDocuments,
) -> None:
    async with aclosing(documents.changes()) as changes:
        assert await anext(changes) is None
        await documents.add(ASSET, an_embedding(ASSET))
        await documents.put(an_embedding(ASSET, seed=2))
        await documents.remove(ASSET.id)
        await documents.add(ASSET, an_embedding(ASSET, seed=3))
        told = [await anext(changes) for _ in range(7)]
    first, second, erased, last = [each for each in told if each and each.space]
    for change, seed in ((first, 0), (second, 2), (last, 3)):
        assert_stored(change, seed)
    assert erased.vector is None


async def test_a_large_record_is_told_by_its_id_alone(
    documents: MongoDocuments,
) -> None:
    large = an_asset(1, metadata={"text": "x" * 15_000_000})
    async with aclosing(documents.changes()) as changes:
        await anext(changes)
        await documents.add(large, None)
        assert await anext(changes) == Change(large.id)


@pytest.mark.parametrize("was_told", [True, False])
async def test_a_feed_that_breaks_off_misses_nothing(
    url: str, documents: MongoDocuments, *, was_told: bool
) -> None:
    async with aclosing(documents.changes()) as changes:
        await anext(changes)
        if was_told:
            await documents.add(an_asset(2), None)
            assert await anext(changes) == Change(an_asset(2).id)
        async with failing(url, "getMore", "aggregate", times=4, **BREAK):
            following = asyncio.ensure_future(anext(changes))
            await documents.add(ASSET, None)
            assert await following == Change(ASSET.id)


async def test_a_feed_may_be_silent_for_longer_than_an_answer_may_take(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with (
        MongoDocuments.open(f"{url}?timeoutMS={ANSWER_MS}") as documents,
        aclosing(documents.changes()) as changes,
    ):
        await anext(changes)
        following = asyncio.ensure_future(anext(changes))
        await asyncio.wait([following], timeout=2 * ANSWER_MS / 1000)
        await documents.add(ASSET, None)
        assert await following == Change(ASSET.id)
    assert caplog.messages == []


async def test_a_server_that_is_slow_to_tell_is_asked_again_and_misses_nothing(
    url: str, documents: MongoDocuments
) -> None:
    async with aclosing(documents.changes()) as changes:
        await anext(changes)
        async with failing(url, "getMore", times=1, **SLOW):
            following = asyncio.ensure_future(anext(changes))
            await documents.add(ASSET, None)
            assert await following == Change(ASSET.id)


async def test_a_feed_that_cannot_go_on_says_that_changes_were_missed(
    url: str, documents: MongoDocuments
) -> None:
    async with aclosing(documents.changes()) as changes:
        await anext(changes)
        async with failing(url, "getMore", times=1, **LOST):
            assert await anext(changes) is None
        await documents.add(ASSET, None)
        assert await anext(changes) == Change(ASSET.id)


@pytest.mark.parametrize("name", ["assets", "embeddings"])
async def test_the_feed_says_that_a_collection_was_dropped_and_goes_on(
    url: str, documents: MongoDocuments, name: str
) -> None:
    async with aclosing(documents.changes()) as changes:
        await anext(changes)
        async with AsyncMongoClient[dict[str, Any]](url) as client:
            await client.get_default_database()[name].drop()
        assert await anext(changes) is None
        await documents.add(ASSET, None)
        assert await anext(changes) == Change(ASSET.id)


async def test_the_feed_begins_again_after_the_database_was_dropped(
    url: str, documents: MongoDocuments
) -> None:
    async with aclosing(documents.changes()) as changes:
        await anext(changes)
        async with AsyncMongoClient[dict[str, Any]](url) as client:
            await client.drop_database(client.get_default_database().name)
        # Two collections, the database, the end of the stream; then it listens anew.
        assert [await anext(changes) for _ in range(5)] == [None] * 5
        await documents.add(ASSET, None)
        assert await anext(changes) == Change(ASSET.id)


async def test_a_server_without_change_streams_is_told_at_once(
    url: str, documents: MongoDocuments
) -> None:
    async with failing(url, "aggregate", **NONE_HERE):
        with pytest.raises(UnavailableError, match=r"40573.*change streams"):
            await anext(documents.changes())


async def test_the_refusal_of_a_standalone_names_both_commands() -> None:
    server = MongoServer(":memory:", "--standalone").start()
    try:
        with pytest.raises(Exception, match="standalone") as refused:
            async with MongoDocuments.open(server.url):
                pass
    finally:
        server.stop()
    assert "`systemctl restart mongod`" in str(refused.value)
    assert "`mongosh --eval 'rs.initiate()'`" in str(refused.value)
