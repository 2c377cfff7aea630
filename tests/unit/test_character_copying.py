"""Copying characters between stores: what arrives, and what is seen to lack."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from dinoserve.adapters.memory import MemoryDocuments
from dinoserve.adapters.sqlite import SqliteDocuments
from dinoserve.domain.calibration import Calibration, CalibrationFor, Counts
from dinoserve.domain.character_reviews import ReviewedPair
from dinoserve.domain.characters import Character, Check, Reference, Region
from dinoserve.domain.geometry import Box
from dinoserve.domain.kept_calibrations import KeptCalibration
from dinoserve.domain.labelled_pairs import LabelledPair
from dinoserve.domain.probabilities import Platt
from dinoserve.domain.verification import Estimate
from dinoserve.ports import CheckQuery, DocumentStore
from dinoserve.services.character_copying import copy_characters, lacking_characters
from records import NOON, a_recipe, an_asset, digest


@pytest.fixture
async def target(tmp_path: Path) -> AsyncIterator[DocumentStore]:
    async with SqliteDocuments.open(tmp_path / "documents.sqlite") as documents:
        yield documents


@pytest.fixture
async def source() -> DocumentStore:
    """60 characters of two references, each with checks of two assets."""
    documents = MemoryDocuments()
    await documents.save_recipe(a_recipe())
    ids = [asset.id for asset in (an_asset(seed) for seed in range(2))]
    for seed in range(2):
        await documents.add(an_asset(seed), None)
    for seed in range(60):
        references = (
            Reference(ids[0], Region(box=Box(1, 2, 3, 4.5))),
            Reference(ids[1], Region(mask=b"png")),
        )
        one = Character(digest(seed)[:32], "default", "Ava", references, NOON)
        await documents.characters.edit(one.id, lambda _, one=one: one)
        await documents.characters.keep(
            [
                Check(one.id, asset, a_recipe().id, ids[0], NOON, {"n": seed})
                for asset in ids
            ]
        )
    return documents


async def with_assets(documents: DocumentStore, *seeds: int) -> None:
    await documents.save_recipe(a_recipe())
    for seed in seeds:
        await documents.add(an_asset(seed), None)


async def test_characters_arrive_with_their_checks(
    source: DocumentStore, target: DocumentStore
) -> None:
    await with_assets(target, 0, 1)

    assert len(await lacking_characters(source, target)) == 60
    await copy_characters(source, target)
    await copy_characters(source, target)

    assert await lacking_characters(source, target) == []


async def test_calibrations_arrive_and_are_told_where_they_lack(
    source: DocumentStore, target: DocumentStore
) -> None:
    await with_assets(target, 0, 1)
    await copy_characters(source, target)
    made_for = CalibrationFor(a_recipe().id, "foreground", 0.05)
    counts, figures = Counts(8, 20, 40, 21, 41, 80), {"ece": Estimate(0.25)}
    stored = [
        KeptCalibration(
            "film",
            NOON,
            Calibration(made_for, at / 64, Platt(2.0, -1.0), figures, counts),
        )
        for at in range(60)
    ]
    for each in stored:
        await source.characters.calibrations.put(each)

    lacking = await lacking_characters(source, target)
    await copy_characters(source, target)

    assert sorted(lacking) == sorted(each.id for each in stored)
    assert await lacking_characters(source, target) == []
    for each in stored:
        assert await target.characters.calibrations.get(each.id) == each


async def test_reviews_arrive_and_are_told_where_they_lack(
    source: DocumentStore, target: DocumentStore
) -> None:
    await with_assets(target, 0, 1)
    await copy_characters(source, target)
    left, right = sorted(an_asset(seed).id for seed in range(2))
    reviewed = ReviewedPair(LabelledPair(left, right, same=True), NOON)
    await source.characters.reviews.put("default", [reviewed])

    lacking = await lacking_characters(source, target)
    await copy_characters(source, target)

    assert lacking == ["default"]
    assert await lacking_characters(source, target) == []
    assert await target.characters.reviews.get("default") == [reviewed]


async def test_a_reference_that_was_not_copied_is_left_out_and_told(
    source: DocumentStore, target: DocumentStore
) -> None:
    await with_assets(target, 0)

    await copy_characters(source, target)

    character_id = digest(7)[:32]
    own = await source.characters.get(character_id)
    found = await target.characters.get(character_id)
    assert own is not None
    assert found == replace(own, references=own.references[:1])
    assert character_id in await lacking_characters(source, target)


async def test_a_check_that_differs_is_told(
    source: DocumentStore, target: DocumentStore
) -> None:
    await with_assets(target, 0, 1)
    await copy_characters(source, target)
    character_id = digest(7)[:32]
    query = CheckQuery(character_id, a_recipe().id)
    [first, *_] = (await target.characters.checks(query)).checks

    await target.characters.keep([first._replace(findings={"n": -1})])

    assert await lacking_characters(source, target) == [character_id]
