"""How every store tells followers of a record that says something else."""

from dataclasses import replace

import pytest

from dinoserve.domain.characters import Character
from dinoserve.ports import AssetChanges, DocumentStore, Mark
from records import NOON, an_asset
from relations import a_relation

PICTURE = an_asset("picture")
HERO = Character("cd" * 16, "default", "Ann", (), NOON)
ASSET, CHARACTER = f"asset:{PICTURE.id}", f"character:{HERO.id}"


@pytest.fixture
async def kept(documents: DocumentStore) -> DocumentStore:
    """A picture and a character, which are related, and a follower that knows it."""
    await documents.add(PICTURE, None)
    await documents.characters.edit(HERO.id, lambda _: HERO)
    await documents.relations.put([a_relation(ASSET, CHARACTER)])
    await documents.relation_log.follow("pathrag")
    return documents


async def edited(documents: DocumentStore) -> list[Mark]:
    marks = await documents.relation_log.marked("pathrag", 9)
    return [mark for mark in marks if mark.is_edited]


@pytest.mark.parametrize(
    "changes",
    [
        AssetChanges(tags=("blue",)),
        AssetChanges(metadata={"at": "sea"}),
        AssetChanges(subject="Bob"),
    ],
    ids=["tags", "metadata", "subject"],
)
async def test_an_asset_that_was_changed_is_marked(
    kept: DocumentStore, changes: AssetChanges
) -> None:
    await kept.update(PICTURE.id, changes)
    [mark] = await edited(kept)
    assert mark.node == ASSET


async def test_a_character_that_was_renamed_is_marked(kept: DocumentStore) -> None:
    await kept.characters.edit(HERO.id, lambda _: replace(HERO, name="Bea"))
    [mark] = await edited(kept)
    assert mark.node == CHARACTER


async def test_a_change_of_nothing_marks_nothing(kept: DocumentStore) -> None:
    await kept.update(PICTURE.id, AssetChanges(tags=PICTURE.tags))
    await kept.characters.edit(HERO.id, lambda _: HERO)
    assert await edited(kept) == []


async def test_a_record_without_relations_is_not_marked(kept: DocumentStore) -> None:
    await kept.relations.remove(nodes=[ASSET])
    await kept.update(PICTURE.id, AssetChanges(tags=("blue",)))
    assert await edited(kept) == []


async def test_the_mark_of_an_edit_is_settled_and_made_anew_as_others_are(
    kept: DocumentStore,
) -> None:
    await kept.update(PICTURE.id, AssetChanges(tags=("blue",)))
    [first] = marks = await edited(kept)
    assert await kept.relation_log.settle("pathrag", marks) == []
    assert await edited(kept) == []
    assert await kept.relation_log.settle("pathrag", marks) == marks
    [anew] = await edited(kept)
    assert anew[:2] == first[:2]
    assert anew.version > first.version


async def test_an_edit_and_an_erasure_of_one_node_are_two_marks(
    kept: DocumentStore,
) -> None:
    await kept.update(PICTURE.id, AssetChanges(tags=("blue",)))
    await kept.relations.remove(nodes=[ASSET])
    marks = await kept.relation_log.marked("pathrag", 9)
    told = [mark.is_edited for mark in marks if mark.node == ASSET]
    assert told == [True, False]
