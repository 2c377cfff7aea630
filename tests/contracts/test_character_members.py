"""Which assets show a character, over every store."""

import pytest

from dinoserve.domain.calibration import Calibration, CalibrationFor, Counts
from dinoserve.domain.character_members import Membership
from dinoserve.domain.character_reviews import ReviewedPair
from dinoserve.domain.characters import Character, Check, Reference
from dinoserve.domain.kept_calibrations import KeptCalibration
from dinoserve.domain.labelled_pairs import LabelledPair
from dinoserve.domain.probabilities import Platt
from dinoserve.ports import DocumentStore, Space
from dinoserve.services import character_members
from dinoserve.services.character_members import members
from records import NOON, an_asset

AVA = Membership("a" * 32)
SPACE = Space("default", "r1")


async def given(documents: DocumentStore, count: int) -> list[str]:
    """A character with the first of so many assets as its reference."""
    assets = [an_asset(seed) for seed in range(count)]
    for asset in assets:
        await documents.add(asset, None)
    ids = [asset.id for asset in assets]
    shown = (Reference(ids[0]),)
    character = Character(AVA.character_id, "default", "Ava", shown, NOON)
    await documents.characters.edit(character.id, lambda _: character)
    return ids


async def checked(
    documents: DocumentStore, scores: dict[str, float], own: str, recipe: str = "r1"
) -> None:
    checks = [
        Check(
            AVA.character_id,
            asset,
            recipe,
            own,
            NOON,
            {"appearance_similarity": {"whole_image": 1.0, "foreground": score}},
        )
        for asset, score in scores.items()
    ]
    await documents.characters.keep(checks)


async def test_checks_reach_the_score_on_every_page(
    documents: DocumentStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(character_members, "_TOGETHER", 2)
    own, *others = await given(documents, 8)
    scores = {asset: at / 10 for at, asset in enumerate(others)}
    await checked(documents, scores, own)

    found = await members(documents.characters, AVA._replace(min_score=0.3), SPACE)

    assert found == {own, *others[3:]}


async def test_checks_of_another_recipe_do_not_count(documents: DocumentStore) -> None:
    own, other = await given(documents, 2)
    await checked(documents, {other: 1.0}, own, recipe="r2")

    found = await members(documents.characters, AVA._replace(min_score=-1), SPACE)

    assert found == {own}


async def test_the_calibration_of_the_recipe_and_score_says_from_where_on(
    documents: DocumentStore,
) -> None:
    own, below, above = await given(documents, 3)
    await checked(documents, {below: 0.79, above: 0.8}, own)
    assert await members(documents.characters, AVA, SPACE) == {own}

    for recipe, score, threshold in (
        ("r1", "foreground", 0.8),
        ("r2", "foreground", 0.1),
        ("r1", "whole_image", 0.1),
    ):
        made_for = CalibrationFor(recipe, score, 0.05)
        counts = Counts(8, 20, 40, 21, 41, 80)
        calibration = Calibration(made_for, threshold, Platt(1, 0), {}, counts)
        kept = KeptCalibration("default", NOON, calibration)
        await documents.characters.calibrations.put(kept)

    assert await members(documents.characters, AVA, SPACE) == {own, above}


async def test_reviews_accept_for_it(documents: DocumentStore) -> None:
    own, accepted, _ = await given(documents, 3)
    pair = LabelledPair(*sorted((own, accepted)), same=True)
    await documents.characters.reviews.put("default", [ReviewedPair(pair, NOON)])

    assert await members(documents.characters, AVA, SPACE) == {own, accepted}
