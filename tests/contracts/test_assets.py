"""What every `AssetStore` does when assets come, change and go."""

import asyncio
from dataclasses import replace
from datetime import timedelta, timezone

import pytest

from dinoserve.domain.assets import EmbeddingRef, Filter
from dinoserve.domain.paging import AssetQuery
from dinoserve.domain.vectors import Embedding
from dinoserve.errors import AssetNotFoundError, InvalidInputError
from dinoserve.ports import AssetChanges, DocumentStore
from records import NOON, ODD_TEXTS, a_vector, an_asset, an_embedding


async def test_a_new_asset_is_told_to_be_new(documents: DocumentStore) -> None:
    assert await documents.add(an_asset(1), None) is True


async def test_an_asset_comes_back_as_it_was_given(documents: DocumentStore) -> None:
    asset = an_asset(
        1,
        tags=("hero", "b", "a"),
        metadata={"scene": "12", "nested": {"list": [1, 2.5, None, True]}},
        subject="Ann",
        filename=None,
    )
    await documents.add(asset, None)
    assert await documents.get([asset.id]) == {asset.id: asset}


async def test_absent_assets_are_left_out(documents: DocumentStore) -> None:
    asset = an_asset(1)
    await documents.add(asset, None)
    assert set(await documents.get(["f" * 32, asset.id])) == {asset.id}


async def test_no_ids_give_no_assets(documents: DocumentStore) -> None:
    assert await documents.get([]) == {}


async def test_an_asset_added_twice_is_not_new(documents: DocumentStore) -> None:
    await documents.add(an_asset(1), None)
    assert await documents.add(an_asset(1), None) is False


async def test_an_asset_added_twice_keeps_its_record(documents: DocumentStore) -> None:
    first = an_asset(1, tags=("first",), filename="first.jpg")
    await documents.add(first, None)
    await documents.add(replace(first, tags=("second",), filename="b.jpg"), None)
    assert (await documents.get([first.id]))[first.id] == first


async def test_an_asset_added_twice_still_gets_its_embedding(
    documents: DocumentStore,
) -> None:
    asset = an_asset(1)
    await documents.add(asset, None)
    await documents.add(asset, an_embedding(asset))
    assert list(await documents.vectors([asset.id], "r1")) == [asset.id]


async def test_an_asset_tells_its_embeddings(documents: DocumentStore) -> None:
    asset = an_asset(1)
    await documents.add(asset, Embedding(asset.id, "r1", a_vector(1, 8)))
    await documents.put(Embedding(asset.id, "r2", a_vector(2, 16)))
    found = (await documents.get([asset.id]))[asset.id]
    assert set(found.embeddings) == {EmbeddingRef("r1", 8), EmbeddingRef("r2", 16)}


async def test_embeddings_claimed_by_an_asset_are_ignored(
    documents: DocumentStore,
) -> None:
    asset = an_asset(1)
    await documents.add(replace(asset, embeddings=(EmbeddingRef("r9", 3),)), None)
    assert (await documents.get([asset.id]))[asset.id].embeddings == ()


async def test_thousands_of_assets_are_read_at_once(documents: DocumentStore) -> None:
    assets = [an_asset(seed) for seed in range(2100)]
    there = {asset.id: asset for asset in assets[::70]}
    await asyncio.gather(*(documents.add(asset, None) for asset in there.values()))
    ids = [asset.id for asset in assets]
    assert await documents.get(ids + ids) == there


async def test_a_time_in_another_zone_is_the_same_time(
    documents: DocumentStore,
) -> None:
    tokyo = NOON.astimezone(timezone(timedelta(hours=9)))
    asset = an_asset(1, created_at=tokyo)
    await documents.add(asset, None)
    assert (await documents.get([asset.id]))[asset.id].created_at == NOON


@pytest.mark.parametrize("text", ODD_TEXTS)
async def test_odd_text_comes_back_unchanged(
    documents: DocumentStore, text: str
) -> None:
    asset = an_asset(
        1, tags=(text,), metadata={text: text}, subject=text, filename=text
    )
    await documents.add(asset, None)
    assert (await documents.get([asset.id]))[asset.id] == asset


@pytest.mark.parametrize("field", ["tags", "metadata", "subject", "filename"])
async def test_text_that_is_not_unicode_is_refused(
    documents: DocumentStore, field: str
) -> None:
    bad = "\ud800"
    values = {"tags": (bad,), "metadata": {bad: 1}, "subject": bad, "filename": bad}
    asset = replace(an_asset(1), **{field: values[field]})
    with pytest.raises(InvalidInputError):
        await documents.add(asset, None)
    assert await documents.get([asset.id]) == {}


async def test_changing_what_was_given_changes_nothing_stored(
    documents: DocumentStore,
) -> None:
    metadata: dict[str, object] = {"list": [1]}
    asset = an_asset(1, metadata=metadata)
    await documents.add(asset, None)
    metadata["list"] = "changed"
    assert (await documents.get([asset.id]))[asset.id].metadata == {"list": [1]}


async def test_an_update_changes_only_what_it_names(documents: DocumentStore) -> None:
    asset = an_asset(1, tags=("a",), metadata={"n": 1}, subject="Ann")
    await documents.add(asset, None)
    changed = await documents.update(asset.id, AssetChanges(tags=("b",)))
    assert changed == replace(asset, tags=("b",))


async def test_an_update_of_nothing_changes_nothing(documents: DocumentStore) -> None:
    asset = an_asset(1, tags=("a",), metadata={"n": 1}, subject="Ann")
    await documents.add(asset, None)
    assert await documents.update(asset.id, AssetChanges()) == asset


async def test_an_update_stays(documents: DocumentStore) -> None:
    asset = an_asset(1, metadata={"n": 1})
    await documents.add(asset, None)
    changed = await documents.update(asset.id, AssetChanges(metadata={"m": [2]}))
    assert (await documents.get([asset.id]))[asset.id] == changed


async def test_tags_and_metadata_can_become_empty(documents: DocumentStore) -> None:
    asset = an_asset(1, tags=("a",), metadata={"n": 1})
    await documents.add(asset, None)
    changed = await documents.update(asset.id, AssetChanges(tags=(), metadata={}))
    assert (changed.tags, changed.metadata) == ((), {})


async def test_a_subject_can_be_set_and_cleared(documents: DocumentStore) -> None:
    asset = an_asset(1)
    await documents.add(asset, None)
    changed = await documents.update(asset.id, AssetChanges(subject="Ann"))
    cleared = await documents.update(asset.id, AssetChanges(clear_subject=True))
    assert (changed.subject, cleared.subject) == ("Ann", None)


async def test_filters_see_an_update(documents: DocumentStore) -> None:
    asset = an_asset(1, tags=("old",), metadata={"n": 1})
    await documents.add(asset, None)
    await documents.update(asset.id, AssetChanges(tags=("new",), metadata={"n": 2}))
    assert await documents.ids("default", Filter(frozenset({"new"}), {"n": 2}))
    assert not await documents.ids("default", Filter(frozenset({"old"})))
    assert not await documents.ids("default", Filter(metadata={"n": 1}))


async def test_an_update_keeps_the_embeddings(documents: DocumentStore) -> None:
    asset = an_asset(1)
    await documents.add(asset, an_embedding(asset))
    changed = await documents.update(asset.id, AssetChanges(tags=("b",)))
    assert changed.embeddings == (EmbeddingRef("r1", 8),)


async def test_an_absent_asset_cannot_be_updated(documents: DocumentStore) -> None:
    with pytest.raises(AssetNotFoundError):
        await documents.update("f" * 32, AssetChanges())


async def test_a_refused_update_changes_nothing(documents: DocumentStore) -> None:
    asset = an_asset(1, tags=("a",))
    await documents.add(asset, None)
    with pytest.raises(InvalidInputError):
        await documents.update(asset.id, AssetChanges(tags=("b", "\ud800")))
    assert (await documents.get([asset.id]))[asset.id] == asset
    assert await documents.ids("default", Filter(frozenset({"a"})))


async def test_remove_returns_what_was_erased(documents: DocumentStore) -> None:
    asset = an_asset(1, tags=("a",), metadata={"n": 1})
    await documents.add(asset, an_embedding(asset))
    removed = await documents.remove(asset.id)
    assert removed == replace(asset, embeddings=(EmbeddingRef("r1", 8),))


async def test_a_removed_asset_is_nowhere(documents: DocumentStore) -> None:
    asset = an_asset(1, tags=("a",))
    await documents.add(asset, an_embedding(asset))
    await documents.remove(asset.id)
    assert await documents.get([asset.id]) == {}
    assert (await documents.find(AssetQuery())).assets == []
    assert await documents.ids("default", Filter()) == set()
    assert await documents.ids("default", Filter(frozenset({"a"}))) == set()


async def test_a_removed_asset_takes_its_embeddings_along(
    documents: DocumentStore,
) -> None:
    asset = an_asset(1)
    await documents.add(asset, an_embedding(asset, "r1"))
    await documents.put(an_embedding(asset, "r2"))
    await documents.remove(asset.id)
    assert await documents.counts() == {}
    assert await documents.vectors([asset.id], "r2") == {}
    assert [batch async for batch in documents.scan("r1")] == []


async def test_a_removed_asset_can_come_again_and_brings_nothing_old(
    documents: DocumentStore,
) -> None:
    old = an_asset(1, tags=("old",))
    await documents.add(old, an_embedding(old))
    await documents.remove(old.id)
    new = an_asset(1, tags=("new",))
    assert await documents.add(new, None) is True
    assert (await documents.get([new.id]))[new.id] == new
    assert not await documents.ids("default", Filter(frozenset({"old"})))


async def test_an_absent_asset_cannot_be_removed(documents: DocumentStore) -> None:
    with pytest.raises(AssetNotFoundError):
        await documents.remove("f" * 32)


async def test_of_many_removes_of_one_asset_one_succeeds(
    documents: DocumentStore,
) -> None:
    asset = an_asset(1)
    await documents.add(asset, None)
    answers = await asyncio.gather(
        *(documents.remove(asset.id) for _ in range(10)), return_exceptions=True
    )
    assert sum(isinstance(answer, AssetNotFoundError) for answer in answers) == 9
