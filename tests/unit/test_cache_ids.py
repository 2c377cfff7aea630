"""What a filter leaves is remembered until a record changes."""

from collections.abc import Set as AbstractSet

import pytest

from dinoserve.adapters.memory import MemoryDocuments
from dinoserve.adapters.memory_cache import MemoryCache
from dinoserve.domain.assets import Filter
from dinoserve.ports import AssetChanges
from dinoserve.services.cached_documents import CachedDocuments
from dinoserve.services.cached_ids import CachedIds
from dinoserve.services.caching import CachePolicy, TwoLevels
from dinoserve.telemetry import Metrics
from records import an_asset

HERO = Filter(tags=frozenset({"hero"}))


class Counted(MemoryDocuments):
    """Counts how often it was asked for ids."""

    asked = 0

    async def ids(self, collection: str, where: Filter) -> set[str]:
        self.asked += 1
        return await super().ids(collection, where)


@pytest.fixture
def store() -> Counted:
    return Counted()


def cached(store: Counted, room: int = 1_000_000) -> CachedDocuments:
    local = MemoryCache(room, Metrics())
    levels = TwoLevels(local, None, CachePolicy(), Metrics())
    return CachedDocuments(store, levels, sets=CachedIds(local, 60))


async def hero(documents: CachedDocuments) -> AbstractSet[str]:
    return await documents.ids("default", HERO)


async def test_the_store_is_asked_once_for_the_same_set(store: Counted) -> None:
    documents = cached(store)
    await documents.add(an_asset(1, tags=("hero",)), None)
    first = await hero(documents)
    assert first == {an_asset(1).id}
    assert await hero(documents) is first
    assert store.asked == 1


async def test_an_asset_that_comes_is_in_the_next_set(store: Counted) -> None:
    documents = cached(store)
    assert await hero(documents) == set()
    await documents.add(an_asset(1, tags=("hero",)), None)
    assert await hero(documents) == {an_asset(1).id}


async def test_a_tag_that_goes_takes_the_asset_out_of_the_next_set(
    store: Counted,
) -> None:
    documents = cached(store)
    await documents.add(an_asset(1, tags=("hero",)), None)
    await hero(documents)
    await documents.update(an_asset(1).id, AssetChanges(tags=()))
    assert await hero(documents) == set()


async def test_an_erased_asset_is_not_in_the_next_set(store: Counted) -> None:
    documents = cached(store)
    await documents.add(an_asset(1, tags=("hero",)), None)
    await hero(documents)
    await documents.remove(an_asset(1).id)
    assert await hero(documents) == set()


async def test_a_change_while_the_store_answers_is_not_missed(store: Counted) -> None:
    documents = cached(store)
    sets = documents.sets
    assert sets is not None

    async def late() -> AbstractSet[str]:
        found = await store.ids("default", HERO)
        await documents.add(an_asset(1, tags=("hero",)), None)
        return found

    assert await sets.read(f"default/{HERO!r}", late) == set()
    assert await hero(documents) == {an_asset(1).id}


async def test_other_filters_and_collections_have_sets_of_their_own(
    store: Counted,
) -> None:
    documents = cached(store)
    await documents.add(an_asset(1, tags=("hero",)), None)
    await hero(documents)
    other = Filter(tags=frozenset({"villain"}))
    assert await documents.ids("default", other) == set()
    assert await documents.ids("elsewhere", HERO) == set()


async def test_a_cache_without_room_asks_the_store_every_time(store: Counted) -> None:
    documents = cached(store, room=0)
    await hero(documents)
    await hero(documents)
    assert store.asked == 2
