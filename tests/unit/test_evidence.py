"""Evidence of characters: what counts, and how it catches up."""

from collections.abc import AsyncGenerator, Sequence
from datetime import timedelta
from typing import Any

import pytest

from dinoserve.adapters.memory.relations import MemoryRelations
from dinoserve.domain.assets import Asset
from dinoserve.domain.characters import Character, Check, Reference
from dinoserve.domain.evidence import key_of
from dinoserve.domain.relations import Reach, Relation
from dinoserve.errors import UnavailableError
from dinoserve.services.evidence import EvidenceService
from filed_jobs import Filed, filed
from records import NOON

AVA = "a" * 32


@pytest.fixture
async def shop() -> AsyncGenerator[Filed]:
    async with filed() as shop:
        yield shop


def evidence(shop: Filed) -> EvidenceService:
    return shop.services.assets.evidence


async def ava(shop: Filed, *references: Asset) -> Character:
    """Store the character as a process does that ends before its relations."""
    shown = tuple(Reference(asset.id) for asset in references)
    character = Character(AVA, "default", "Ava", shown, NOON)
    return await shop.documents.characters.edit(AVA, lambda _: character)


def a_check(shop: Filed, asset: Asset, best: Asset, score: float = 0.75) -> Check:
    recipe = shop.services.embeddings.recipe.id
    findings = {"appearance_similarity": {"foreground": score, "pairs": 3}}
    return Check(AVA, asset.id, recipe, best.id, NOON, findings)


def judged(check: Check, **verdicts: str) -> Check:
    """Return the check with verdicts, by score."""
    told = [{"score": score, "verdict": each} for score, each in verdicts.items()]
    return check._replace(findings={**check.findings, "judgements": told})


async def keep(shop: Filed, *checks: Check) -> None:
    await shop.documents.characters.keep(checks)
    await evidence(shop).checked(AVA, checks)


async def depicting(shop: Filed) -> dict[str, Relation]:
    """Return the relations of the character, by asset."""
    reach = Reach(["depicts"])
    edges = await shop.documents.relations.touching([f"character:{AVA}"], reach, 10_000)
    told = await shop.documents.relations.get([edge.key for edge in edges])
    return {each.key.source.removeprefix("asset:"): each for each in told}


@pytest.mark.parametrize(
    ("verdicts", "is_related"),
    [
        ({}, True),
        ({"foreground": "match"}, True),
        ({"foreground": "no_match"}, False),
        ({"foreground": "match", "whole_image": "no_match"}, True),
        ({"whole_image": "no_match"}, False),
    ],
    ids=["none", "match", "no match", "foreground decides", "another alone"],
)
async def test_a_calibrated_verdict_decides_whether_a_check_counts(
    shop: Filed, verdicts: dict[str, str], is_related: Any
) -> None:
    one, asset = await shop.give(1, 2)
    await ava(shop, one)

    await keep(shop, judged(a_check(shop, asset, one), **verdicts))

    assert (asset.id in await depicting(shop)) is is_related


async def test_a_later_verdict_that_it_is_no_match_takes_the_relation_back(
    shop: Filed,
) -> None:
    one, asset = await shop.give(1, 2)
    await ava(shop, one)
    await keep(shop, a_check(shop, asset, one))
    assert asset.id in await depicting(shop)

    await keep(shop, judged(a_check(shop, asset, one), foreground="no_match"))

    assert asset.id not in await depicting(shop)


@pytest.mark.parametrize("score", [0.0, -0.5])
async def test_what_does_not_look_alike_at_all_is_not_related(
    shop: Filed, score: float
) -> None:
    one, asset = await shop.give(1, 2)
    await ava(shop, one)

    await keep(shop, a_check(shop, asset, one, score))

    assert asset.id not in await depicting(shop)


async def test_a_check_under_another_recipe_takes_the_place_of_the_old_one(
    shop: Filed,
) -> None:
    one, asset = await shop.give(1, 2)
    await ava(shop, one)
    await keep(shop, a_check(shop, asset, one, 0.5)._replace(recipe="old"))
    await evidence(shop).changed(AVA)
    assert (await depicting(shop))[asset.id].recipe == "old"

    await keep(shop, a_check(shop, asset, one, 0.25))

    told = (await depicting(shop))[asset.id]
    assert (told.recipe, told.weight) == (shop.services.embeddings.recipe.id, 0.25)


async def test_a_start_makes_good_what_a_crash_left_out(shop: Filed) -> None:
    assets = await shop.give(*range(130))
    await ava(shop, assets[0])
    checks = [a_check(shop, asset, assets[0]) for asset in assets[1:]]
    await shop.documents.characters.keep(checks)
    assert await depicting(shop) == {}

    await evidence(shop).converge()

    assert set(await depicting(shop)) == {asset.id for asset in assets}


async def test_a_start_makes_good_the_newest_of_many_checks(shop: Filed) -> None:
    one, *others = await shop.give(*range(130))
    await ava(shop, one)
    await keep(shop, *[a_check(shop, asset, one) for asset in others[:-1]])
    last = a_check(shop, others[-1], one)
    later = last._replace(checked_at=NOON + timedelta(hours=1))
    await shop.documents.characters.keep([later])

    await evidence(shop).converge()

    assert others[-1].id in await depicting(shop)


async def test_a_start_takes_out_what_rests_on_a_reference_that_is_none(
    shop: Filed,
) -> None:
    one, two, asset = await shop.give(1, 2, 3)
    await ava(shop, one, two)
    await keep(shop, a_check(shop, asset, one))
    await evidence(shop).converge()
    await ava(shop, two)

    await evidence(shop).converge()

    assert set(await depicting(shop)) == {two.id}


async def test_doing_it_again_stores_nothing(
    shop: Filed, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, asset = await shop.give(1, 2)
    await ava(shop, one)
    await keep(shop, a_check(shop, asset, one))
    await evidence(shop).converge()
    stored: list[Relation] = []

    async def put(_: MemoryRelations, relations: Sequence[Relation]) -> None:
        stored.extend(relations)

    monkeypatch.setattr(MemoryRelations, "put", put)
    await evidence(shop).converge()

    assert stored == []


async def test_a_check_succeeds_while_relations_are_away_and_follows_later(
    shop: Filed, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, asset = await shop.give(1, 2)
    await ava(shop, one)

    async def away(*_: object) -> None:
        raise UnavailableError("away", port="documents")

    with monkeypatch.context() as patched:
        patched.setattr(MemoryRelations, "put", away)
        await keep(shop, a_check(shop, asset, one))
    assert await depicting(shop) == {}

    await evidence(shop).catch_up()

    assert set(await depicting(shop)) == {one.id, asset.id}


async def test_a_character_that_is_gone_has_no_relations(shop: Filed) -> None:
    one, asset = await shop.give(1, 2)
    await ava(shop, one)
    await shop.documents.characters.remove(AVA)

    await evidence(shop).checked(AVA, [a_check(shop, asset, one)])

    key = key_of(asset.id, AVA)
    assert await shop.documents.relations.get([key]) == []
