"""What every `TraitStore` keeps: what was measured of assets."""

import asyncio

import pytest

from dinoserve.domain.assets import Asset
from dinoserve.errors import InvalidInputError
from dinoserve.ports import DocumentStore, Trait
from records import an_asset


async def added(documents: DocumentStore, *assets: Asset) -> None:
    for asset in assets:
        await documents.add(asset, None)


async def scanned(
    documents: DocumentStore, collection: str, method: str
) -> list[Trait]:
    batches = documents.traits.scan(collection, method)
    return [trait async for batch in batches for trait in batch]


async def test_values_come_back_as_json_carries_them(documents: DocumentStore) -> None:
    asset = an_asset(1)
    values = {"a": 0.1, "b": [1, None, True], "c.d": {"$e": "ä\0"}, "": 2**60}
    await added(documents, asset)
    await documents.traits.put([Trait(asset.id, "m-1", values)])
    assert await documents.traits.get([asset.id], "m-1") == {asset.id: values}


async def test_traits_of_another_method_or_asset_are_left_out(
    documents: DocumentStore,
) -> None:
    asset = an_asset(1)
    await added(documents, asset, an_asset(2))
    await documents.traits.put([Trait(asset.id, "m-1", {"a": 1})])
    ids = [asset.id, an_asset(2).id, "f" * 32]
    assert await documents.traits.get(ids, "m-2") == {}
    assert set(await documents.traits.get(ids, "m-1")) == {asset.id}


async def test_a_trait_replaces_the_one_of_its_asset_and_method(
    documents: DocumentStore,
) -> None:
    asset = an_asset(1)
    await added(documents, asset)
    await documents.traits.put([Trait(asset.id, "m-1", {"a": 1})])
    await documents.traits.put([Trait(asset.id, "m-1", {"b": 2})])
    assert await scanned(documents, "default", "m-1") == [
        Trait(asset.id, "m-1", {"b": 2})
    ]


async def test_what_is_put_together_of_absent_assets_is_not_stored(
    documents: DocumentStore,
) -> None:
    there, absent = an_asset(1), an_asset(2)
    await added(documents, there)
    await documents.traits.put(
        [Trait(one.id, "m-1", {"a": 1}) for one in (absent, there)]
    )
    await added(documents, absent)
    ids = [there.id, absent.id]
    assert set(await documents.traits.get(ids, "m-1")) == {there.id}


async def test_nothing_to_put_is_fine(documents: DocumentStore) -> None:
    await documents.traits.put([])
    assert await scanned(documents, "default", "m-1") == []


async def test_no_ids_have_no_traits(documents: DocumentStore) -> None:
    assert await documents.traits.get([], "m-1") == {}


async def test_traits_go_with_their_asset(documents: DocumentStore) -> None:
    erased, other = an_asset(1), an_asset(2)
    await added(documents, erased, other)
    for method in ("m-1", "m-2"):
        await documents.traits.put(
            [Trait(one.id, method, {"a": 1}) for one in (erased, other)]
        )
    await documents.remove(erased.id)
    await added(documents, erased)
    for method in ("m-1", "m-2"):
        assert await documents.traits.get([erased.id], method) == {}
        found = await scanned(documents, "default", method)
        assert [trait.asset_id for trait in found] == [other.id]


async def test_no_trait_outlives_an_asset_that_goes_while_it_is_put(
    documents: DocumentStore,
) -> None:
    assets = [an_asset(seed) for seed in range(30)]
    await added(documents, *assets)
    await asyncio.gather(
        *(documents.traits.put([Trait(one.id, "m-1", {"a": 1})]) for one in assets),
        *(documents.remove(one.id) for one in assets),
    )
    await added(documents, *assets)
    assert await scanned(documents, "default", "m-1") == []


async def test_a_scan_is_of_one_collection_by_asset_id_in_bounded_batches(
    documents: DocumentStore,
) -> None:
    inside = [an_asset(seed, collection="in") for seed in range(300)]
    outside = an_asset(0, collection="out")
    await asyncio.gather(*(documents.add(one, None) for one in [*inside, outside]))
    await documents.traits.put(
        [Trait(one.id, "m-1", {"a": one.sha256}) for one in [*inside, outside]]
    )
    batches = [batch async for batch in documents.traits.scan("in", "m-1")]
    assert max(len(batch) for batch in batches) <= 128
    found = [trait for batch in batches for trait in batch]
    assert [trait.asset_id for trait in found] == sorted(one.id for one in inside)


async def test_large_values_are_kept(documents: DocumentStore) -> None:
    asset = an_asset(1)
    values = {"text": "ü" * 32_000}
    await added(documents, asset)
    await documents.traits.put([Trait(asset.id, "m-1", values)])
    assert (await documents.traits.get([asset.id], "m-1"))[asset.id] == values


async def test_text_that_is_not_unicode_is_refused_and_nothing_is_stored(
    documents: DocumentStore,
) -> None:
    good, bad = an_asset(1), an_asset(2)
    await added(documents, good, bad)
    traits = [Trait(good.id, "m-1", {"a": 1}), Trait(bad.id, "m-1", {"a": "\ud800"})]
    with pytest.raises(InvalidInputError):
        await documents.traits.put(traits)
    assert await scanned(documents, "default", "m-1") == []


async def test_a_trait_changes_nothing_of_the_record(documents: DocumentStore) -> None:
    asset = an_asset(1, tags=("a",))
    await added(documents, asset)
    await documents.traits.put([Trait(asset.id, "m-1", {"a": 1})])
    assert (await documents.get([asset.id]))[asset.id] == asset


async def test_every_trait_of_an_asset_comes_by_method(
    documents: DocumentStore,
) -> None:
    asset, other = an_asset(1), an_asset(2)
    await added(documents, asset, other)
    traits = [Trait(asset.id, method, {"m": method}) for method in ("b-2", "a", "b-1")]
    await documents.traits.put([*traits, Trait(other.id, "c", {})])
    assert await documents.traits.of(asset.id) == sorted(traits)
    assert await documents.traits.of("f" * 32) == []
