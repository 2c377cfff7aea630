"""How every `CharacterStore` keeps characters, and what erasing an asset leaves."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from dinoserve.domain.characters import Character, Check, Reference, Region
from dinoserve.domain.geometry import Box
from dinoserve.errors import AssetNotFoundError, InvalidInputError
from dinoserve.ports import CharacterQuery, CheckQuery, DocumentStore
from records import NOON, an_asset, digest


def a_character(
    seed: int, *assets: str, collection: str = "default", minutes: int = 0
) -> Character:
    return Character(
        id=digest(seed)[:32],
        collection=collection,
        name=f"Ava {seed}",
        references=tuple(Reference(each) for each in assets),
        created_at=NOON + timedelta(minutes=minutes),
        attributes={"age": 7, "coat": {"colour": "grün"}},
    )


def a_check(
    character: Character,
    asset: str,
    reference: str,
    *,
    recipe: str = "r1",
    minute: int = 0,
) -> Check:
    findings = {"likeness": {"foreground": 0.25}, "drifted": [[1.5, 2, 3, 4]]}
    moment = NOON + timedelta(minutes=minute)
    return Check(character.id, asset, recipe, reference, moment, findings)


def storing(character: Character) -> Callable[[Character | None], Character]:
    return lambda _: character


async def given(documents: DocumentStore, *seeds: int) -> list[str]:
    assets = [an_asset(seed) for seed in seeds]
    for asset in assets:
        await documents.add(asset, None)
    return [asset.id for asset in assets]


async def kept(documents: DocumentStore, character: Character) -> Character:
    return await documents.characters.edit(character.id, storing(character))


async def checks_of(
    documents: DocumentStore, character: Character, recipe: str = "r1"
) -> list[Check]:
    return (await documents.characters.checks(CheckQuery(character.id, recipe))).checks


async def test_a_character_comes_back_as_it_was_stored(
    documents: DocumentStore,
) -> None:
    one, two, three = await given(documents, 1, 2, 3)
    references = (
        Reference(two, Region(box=Box(0.5, 1, 20, 30.25))),
        Reference(one, Region(mask=b"\x89PNG\0\xff")),
        Reference(three),
    )
    character = replace(a_character(1), references=references)
    assert await kept(documents, character) == character
    assert await documents.characters.get(character.id) == character


async def test_an_absent_character_is_none(documents: DocumentStore) -> None:
    assert await documents.characters.get("f" * 32) is None


async def test_an_edit_is_given_what_is_stored(documents: DocumentStore) -> None:
    [one] = await given(documents, 1)
    character = await kept(documents, a_character(1, one))
    seen: list[Character | None] = []

    def renamed(found: Character | None) -> Character:
        seen.append(found)
        return replace(character, name="Eva", references=())

    await documents.characters.edit(character.id, renamed)
    assert seen == [character]
    found = await documents.characters.get(character.id)
    assert found == replace(character, name="Eva", references=())


async def test_what_an_edit_raises_passes_and_stores_nothing(
    documents: DocumentStore,
) -> None:
    def refusing(_: Character | None) -> Character:
        raise InvalidInputError("no")

    with pytest.raises(InvalidInputError, match="no"):
        await documents.characters.edit("f" * 32, refusing)
    assert await documents.characters.get("f" * 32) is None


async def test_a_reference_that_is_no_asset_is_refused_and_nothing_stored(
    documents: DocumentStore,
) -> None:
    character = a_character(1, "f" * 32)
    with pytest.raises(AssetNotFoundError, match="f" * 32):
        await kept(documents, character)
    assert await documents.characters.get(character.id) is None


async def test_a_name_that_is_no_unicode_is_refused(documents: DocumentStore) -> None:
    with pytest.raises(InvalidInputError):
        await kept(documents, replace(a_character(1), name="\ud800"))


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 6])
async def test_pages_show_every_character_once_newest_first(
    documents: DocumentStore, limit: int
) -> None:
    stored = [a_character(seed, minutes=seed // 2) for seed in range(5)]
    for character in stored:
        await kept(documents, character)
    found: list[Character] = []
    query = CharacterQuery(limit=limit)
    while True:
        page = await documents.characters.find(query)
        assert len(page.characters) <= limit
        found += page.characters
        if page.next is None:
            break
        query = replace(query, after=page.next)
    assert found == sorted(stored, key=lambda one: (one.created_at, one.id))[::-1]


async def test_a_page_of_a_collection_shows_no_other(documents: DocumentStore) -> None:
    own = await kept(documents, a_character(1, collection="film"))
    await kept(documents, a_character(2))
    page = await documents.characters.find(CharacterQuery("film"))
    assert page == ([own], None)


async def test_an_erased_character_is_gone_with_its_checks(
    documents: DocumentStore,
) -> None:
    one, two = await given(documents, 1, 2)
    character = await kept(documents, a_character(1, one))
    await documents.characters.keep([a_check(character, two, one)])
    assert await documents.characters.remove(character.id)
    assert not await documents.characters.remove(character.id)
    assert await documents.characters.get(character.id) is None
    assert await checks_of(documents, character) == []


async def test_an_erased_asset_leaves_the_references(documents: DocumentStore) -> None:
    one, two = await given(documents, 1, 2)
    character = await kept(documents, a_character(1, one, two))
    other = await kept(documents, a_character(2, two))
    await documents.remove(one)
    left = replace(character, references=(Reference(two),))
    assert await documents.characters.get(character.id) == left
    assert await documents.characters.get(other.id) == other


async def test_an_erased_asset_takes_along_the_checks_it_is_part_of(
    documents: DocumentStore,
) -> None:
    one, two, three = await given(documents, 1, 2, 3)
    character = await kept(documents, a_character(1, one, two))
    left = a_check(character, three, two)
    gone = [a_check(character, one, two), a_check(character, two, one)]
    await documents.characters.keep([left, *gone])
    await documents.remove(one)
    assert await checks_of(documents, character) == [left]


async def test_a_check_of_the_same_three_takes_the_place_of_the_first(
    documents: DocumentStore,
) -> None:
    one, two = await given(documents, 1, 2)
    character = await kept(documents, a_character(1, one))
    newer = a_check(character, two, one, minute=5)._replace(findings={"is": "newer"})
    other = a_check(character, two, one, recipe="r2")
    await documents.characters.keep([a_check(character, two, one), other])
    await documents.characters.keep([newer])
    assert await checks_of(documents, character) == [newer]
    assert await checks_of(documents, character, "r2") == [other]


async def test_a_check_of_something_absent_is_not_stored(
    documents: DocumentStore,
) -> None:
    one, two = await given(documents, 1, 2)
    character = await kept(documents, a_character(1, one))
    absent = a_character(2)
    await documents.characters.keep(
        [
            a_check(character, "e" * 32, one),
            a_check(character, two, "e" * 32),
            a_check(absent, two, one),
        ]
    )
    assert await checks_of(documents, character) == []
    await kept(documents, absent)
    assert await checks_of(documents, absent) == []


async def test_no_checks_are_stored_of_none(documents: DocumentStore) -> None:
    character = await kept(documents, a_character(1))
    await documents.characters.keep([])
    assert await checks_of(documents, character) == []


@pytest.mark.parametrize("limit", [1, 2, 4, 5])
async def test_pages_show_every_check_once_newest_first(
    documents: DocumentStore, limit: int
) -> None:
    own, *others = await given(documents, *range(5))
    character = await kept(documents, a_character(1, own))
    checks = [
        a_check(character, asset, own, minute=at // 2)
        for at, asset in enumerate(others)
    ]
    await documents.characters.keep(checks)
    found: list[Check] = []
    query = CheckQuery(character.id, "r1", limit=limit)
    while True:
        page = await documents.characters.checks(query)
        assert len(page.checks) <= limit
        found += page.checks
        if page.next is None:
            break
        query = replace(query, after=page.next)
    assert found == sorted(checks, key=lambda one: (one.checked_at, one.asset_id))[::-1]
