"""Which assets are accepted for a character."""

from dinoserve.domain.character_members import accepted
from dinoserve.domain.characters import Character, Reference
from dinoserve.domain.labelled_pairs import LabelledPair
from records import NOON


def a_character(*references: str) -> Character:
    shown = tuple(Reference(each) for each in references)
    return Character("0" * 32, "default", "Ava", shown, NOON)


def same(left: str, right: str) -> LabelledPair:
    return LabelledPair(left, right, same=True)


def apart(left: str, right: str) -> LabelledPair:
    return LabelledPair(left, right, same=False)


def test_references_are_accepted_without_a_review() -> None:
    assert accepted(a_character("a", "b"), []) == {"a", "b"}


def test_what_is_the_same_as_an_accepted_asset_is_accepted() -> None:
    pairs = [same("b", "c"), same("a", "b"), same("d", "e")]
    assert accepted(a_character("a"), pairs) == {"a", "b", "c"}


def test_what_differs_from_a_reference_is_not_accepted_over_another() -> None:
    pairs = [same("a", "b"), same("b", "c"), apart("c", "a"), same("c", "d")]
    assert accepted(a_character("a"), pairs) == {"a", "b"}


def test_what_differs_from_an_accepted_asset_only_is_accepted() -> None:
    pairs = [same("a", "b"), same("a", "c"), apart("b", "c")]
    assert accepted(a_character("a"), pairs) == {"a", "b", "c"}


def test_references_stay_members_whatever_reviews_say() -> None:
    assert accepted(a_character("a", "b"), [apart("a", "b")]) == {"a", "b"}
