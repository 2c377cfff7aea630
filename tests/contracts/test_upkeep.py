"""What every `Upkeep` takes out of a database, and what it leaves there."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest

from dinoserve.adapters.mongo import MongoDocuments
from dinoserve.adapters.sqlite import SqliteDocuments
from dinoserve.domain.assets import Asset
from dinoserve.domain.vectors import Embedding
from dinoserve.ports import Change, DocumentStore, Space
from mongo_server import fresh_documents
from records import a_vector, an_asset, an_embedding

Shared = SqliteDocuments | MongoDocuments
MONGO = pytest.param("mongo", marks=pytest.mark.needs("mongodb"))


@pytest.fixture(params=["sqlite", MONGO])
async def shared(
    request: pytest.FixtureRequest, tmp_path: Path
) -> AsyncIterator[Shared]:
    """A store that several processes may use."""
    if request.param == "mongo":
        async with fresh_documents() as documents:
            yield documents
        return
    async with SqliteDocuments.open(tmp_path / "documents.sqlite") as documents:
        yield documents


async def _until_vector(
    changes: AsyncGenerator[Change | None],
) -> AsyncGenerator[Change | None]:
    async for change in changes:
        yield change
        if change and change.space:
            return


async def stored(
    documents: DocumentStore, seed: object, *recipes: str, collection: str = "default"
) -> Asset:
    asset = an_asset(seed, collection=collection)
    await documents.add(asset, None)
    for recipe in recipes:
        await documents.put(an_embedding(asset, recipe))
    return asset


async def recipes_of(documents: DocumentStore, asset: Asset) -> list[str]:
    found = (await documents.get([asset.id]))[asset.id]
    return [ref.recipe for ref in found.embeddings]


async def test_a_dropped_vector_is_gone_from_record_and_store(
    documents: DocumentStore,
) -> None:
    asset = await stored(documents, 1, "old", "new")

    assert await documents.drop("old", "new", None) == [asset.id]

    assert await recipes_of(documents, asset) == ["new"]
    assert await documents.vectors([asset.id], "old") == {}
    assert await documents.counts() == {"new": 1}
    assert [batch async for batch in documents.scan("old")] == []


async def test_the_vector_that_stays_is_as_it_was(documents: DocumentStore) -> None:
    asset = an_asset(1)
    await documents.add(asset, Embedding(asset.id, "new", a_vector(7)))
    await documents.put(an_embedding(asset, "old"))

    await documents.drop("old", "new", None)

    found = await documents.vectors([asset.id], "new")
    assert found[asset.id].tobytes() == a_vector(7).tobytes()


async def test_an_asset_never_loses_its_last_vector(documents: DocumentStore) -> None:
    alone = await stored(documents, 1, "old")
    other = await stored(documents, 2, "old", "older")

    assert await documents.drop("old", "new", None) == []

    assert await recipes_of(documents, alone) == ["old"]
    assert await recipes_of(documents, other) == ["old", "older"]


async def test_other_collections_keep_their_vectors(documents: DocumentStore) -> None:
    inside = await stored(documents, 1, "old", "new", collection="a")
    outside = await stored(documents, 2, "old", "new", collection="b")

    assert await documents.drop("old", "new", "a") == [inside.id]

    assert await recipes_of(documents, outside) == ["new", "old"]


async def test_vectors_are_dropped_in_batches_until_none_is_left(
    documents: DocumentStore, batch: int
) -> None:
    count = batch + 3
    await asyncio.gather(
        *(stored(documents, seed, "old", "new") for seed in range(count))
    )

    dropped = [
        await documents.drop("old", "new", None),
        await documents.drop("old", "new", None),
        await documents.drop("old", "new", None),
    ]

    assert [len(some) for some in dropped] == [batch, 3, 0]
    assert len({asset for some in dropped for asset in some}) == count
    assert await documents.counts() == {"new": count}


async def test_those_that_keep_their_vectors_hide_no_others(
    documents: DocumentStore, batch: int
) -> None:
    await asyncio.gather(*(stored(documents, seed, "old") for seed in range(batch + 3)))
    replaced = await stored(documents, "replaced", "old", "new")

    assert await documents.drop("old", "new", None) == [replaced.id]
    assert await documents.drop("old", "new", None) == []
    assert await documents.counts() == {"old": batch + 3, "new": 1}


async def test_the_recipe_that_stays_is_never_dropped(documents: DocumentStore) -> None:
    asset = await stored(documents, 1, "new")

    with pytest.raises(ValueError, match="stays"):
        await documents.drop("new", "new", None)

    assert await recipes_of(documents, asset) == ["new"]


async def test_a_dropped_vector_can_be_stored_again(documents: DocumentStore) -> None:
    asset = await stored(documents, 1, "old", "new")
    await documents.drop("old", "new", None)

    await documents.put(an_embedding(asset, "old"))

    assert await recipes_of(documents, asset) == ["new", "old"]


async def test_an_asset_can_be_erased_after_a_drop(documents: DocumentStore) -> None:
    asset = await stored(documents, 1, "old", "new")
    await documents.drop("old", "new", None)

    erased = await documents.remove(asset.id)

    assert [ref.recipe for ref in erased.embeddings] == ["new"]
    assert await documents.counts() == {}


async def test_a_drop_is_told_as_a_change(shared: Shared) -> None:
    asset = await stored(shared, 1, "old", "new")
    async with aclosing(shared.changes()) as changes, asyncio.timeout(30):
        await anext(changes)
        await shared.drop("old", "new", None)
        told = [change async for change in _until_vector(changes)]

    assert told[-1] == Change(asset.id, space=Space("default", "old"))


async def test_shrinking_comes_to_an_end_and_loses_nothing(
    documents: DocumentStore,
) -> None:
    assets = [await stored(documents, seed, "old", "new") for seed in range(20)]
    before = await documents.size()
    while await documents.drop("old", "new", None):
        pass
    while await documents.shrink():
        pass

    after = await documents.size()
    assert (before is None) == (after is None)
    found = await documents.vectors([asset.id for asset in assets], "new")
    assert len(found) == 20
