"""What every `GarbageLog` remembers of bytes without asset."""

from dinoserve.ports import DocumentStore
from records import an_asset


async def test_marked_bytes_without_asset_are_unreferenced(
    documents: DocumentStore,
) -> None:
    await documents.mark("a" * 64)
    await documents.mark("a" * 64)
    assert await documents.unreferenced() == ["a" * 64]


async def test_bytes_marked_while_an_asset_has_them_are_referenced(
    documents: DocumentStore,
) -> None:
    asset = an_asset(1)
    await documents.add(asset, None)
    await documents.mark(asset.sha256)
    assert await documents.unreferenced() == []


async def test_clear_takes_a_mark_off(documents: DocumentStore) -> None:
    await documents.mark("a" * 64)
    await documents.clear("a" * 64)
    assert await documents.unreferenced() == []


async def test_clear_of_an_absent_mark_does_nothing(documents: DocumentStore) -> None:
    await documents.mark("a" * 64)
    await documents.clear("b" * 64)
    assert await documents.unreferenced() == ["a" * 64]


async def test_bytes_of_the_last_asset_removed_are_marked(
    documents: DocumentStore,
) -> None:
    asset = an_asset(1)
    await documents.add(asset, None)
    await documents.remove(asset.id)
    assert await documents.unreferenced() == [asset.sha256]


async def test_bytes_that_another_collection_has_are_not_marked(
    documents: DocumentStore,
) -> None:
    one, two = an_asset(1, collection="one"), an_asset(1, collection="two")
    await documents.add(one, None)
    await documents.add(two, None)
    await documents.remove(one.id)
    assert await documents.unreferenced() == []
    await documents.remove(two.id)
    assert await documents.unreferenced() == [one.sha256]
