"""What every `DocumentStore` promises to callers that come at once."""

import asyncio
from dataclasses import replace

from dinoserve.domain.assets import Filter
from dinoserve.ports import DocumentStore
from records import an_asset, an_embedding


async def test_fifty_concurrent_adds_all_arrive(documents: DocumentStore) -> None:
    assets = [an_asset(seed) for seed in range(50)]
    answers = await asyncio.gather(
        *(documents.add(asset, an_embedding(asset)) for asset in assets)
    )
    assert answers == [True] * 50
    assert await documents.ids("default", Filter()) == {asset.id for asset in assets}


async def test_of_fifty_concurrent_adds_of_one_asset_one_is_new(
    documents: DocumentStore,
) -> None:
    asset = an_asset(1)
    answers = await asyncio.gather(*(documents.add(asset, None) for _ in range(50)))
    assert sum(answers) == 1


async def test_a_refused_write_hurts_no_other(documents: DocumentStore) -> None:
    assets = [an_asset(seed) for seed in range(20)]
    assets[7] = replace(assets[7], subject="\ud800")
    answers = await asyncio.gather(
        *(documents.add(asset, None) for asset in assets), return_exceptions=True
    )
    assert [answer is True for answer in answers] == [n != 7 for n in range(20)]
    assert len(await documents.ids("default", Filter())) == 19


async def test_bytes_of_two_collections_are_marked_only_when_both_are_gone(
    documents: DocumentStore,
) -> None:
    one, two = an_asset(1, collection="one"), an_asset(1, collection="two")
    for _ in range(20):
        await documents.add(one, None)
        await asyncio.gather(documents.remove(one.id), documents.add(two, None))
        assert await documents.unreferenced() == []
        await documents.remove(two.id)
        assert await documents.unreferenced() == [one.sha256]


async def test_the_store_tells_its_name(documents: DocumentStore) -> None:
    assert await documents.ping()
