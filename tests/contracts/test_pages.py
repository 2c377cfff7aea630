"""How every `AssetStore` lists: order, pages and bounds."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from dinoserve.domain.assets import Filter
from dinoserve.domain.paging import AssetQuery
from dinoserve.ports import DocumentStore
from records import NOON, an_asset


async def paged(documents: DocumentStore, query: AssetQuery) -> list[str]:
    found: list[str] = []
    while True:
        page = await documents.find(query)
        assert len(page.assets) <= query.limit
        found += [asset.id for asset in page.assets]
        if page.next is None:
            return found
        query = replace(query, after=page.next)


async def test_a_list_is_newest_first(documents: DocumentStore) -> None:
    assets = [
        an_asset(seed, created_at=NOON + timedelta(microseconds=seed))
        for seed in (2, 1, 3)
    ]
    for asset in assets:
        await documents.add(asset, None)
    found = (await documents.find(AssetQuery())).assets
    assert [asset.id for asset in found] == [
        an_asset(3).id,
        an_asset(2).id,
        an_asset(1).id,
    ]


async def test_assets_of_one_moment_are_listed_by_descending_id(
    documents: DocumentStore,
) -> None:
    assets = [an_asset(seed) for seed in range(5)]
    for asset in assets:
        await documents.add(asset, None)
    found = [asset.id for asset in (await documents.find(AssetQuery())).assets]
    assert found == sorted((asset.id for asset in assets), reverse=True)


@pytest.mark.parametrize("limit", [1, 3, 7, 10])
async def test_pages_show_every_asset_once_even_of_one_moment(
    documents: DocumentStore, limit: int
) -> None:
    assets = [
        an_asset(seed, created_at=NOON + timedelta(seconds=seed // 4))
        for seed in range(7)
    ]
    for asset in assets:
        await documents.add(asset, None)
    expected = sorted(assets, key=lambda a: (a.created_at, a.id), reverse=True)
    found = await paged(documents, AssetQuery(limit=limit))
    assert found == [asset.id for asset in expected]


async def test_a_page_that_holds_the_rest_is_the_last(documents: DocumentStore) -> None:
    await documents.add(an_asset(1), None)
    assert (await documents.find(AssetQuery(limit=1))).next is None


async def test_a_page_continues_though_its_last_asset_is_gone(
    documents: DocumentStore,
) -> None:
    for seed in range(4):
        await documents.add(an_asset(seed), None)
    first = await documents.find(AssetQuery(limit=2))
    await documents.remove(first.assets[-1].id)
    rest = await documents.find(AssetQuery(limit=2, after=first.next))
    assert len(rest.assets) == 2


async def test_a_list_keeps_to_its_collection(documents: DocumentStore) -> None:
    await documents.add(an_asset(1, collection="one"), None)
    await documents.add(an_asset(1, collection="two"), None)
    found = await documents.find(AssetQuery(collection="two"))
    assert [asset.collection for asset in found.assets] == ["two"]


async def test_a_list_without_collection_shows_all(documents: DocumentStore) -> None:
    await documents.add(an_asset(1, collection="one"), None)
    await documents.add(an_asset(1, collection="two"), None)
    assert len((await documents.find(AssetQuery())).assets) == 2


async def test_the_lower_time_bound_is_inclusive(documents: DocumentStore) -> None:
    await documents.add(an_asset(1, created_at=NOON), None)
    later = NOON + timedelta(microseconds=1)
    assert (await documents.find(AssetQuery(created_from=NOON))).assets
    assert not (await documents.find(AssetQuery(created_from=later))).assets


async def test_the_upper_time_bound_is_exclusive(documents: DocumentStore) -> None:
    await documents.add(an_asset(1, created_at=NOON), None)
    later = NOON + timedelta(microseconds=1)
    assert (await documents.find(AssetQuery(created_until=later))).assets
    assert not (await documents.find(AssetQuery(created_until=NOON))).assets


async def test_the_first_and_last_moments_are_bounds_too(
    documents: DocumentStore,
) -> None:
    await documents.add(an_asset(1), None)
    query = AssetQuery(
        created_from=datetime.min.replace(tzinfo=UTC),
        created_until=datetime.max.replace(tzinfo=UTC),
    )
    assert len((await documents.find(query)).assets) == 1


async def test_a_filtered_list_pages_as_well(documents: DocumentStore) -> None:
    for seed in range(6):
        tags = ("even",) if seed % 2 == 0 else ("odd",)
        await documents.add(an_asset(seed, tags=tags), None)
    query = AssetQuery(where=Filter(tags=frozenset({"even"})), limit=2)
    found = await paged(documents, query)
    assert set(found) == {an_asset(seed).id for seed in (0, 2, 4)}
