"""What every `AssetStore` takes for a match; compare `domain.assets.matches`."""

import pytest

from dinoserve.domain.assets import Filter
from dinoserve.errors import InvalidInputError
from dinoserve.ports import DocumentStore
from records import an_asset

ODD_TEXTS = [
    "it's",
    '"quoted"',
    "'; DROP TABLE asset; --",
    "日本語",
    "🦕",
    "a\0b",
    "%_",
    "",
    "$.x[0]",
    "line\nbreak",
    "x" * 500,
]


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
