"""What every `GarbageLog` remembers of bytes without asset, and who may erase them."""

import pytest

from dinoserve.errors import UnavailableError
from dinoserve.ports import DocumentStore
from records import an_asset, digest

SHA256 = digest("garbage")
HOUR_S = 3600


async def test_marked_bytes_without_asset_are_unreferenced(
    documents: DocumentStore,
) -> None:
    assert await documents.mark(SHA256) is True
    assert await documents.mark(SHA256) is True
    assert await documents.unreferenced() == [SHA256]


async def test_bytes_marked_while_an_asset_has_them_are_referenced(
    documents: DocumentStore,
) -> None:
    asset = an_asset(1)
    await documents.add(asset, None)
    await documents.mark(asset.sha256)
    assert await documents.unreferenced() == []


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


async def test_a_young_mark_is_not_for_who_asks_for_older_ones(
    documents: DocumentStore,
) -> None:
    await documents.mark(SHA256)
    assert await documents.unreferenced(HOUR_S) == []
    assert await documents.claim(SHA256, HOUR_S) is False


async def test_bytes_of_the_last_asset_removed_may_go_at_once(
    documents: DocumentStore,
) -> None:
    asset = an_asset(1)
    await documents.add(asset, None)
    await documents.remove(asset.id)
    assert await documents.unreferenced(HOUR_S) == [asset.sha256]
    assert await documents.claim(asset.sha256, HOUR_S) is True


async def test_a_removal_makes_the_mark_of_an_upload_no_older(
    documents: DocumentStore,
) -> None:
    asset = an_asset(1)
    await documents.add(asset, None)
    await documents.mark(asset.sha256)
    await documents.remove(asset.id)
    assert await documents.claim(asset.sha256, HOUR_S) is False
    assert await documents.unreferenced() == [asset.sha256]


async def test_an_upload_makes_the_mark_of_a_removal_young(
    documents: DocumentStore,
) -> None:
    asset = an_asset(1)
    await documents.add(asset, None)
    await documents.remove(asset.id)
    await documents.mark(asset.sha256)
    assert await documents.claim(asset.sha256, HOUR_S) is False


async def test_bytes_that_are_being_erased_cannot_be_marked(
    documents: DocumentStore,
) -> None:
    await documents.mark(SHA256)
    assert await documents.claim(SHA256, 0) is True
    assert await documents.mark(SHA256) is False


async def test_bytes_that_are_being_erased_get_no_asset(
    documents: DocumentStore,
) -> None:
    asset = an_asset(1)
    await documents.mark(asset.sha256)
    await documents.claim(asset.sha256, 0)
    with pytest.raises(UnavailableError):
        await documents.add(asset, None)
    assert await documents.get([asset.id]) == {}
    assert await documents.unreferenced() == [asset.sha256]


async def test_bytes_that_are_being_erased_are_not_claimed_by_another(
    documents: DocumentStore,
) -> None:
    asset = an_asset(1)
    await documents.add(asset, None)
    await documents.remove(asset.id)
    assert await documents.claim(asset.sha256, HOUR_S) is True
    assert await documents.claim(asset.sha256, HOUR_S) is False


async def test_whoever_is_alone_takes_over_a_claim_that_a_crash_left(
    documents: DocumentStore,
) -> None:
    await documents.mark(SHA256)
    assert await documents.claim(SHA256, 0) is True
    assert await documents.claim(SHA256, 0) is True


async def test_bytes_that_an_asset_has_cannot_be_claimed_and_lose_their_old_mark(
    documents: DocumentStore,
) -> None:
    asset = an_asset(1)
    await documents.add(asset, None)
    await documents.mark(asset.sha256)
    assert await documents.claim(asset.sha256, 0) is False
    await documents.remove(asset.id)
    assert await documents.claim(asset.sha256, HOUR_S) is True


async def test_bytes_without_a_mark_cannot_be_claimed(documents: DocumentStore) -> None:
    assert await documents.claim(SHA256, 0) is False


async def test_clear_takes_a_claimed_mark_off(documents: DocumentStore) -> None:
    await documents.mark(SHA256)
    await documents.claim(SHA256, 0)
    await documents.clear(SHA256)
    assert await documents.unreferenced() == []
    assert await documents.mark(SHA256) is True


async def test_clear_leaves_a_mark_that_is_not_claimed(
    documents: DocumentStore,
) -> None:
    await documents.mark(SHA256)
    await documents.clear(SHA256)
    assert await documents.unreferenced() == [SHA256]


async def test_clear_of_an_absent_mark_does_nothing(documents: DocumentStore) -> None:
    await documents.mark(SHA256)
    await documents.clear(digest("other"))
    assert await documents.unreferenced() == [SHA256]


async def test_condemned_bytes_may_go_at_once(documents: DocumentStore) -> None:
    await documents.condemn(SHA256)
    assert await documents.unreferenced(HOUR_S) == [SHA256]
    assert await documents.claim(SHA256, HOUR_S) is True


async def test_bytes_that_an_asset_has_cannot_be_condemned(
    documents: DocumentStore,
) -> None:
    asset = an_asset(1)
    await documents.add(asset, None)
    await documents.condemn(asset.sha256)
    await documents.remove(asset.id)
    assert await documents.claim(asset.sha256, HOUR_S) is True
    await documents.clear(asset.sha256)
    assert await documents.unreferenced() == []


async def test_condemning_makes_the_mark_of_an_upload_no_older(
    documents: DocumentStore,
) -> None:
    await documents.mark(SHA256)
    await documents.condemn(SHA256)
    assert await documents.claim(SHA256, HOUR_S) is False


async def test_an_upload_makes_the_mark_of_condemned_bytes_young(
    documents: DocumentStore,
) -> None:
    await documents.condemn(SHA256)
    await documents.mark(SHA256)
    assert await documents.claim(SHA256, HOUR_S) is False


async def test_condemning_leaves_the_claim_of_another(documents: DocumentStore) -> None:
    await documents.condemn(SHA256)
    await documents.claim(SHA256, HOUR_S)
    await documents.condemn(SHA256)
    assert await documents.claim(SHA256, HOUR_S) is False


async def test_of_no_digests_none_is_referenced(documents: DocumentStore) -> None:
    await documents.add(an_asset(1), None)
    assert await documents.referenced([]) == set()


async def test_bytes_of_two_assets_are_referenced_once_and_until_both_are_gone(
    documents: DocumentStore,
) -> None:
    one, two = an_asset(1, collection="one"), an_asset(1, collection="two")
    await documents.add(one, None)
    await documents.add(two, None)
    assert await documents.referenced([one.sha256]) == {one.sha256}
    await documents.remove(one.id)
    assert await documents.referenced({one.sha256}) == {one.sha256}
    await documents.remove(two.id)
    assert await documents.referenced([one.sha256]) == set()


async def test_a_mark_alone_references_nothing(documents: DocumentStore) -> None:
    await documents.mark(SHA256)
    assert await documents.referenced([SHA256]) == set()


async def test_the_referenced_among_thousands_are_found(
    documents: DocumentStore,
) -> None:
    kept = [an_asset(seed) for seed in range(0, 5000, 97)]
    for asset in kept:
        await documents.add(asset, None)
    found = await documents.referenced([digest(seed) for seed in range(5000)])
    assert found == {asset.sha256 for asset in kept}
