"""The feed of changes of a MongoDB, broken off and taken up, and who follows it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import numpy as np
import pytest
from pymongo import AsyncMongoClient

from dinoserve.adapters.mongo import MongoDocuments
from dinoserve.adapters.mongo import changes as changes_module
from dinoserve.ports import Change
from mongo_server import failing, fresh_database
from records import a_vector, an_asset, an_embedding

pytestmark = pytest.mark.needs("mongodb")

ASSET = an_asset(1, collection="one")
BREAK = {"closeConnection": True}
# A code that no stream is resumed after: ChangeStreamHistoryLost.
LOST = {"errorCode": 286}


@pytest.fixture
async def url(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    monkeypatch.setattr(changes_module, "_PAUSE_S", 0)
    async with fresh_database() as url:
        yield url


@pytest.fixture
async def documents(url: str) -> AsyncIterator[MongoDocuments]:
    async with MongoDocuments.open(url) as documents:
        yield documents


def assert_is(change: Change | None, seed: int | None, recipe: str = "r1") -> None:
    assert change is not None
    assert change[:3] == ("one", ASSET.id, recipe)
    if seed is None:
        assert change.vector is None
    else:
        assert change.vector is not None
        np.testing.assert_array_equal(change.vector, a_vector(seed))


async def test_every_vector_stored_replaced_and_erased_is_told_in_order(
    documents: MongoDocuments,
) -> None:
    async with aclosing(documents.changes()) as changes:
        assert await anext(changes) is None
        await documents.add(ASSET, an_embedding(ASSET))
        await documents.put(an_embedding(ASSET, seed=2))
        await documents.remove(ASSET.id)
        await documents.add(ASSET, an_embedding(ASSET, seed=3))
        for seed in (0, 2, None, 3):
            assert_is(await anext(changes), seed)


async def test_every_vector_of_an_erased_asset_is_told(
    documents: MongoDocuments,
) -> None:
    await documents.add(ASSET, an_embedding(ASSET))
    await documents.put(an_embedding(ASSET, "r2"))
    async with aclosing(documents.changes()) as changes:
        await anext(changes)
        await documents.remove(ASSET.id)
        told = [await anext(changes) for _ in range(2)]
    assert sorted(change.recipe for change in told if change) == ["r1", "r2"]
    assert all(change and change.vector is None for change in told)


async def test_a_feed_that_breaks_off_misses_nothing(
    url: str, documents: MongoDocuments
) -> None:
    async with aclosing(documents.changes()) as changes:
        await anext(changes)
        await documents.add(ASSET, an_embedding(ASSET))
        assert_is(await anext(changes), 0)
        async with failing(url, "getMore", "aggregate", times=4, **BREAK):
            following = asyncio.ensure_future(anext(changes))
            await documents.put(an_embedding(ASSET, seed=2))
            assert_is(await following, 2)


async def test_a_feed_that_cannot_go_on_says_that_changes_were_missed(
    url: str, documents: MongoDocuments
) -> None:
    async with aclosing(documents.changes()) as changes:
        await anext(changes)
        async with failing(url, "getMore", times=1, **LOST):
            assert await anext(changes) is None
        await documents.add(ASSET, an_embedding(ASSET))
        assert_is(await anext(changes), 0)


async def test_the_feed_survives_a_collection_that_is_dropped(
    url: str, documents: MongoDocuments
) -> None:
    async with aclosing(documents.changes()) as changes:
        await anext(changes)
        async with AsyncMongoClient[dict[str, Any]](url) as client:
            await client.get_default_database().embeddings.drop()
        assert await anext(changes) is None
