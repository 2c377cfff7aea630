"""What `ports.ChangeFeed` promises, of every store that several processes may share."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AsyncExitStack, aclosing
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from dinoserve.adapters.mongo import MongoDocuments
from dinoserve.adapters.sqlite import SqliteDocuments
from dinoserve.ports import AssetChanges, Change, DocumentStore, Space
from mongo_server import fresh_database
from records import a_vector, an_asset, an_embedding

MONGO = pytest.param("mongo", marks=pytest.mark.needs("mongodb"))
ASSET = an_asset(1, collection="one")
SPACE = Space("one", "r1")
# Far more than it may take, as the machine may be busy.
DEADLINE_S = 20

Store = SqliteDocuments | MongoDocuments
Changes = AsyncGenerator[Change | None]


class Two(NamedTuple):
    """The same database, opened twice as two processes would."""

    own: Store
    other: Store


@pytest.fixture(params=["sqlite", MONGO])
async def two(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Two]:
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        if request.param == "mongo":
            url = await enter(fresh_database())
            mongo = [await enter(MongoDocuments.open(url)) for _ in range(2)]
            yield Two(*mongo)
        else:
            path = tmp_path / "documents.sqlite"
            sqlite = [await enter(SqliteDocuments.open(path)) for _ in range(2)]
            yield Two(*sqlite)


@pytest.fixture
async def changes(two: Two) -> AsyncIterator[Changes]:
    """What one of them is told, from now on."""
    async with aclosing(two.own.changes()) as changes:
        assert await anext(changes) is None
        yield changes


async def told(changes: Changes, is_last: Callable[[Change], bool]) -> list[Change]:
    """Return what is told up to this change."""
    found: list[Change] = []
    async with asyncio.timeout(DEADLINE_S):
        async for change in changes:
            assert change is not None
            found.append(change)
            if is_last(change):
                return found
    raise AssertionError(found)


def is_vector(change: Change) -> bool:
    return change.space is not None


def is_record(change: Change) -> bool:
    return change.space is None


async def test_it_says_first_that_it_listens(two: Two) -> None:
    await two.own.add(ASSET, an_embedding(ASSET))
    async with aclosing(two.own.changes()) as changes:
        assert await anext(changes) is None


async def test_what_was_before_is_not_told(two: Two) -> None:
    await two.own.add(ASSET, an_embedding(ASSET))
    late = an_asset(2)
    async with aclosing(two.own.changes()) as changes:
        await anext(changes)
        await two.own.add(late, None)
        assert await told(changes, is_record) == [Change(late.id)]


@pytest.mark.parametrize("by", ["own", "other"])
async def test_an_asset_is_told_before_its_vector_whoever_adds_it(
    two: Two, changes: Changes, by: str
) -> None:
    store: DocumentStore = getattr(two, by)
    await store.add(ASSET, an_embedding(ASSET))
    record, vector = await told(changes, is_vector)
    assert record == Change(ASSET.id)
    assert vector[:3] == (ASSET.id, None, SPACE)
    assert vector.vector is not None
    np.testing.assert_array_equal(vector.vector, a_vector(0))


async def test_a_changed_record_is_told(two: Two, changes: Changes) -> None:
    await two.other.add(ASSET, None)
    await told(changes, is_record)
    await two.other.update(ASSET.id, AssetChanges(tags=("new",)))
    assert await told(changes, is_record) == [Change(ASSET.id)]


async def test_when_a_change_is_told_its_record_can_be_read(
    two: Two, changes: Changes
) -> None:
    await two.other.add(ASSET, None)
    await told(changes, is_record)
    assert ASSET.id in await two.own.get([ASSET.id])


@pytest.mark.parametrize("recipe", ["r1", "r2"])
async def test_a_vector_that_is_stored_later_is_told(
    two: Two, changes: Changes, recipe: str
) -> None:
    await two.other.add(ASSET, an_embedding(ASSET))
    await told(changes, is_vector)
    await two.other.put(an_embedding(ASSET, recipe, seed=2))
    stored = (await told(changes, is_vector))[-1]
    assert stored[:3] == (ASSET.id, None, Space("one", recipe))
    assert stored.vector is not None
    np.testing.assert_array_equal(stored.vector, a_vector(2))


async def test_an_erasure_tells_the_digest_and_then_every_vector(
    two: Two, changes: Changes
) -> None:
    await two.other.add(ASSET, an_embedding(ASSET, "r1"))
    await two.other.put(an_embedding(ASSET, "r2"))
    await told(changes, lambda change: change.space == Space("one", "r2"))
    await two.other.remove(ASSET.id)
    first, *vectors = await told(changes, is_vector) + await told(changes, is_vector)
    assert first == Change(ASSET.id, ASSET.sha256)
    assert {change.space for change in vectors} == {SPACE, Space("one", "r2")}
    assert all(change.vector is None for change in vectors)


async def test_an_erased_asset_that_comes_again_is_there_at_the_end(
    two: Two, changes: Changes
) -> None:
    await two.other.add(ASSET, an_embedding(ASSET))
    await two.other.remove(ASSET.id)
    await two.other.add(ASSET, an_embedding(ASSET, seed=3))
    await two.other.add(last := an_asset("last"), None)
    found = await told(changes, lambda change: change.asset_id == last.id)
    vector = [change for change in found if change.space == SPACE][-1].vector
    assert vector is not None
    np.testing.assert_array_equal(vector, a_vector(3))


async def test_what_several_do_is_told_in_its_order(two: Two, changes: Changes) -> None:
    seeds = range(30)
    for seed in seeds:
        asset = an_asset(seed)
        await two[seed % 2].add(asset, an_embedding(asset))
    last = an_asset(seeds[-1]).id
    found = await told(
        changes, lambda change: is_vector(change) and change.asset_id == last
    )
    expected = [an_asset(seed).id for seed in seeds]
    assert [change.asset_id for change in found if is_record(change)] == expected
    assert [change.asset_id for change in found if is_vector(change)] == expected


async def test_a_write_that_fails_tells_nothing(two: Two, changes: Changes) -> None:
    too_odd = an_asset(2, tags=("\ud800",))
    with pytest.raises(Exception, match="Unicode"):
        await two.other.add(too_odd, None)
    await two.other.add(ASSET, None)
    assert await told(changes, is_record) == [Change(ASSET.id)]


async def test_every_listener_is_told(two: Two, changes: Changes) -> None:
    async with aclosing(two.other.changes()) as others:
        await anext(others)
        await two.own.add(ASSET, None)
        assert await told(others, is_record) == await told(changes, is_record)
