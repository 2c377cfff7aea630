"""What every `AssetStore` takes for a match; compare `domain.assets.matches`."""

from datetime import timedelta

import pytest

from dinoserve.domain.assets import Filter, Range, matches
from dinoserve.errors import InvalidInputError
from dinoserve.ports import AssetChanges, DocumentStore
from records import NOON, ODD_TEXTS, an_asset


async def matching(documents: DocumentStore, where: Filter) -> bool:
    return bool(await documents.ids("default", where))


async def test_a_filter_asks_for_every_tag(documents: DocumentStore) -> None:
    await documents.add(an_asset(1, tags=("a", "b", "a")), None)
    assert await matching(documents, Filter(frozenset({"a", "b"})))
    assert not await matching(documents, Filter(frozenset({"a", "c"})))


async def test_a_filter_asks_for_tags_and_metadata(documents: DocumentStore) -> None:
    await documents.add(an_asset(1, tags=("a",), metadata={"n": 1}), None)
    assert await matching(documents, Filter(frozenset({"a"}), {"n": 1}))
    assert not await matching(documents, Filter(frozenset({"a"}), {"n": 2}))


async def test_an_empty_filter_matches_everything(documents: DocumentStore) -> None:
    await documents.add(an_asset(1), None)
    assert await matching(documents, Filter())


@pytest.mark.parametrize(
    ("stored", "wanted", "is_match"),
    [
        (1, 1.0, True),
        (1.5, 1.5, True),
        (0.1, 0.1, True),
        (5e-324, 5e-324, True),
        (0.30000000000000004, 0.3, False),
        (2**53 - 1, float(2**53 - 1), True),
        (True, 1, False),
        (1, True, False),
        (True, True, True),
        (False, 0, False),
        (False, None, False),
        (None, None, True),
        (None, "None", False),
        (0, None, False),
        ("1", 1, False),
        ("", None, False),
        ("True", True, False),
        ("é", "e\u0301", False),
        ("a", "A", False),
        ("a", "a\0", False),
        ("x" * 70, "x" * 70, True),
        ("x" * 70, "x" * 71, False),
        ([1], 1, False),
        ({"a": 1}, None, False),
        (1, 2**70, False),
        (1.0, float("nan"), False),
        (None, float("nan"), False),
        (1.0, float("inf"), False),
    ],
)
async def test_metadata_is_equal_as_in_json(
    documents: DocumentStore,
    stored: object,
    wanted: str | float | bool | None,  # noqa: FBT001 - a JSON value, no switch
    is_match: bool,  # noqa: FBT001 - a column of the table above
) -> None:
    await documents.add(an_asset(1, metadata={"key": stored}), None)
    assert await matching(documents, Filter(metadata={"key": wanted})) is is_match


async def test_a_null_is_not_an_absent_key(documents: DocumentStore) -> None:
    await documents.add(an_asset(1, metadata={"other": None}), None)
    assert not await matching(documents, Filter(metadata={"key": None}))


async def test_a_tag_is_no_metadata_of_that_name(documents: DocumentStore) -> None:
    await documents.add(an_asset(1, metadata={"tag": "a", "": "b"}), None)
    assert not await matching(documents, Filter(frozenset({"a"})))
    assert not await matching(documents, Filter(frozenset({"b"})))


@pytest.mark.parametrize("text", ODD_TEXTS)
async def test_odd_text_is_found_by_filters(
    documents: DocumentStore, text: str
) -> None:
    await documents.add(an_asset(1, tags=(text,), metadata={text: text}), None)
    assert await matching(documents, Filter(frozenset({text}), {text: text}))
    assert not await matching(documents, Filter(metadata={text + "x": text}))


async def test_a_filter_that_is_not_unicode_is_refused(
    documents: DocumentStore,
) -> None:
    with pytest.raises(InvalidInputError):
        await documents.ids("default", Filter(frozenset({"\ud800"})))


async def test_a_filter_may_have_a_thousand_conditions(
    documents: DocumentStore,
) -> None:
    tags = tuple(f"t{number}" for number in range(1200))
    await documents.add(an_asset(1, tags=tags), None)
    assert await matching(documents, Filter(frozenset(tags)))


async def test_ids_keep_to_their_collection(documents: DocumentStore) -> None:
    await documents.add(an_asset(1, collection="one"), None)
    two = an_asset(1, collection="two")
    await documents.add(two, None)
    assert await documents.ids("two", Filter()) == {two.id}


BIG = float(2**53 - 1)


@pytest.mark.parametrize(
    ("stored", "bounds", "is_match"),
    [
        (3, Range(gte=3), True),
        (3, Range(gt=3), False),
        (3, Range(lte=3.0), True),
        (3, Range(lt=3), False),
        (3.5, Range(gt=3, lt=4), True),
        (-3.5, Range(gt=-4, lt=-3), True),
        (-3.5, Range(gt=-3), False),
        (-3, Range(lt=0), True),
        (0.0, Range(gte=-0.0, lte=0), True),
        (-0.0, Range(gte=0), True),
        (5e-324, Range(gt=0), True),
        (0.1 + 0.2, Range(gt=0.3), True),
        (2**53 - 1, Range(gte=BIG), True),
        (2**53 - 2, Range(gte=BIG), False),
        (-(2**53) + 1, Range(lte=-BIG), True),
        (1e300, Range(gt=1e299), True),
        (3, Range(gte=4, lte=2), False),
        (True, Range(gte=0), False),
        (None, Range(lt=1), False),
        ("3", Range(gte=0), False),
        ("3", Range(lte=9), False),
        ([3], Range(gte=0), False),
    ],
)
async def test_a_range_takes_the_numbers_between_its_bounds(
    documents: DocumentStore,
    stored: object,
    bounds: Range,
    is_match: bool,  # noqa: FBT001 - a column of the table above
) -> None:
    await documents.add(an_asset(1, metadata={"key": stored}), None)
    assert await matching(documents, Filter(ranges={"key": bounds})) is is_match


async def test_a_range_of_one_key_looks_at_no_other(documents: DocumentStore) -> None:
    await documents.add(an_asset(1, metadata={"take": 3, "key\0": 7}), None)
    assert not await matching(documents, Filter(ranges={"key": Range(gte=0)}))
    assert await matching(documents, Filter(ranges={"key\0": Range(gte=0)}))


async def test_a_range_sees_a_number_that_was_changed(
    documents: DocumentStore,
) -> None:
    asset = an_asset(1, metadata={"take": 3})
    await documents.add(asset, None)
    await documents.update(asset.id, AssetChanges(metadata={"take": 5}))
    assert not await matching(documents, Filter(ranges={"take": Range(lt=4)}))
    assert await matching(documents, Filter(ranges={"take": Range(gt=4)}))


@pytest.mark.parametrize(
    ("where", "is_match"),
    [
        (Filter(media_types=frozenset({"image/jpeg", "image/png"})), True),
        (Filter(media_types=frozenset({"image/png"})), False),
        (Filter(width=Range(gte=640)), True),
        (Filter(width=Range(gt=640)), False),
        (Filter(height=Range(lt=480)), False),
        (Filter(height=Range(gte=100, lte=480)), True),
        (Filter(size_bytes=Range(lte=48_213)), True),
        (Filter(size_bytes=Range(lt=48_213)), False),
        (Filter(created_from=NOON), True),
        (Filter(created_from=NOON + timedelta(microseconds=1)), False),
        (Filter(created_until=NOON), False),
        (Filter(created_until=NOON + timedelta(microseconds=1)), True),
        (Filter(frozenset({"a"}), {"n": 1}, {"n": Range(lt=2)}), True),
        (Filter(frozenset({"a"}), {"n": 1}, {"n": Range(lt=1)}), False),
        (Filter(frozenset({"a"}), width=Range(lt=9)), False),
    ],
    ids=range(15),
)
async def test_a_filter_looks_at_the_record_too(
    documents: DocumentStore,
    where: Filter,
    is_match: bool,  # noqa: FBT001 - a column of the table above
) -> None:
    asset = an_asset(1, tags=("a",), metadata={"n": 1})
    await documents.add(asset, None)
    assert await matching(documents, where) is is_match
    assert matches(asset, where) is is_match
