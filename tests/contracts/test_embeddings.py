"""What every `EmbeddingStore` keeps: vectors and recipes."""

import asyncio

import numpy as np
import pytest

from dinoserve.domain.vectors import Embedding
from dinoserve.errors import AssetNotFoundError
from dinoserve.ports import DocumentStore, IndexEntry
from records import a_recipe, a_vector, an_asset, an_embedding


async def scanned(documents: DocumentStore, recipe: str) -> list[IndexEntry]:
    return [entry async for batch in documents.scan(recipe) for entry in batch]


async def test_vectors_come_back_bit_for_bit(documents: DocumentStore) -> None:
    asset = an_asset(1)
    vector = np.array([1e-45, -0.0, 0.1, 3.4e38], np.float32)
    await documents.add(asset, Embedding(asset.id, "r1", vector))
    found = (await documents.vectors([asset.id], "r1"))[asset.id]
    assert found.dtype == np.float32
    assert found.tobytes() == vector.tobytes()


async def test_vectors_handed_out_cannot_change_the_store(
    documents: DocumentStore,
) -> None:
    asset = an_asset(1)
    given = a_vector(1)
    expected = given.copy()
    await documents.add(asset, Embedding(asset.id, "r1", given))
    given[:] = 0
    found = (await documents.vectors([asset.id], "r1"))[asset.id]
    assert not found.flags.writeable
    np.testing.assert_array_equal(found, expected)


async def test_vectors_of_another_recipe_are_left_out(documents: DocumentStore) -> None:
    asset = an_asset(1)
    await documents.add(asset, an_embedding(asset, "r1"))
    assert await documents.vectors([asset.id, "f" * 32], "r2") == {}


async def test_an_embedding_is_replaced(documents: DocumentStore) -> None:
    asset = an_asset(1)
    await documents.add(asset, an_embedding(asset, seed=1))
    await documents.put(an_embedding(asset, seed=2))
    found = await documents.vectors([asset.id], "r1")
    np.testing.assert_array_equal(found[asset.id], a_vector(2))
    assert await documents.counts() == {"r1": 1}


async def test_counts_can_be_of_one_collection(documents: DocumentStore) -> None:
    inside, outside = an_asset(1, collection="a"), an_asset(2, collection="b")
    await documents.add(inside, an_embedding(inside, "r1"))
    await documents.add(outside, an_embedding(outside, "r2"))
    assert await documents.counts("a") == {"r1": 1}
    assert await documents.counts("c") == {}


async def test_counts_can_be_of_assets_that_lack_a_recipe(
    documents: DocumentStore,
) -> None:
    moved, left = an_asset(1), an_asset(2)
    await documents.add(moved, an_embedding(moved, "r1"))
    await documents.put(an_embedding(moved, "r2"))
    await documents.add(left, an_embedding(left, "r1"))
    assert await documents.counts(lacking="r2") == {"r1": 1}
    assert await documents.counts(lacking="r1") == {}


async def test_an_embedding_of_an_absent_asset_is_refused(
    documents: DocumentStore,
) -> None:
    with pytest.raises(AssetNotFoundError):
        await documents.put(an_embedding(an_asset(1)))
    assert await documents.counts() == {}


async def test_embeddings_are_counted_by_recipe(documents: DocumentStore) -> None:
    for seed in range(3):
        asset = an_asset(seed)
        await documents.add(asset, an_embedding(asset, "r1"))
    await documents.put(an_embedding(an_asset(0), "r2"))
    assert await documents.counts() == {"r1": 3, "r2": 1}


async def test_a_scan_yields_every_vector_of_the_recipe_in_bounded_batches(
    documents: DocumentStore, batch: int
) -> None:
    assets = [an_asset(seed, collection=f"c{seed % 3}") for seed in range(5 * batch)]
    embeddings = [
        an_embedding(asset, f"r{seed % 2}", seed) for seed, asset in enumerate(assets)
    ]
    pairs = zip(assets, embeddings, strict=True)
    await asyncio.gather(*(documents.add(*pair) for pair in pairs))
    batches = [entries async for entries in documents.scan("r1")]
    assert max(map(len, batches)) == batch
    found = {entry.asset_id: entry for entries in batches for entry in entries}
    assert set(found) == {asset.id for asset in assets[1::2]}
    assert found[assets[7].id].collection == "c1"
    np.testing.assert_array_equal(found[assets[7].id].vector, a_vector(7))


async def test_a_scan_of_an_unknown_recipe_yields_nothing(
    documents: DocumentStore,
) -> None:
    assert await scanned(documents, "none") == []


async def test_a_scan_yields_what_was_there_while_writes_go_on(
    documents: DocumentStore, batch: int
) -> None:
    assets = [an_asset(seed) for seed in range(3 * batch)]
    await asyncio.gather(
        *(documents.add(asset, an_embedding(asset)) for asset in assets)
    )
    found: set[str] = set()
    late = 0
    async for entries in documents.scan("r1"):
        found |= {entry.asset_id for entry in entries}
        new = an_asset(f"late {late}")
        await documents.add(new, an_embedding(new))
        await documents.put(an_embedding(assets[late], seed=9))
        late += 1
    assert found >= {asset.id for asset in assets}


async def test_recipes_come_back_as_first_kept(documents: DocumentStore) -> None:
    kept = [a_recipe(model) for model in ("zeta", "alpha", "mid")]
    for recipe in [*kept, kept[0]]:
        await documents.save_recipe(recipe)
    assert await documents.recipes() == kept


async def test_no_recipes_are_an_empty_list(documents: DocumentStore) -> None:
    assert await documents.recipes() == []
