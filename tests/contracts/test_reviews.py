"""How every `ReviewStore` keeps what was decided of pairs of assets."""

from datetime import timedelta

from dinoserve.domain.character_reviews import ReviewedPair
from dinoserve.domain.labelled_pairs import LabelledPair
from dinoserve.ports import DocumentStore
from records import NOON, an_asset


async def given(
    documents: DocumentStore, *seeds: int, collection: str = "film"
) -> list[str]:
    assets = [an_asset(seed, collection=collection) for seed in seeds]
    for asset in assets:
        await documents.add(asset, None)
    return sorted(asset.id for asset in assets)


def reviewed(
    left: str, right: str, *, same: bool = True, minute: int = 0
) -> ReviewedPair:
    return ReviewedPair(
        LabelledPair(left, right, same), NOON + timedelta(minutes=minute)
    )


async def test_pairs_come_back_as_they_were_stored_by_their_ids(
    documents: DocumentStore,
) -> None:
    one, two, three = await given(documents, 1, 2, 3)
    pairs = [
        reviewed(one, two, minute=2),
        reviewed(one, three, same=False),
        reviewed(two, three, same=False, minute=1),
    ]
    await documents.characters.reviews.put("film", pairs[::-1])
    assert await documents.characters.reviews.get("film") == pairs


async def test_a_later_decision_takes_the_place_of_the_first(
    documents: DocumentStore,
) -> None:
    one, two = await given(documents, 1, 2)
    later = reviewed(one, two, same=False, minute=9)
    await documents.characters.reviews.put("film", [reviewed(one, two)])
    await documents.characters.reviews.put("film", [later])
    assert await documents.characters.reviews.get("film") == [later]


async def test_pairs_of_what_is_absent_or_elsewhere_are_not_stored(
    documents: DocumentStore,
) -> None:
    one, two = await given(documents, 1, 2)
    [other] = await given(documents, 3, collection="other")
    pairs = [
        reviewed(one, "f" * 32),
        reviewed("0" * 32, one),
        reviewed(*sorted((one, other))),
    ]
    await documents.characters.reviews.put("film", pairs)
    await documents.characters.reviews.put("other", [reviewed(one, two)])
    await documents.characters.reviews.put("film", [])
    for collection in ("film", "other"):
        assert await documents.characters.reviews.get(collection) == []


async def test_an_erased_asset_takes_its_pairs_along(documents: DocumentStore) -> None:
    one, two, three = await given(documents, 1, 2, 3)
    left = reviewed(one, three)
    pairs = [reviewed(one, two), left, reviewed(two, three)]
    await documents.characters.reviews.put("film", pairs)
    await documents.remove(two)
    assert await documents.characters.reviews.get("film") == [left]


async def test_only_the_collection_meant_is_erased(documents: DocumentStore) -> None:
    one, two = await given(documents, 1, 2)
    three, four = await given(documents, 3, 4, collection="other")
    store = documents.characters.reviews
    await store.put("film", [reviewed(one, two)])
    await store.put("other", [reviewed(three, four)])
    assert await store.remove("film") == 1
    assert await store.remove("film") == 0
    assert await store.get("film") == []
    assert await store.get("other") == [reviewed(three, four)]
