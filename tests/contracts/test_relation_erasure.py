"""How relations go with the assets and characters that are kept in the same place."""

import asyncio
from dataclasses import replace

import pytest

from dinoserve.domain.assets import Asset
from dinoserve.domain.characters import Character, Reference, Region
from dinoserve.domain.relations import Scope
from dinoserve.errors import AssetNotFoundError, NodeNotFoundError
from dinoserve.ports import DocumentStore
from records import NOON, an_asset, digest
from relations import a_relation, an_edge, scanned


def node(one: Asset | Character) -> str:
    return f"{'asset' if isinstance(one, Asset) else 'character'}:{one.id}"


async def an_asset_in(documents: DocumentStore, seed: int) -> Asset:
    asset = an_asset(seed)
    await documents.add(asset, None)
    return asset


async def a_character_in(documents: DocumentStore, *references: Asset) -> Character:
    named = tuple(Reference(one.id, Region()) for one in references)
    one = Character(digest(99)[:32], "default", "Ava", named, NOON)
    return await documents.characters.edit(one.id, lambda _: one)


@pytest.mark.parametrize("kind", ["asset", "character"])
@pytest.mark.parametrize("absent_end", ["source", "target"])
async def test_a_relation_of_what_is_not_there_is_refused_with_all_of_its_batch(
    documents: DocumentStore, kind: str, absent_end: str
) -> None:
    absent = f"{kind}:{'f' * 32}"
    ends = (absent, "tag:a") if absent_end == "source" else ("tag:a", absent)
    with pytest.raises(NodeNotFoundError) as refusal:
        await documents.relations.put([a_relation("tag:a", "tag:b"), a_relation(*ends)])
    assert refusal.value.extra["value"] == absent
    assert await scanned(documents.relations, Scope()) == []


async def test_an_erased_asset_takes_its_relations_along(
    documents: DocumentStore,
) -> None:
    one, two = await an_asset_in(documents, 1), await an_asset_in(documents, 2)
    kept = a_relation(node(two), "tag:hero")
    gone = [
        a_relation(node(one), node(two), "similar"),
        a_relation("tag:hero", node(one)),
        a_relation(node(one), node(one), "odd"),
    ]
    await documents.relations.put([kept, *gone])
    await documents.remove(one.id)
    assert await scanned(documents.relations, Scope()) == [an_edge(kept)]
    with pytest.raises(NodeNotFoundError):
        await documents.relations.put(gone)


async def test_an_erased_character_takes_its_relations_along(
    documents: DocumentStore,
) -> None:
    asset = await an_asset_in(documents, 1)
    character = await a_character_in(documents, asset)
    kept = a_relation(node(asset), "tag:hero")
    depicts = a_relation(node(asset), node(character), "depicts")
    await documents.relations.put([kept, depicts])
    await documents.characters.remove(character.id)
    assert await scanned(documents.relations, Scope()) == [an_edge(kept)]
    with pytest.raises(NodeNotFoundError):
        await documents.relations.put([depicts])


async def test_an_erased_reference_leaves_relations_of_its_character(
    documents: DocumentStore,
) -> None:
    asset = await an_asset_in(documents, 1)
    character = await a_character_in(documents, asset)
    kept = a_relation(node(character), "tag:hero")
    await documents.relations.put([kept, a_relation(node(asset), node(character))])
    await documents.remove(asset.id)
    assert await scanned(documents.relations, Scope()) == [an_edge(kept)]


async def test_changing_a_character_or_asset_leaves_its_relations(
    documents: DocumentStore,
) -> None:
    asset = await an_asset_in(documents, 1)
    character = await a_character_in(documents, asset)
    kept = a_relation(node(asset), node(character), "depicts")
    await documents.relations.put([kept])
    renamed = replace(character, name="Eve", references=())
    await documents.characters.edit(character.id, lambda _: renamed)
    await documents.add(replace(asset, filename="again.png"), None)
    assert await scanned(documents.relations, Scope()) == [an_edge(kept)]


async def test_an_erasure_that_fails_leaves_relations(documents: DocumentStore) -> None:
    asset = await an_asset_in(documents, 1)
    kept = a_relation(node(asset), "tag:hero")
    await documents.relations.put([kept])
    with pytest.raises(AssetNotFoundError):
        await documents.remove("f" * 32)
    assert not await documents.characters.remove(asset.id)
    assert await scanned(documents.relations, Scope()) == [an_edge(kept)]


async def test_an_erasure_marks_a_node_that_had_relations_for_every_follower(
    documents: DocumentStore,
) -> None:
    assets = [await an_asset_in(documents, seed) for seed in (1, 2)]
    character = await a_character_in(documents, *assets)
    stays = a_relation("tag:hero", "tag:other")
    put = [a_relation(node(one), "tag:hero") for one in (assets[0], character)]
    await documents.relations.put([stays, *put])
    for follower in ("one", "two"):
        await documents.relation_log.follow(follower)
    for asset in assets:
        await documents.remove(asset.id)
    await documents.characters.remove(character.id)
    for follower in ("one", "two"):
        marks = await documents.relation_log.marked(follower, 9)
        assert [mark.node for mark in marks] == [node(assets[0]), node(character)]
        assert {mark.key for mark in marks} == {None}


async def test_what_is_put_while_its_asset_is_erased_leaves_nothing(
    documents: DocumentStore,
) -> None:
    for seed in range(5):
        asset = await an_asset_in(documents, seed)
        put = documents.relations.put([a_relation(node(asset), "tag:hero")])
        told = await asyncio.gather(
            put, documents.remove(asset.id), return_exceptions=True
        )
        assert told[0] is None or isinstance(told[0], NodeNotFoundError)
        assert told[1] == asset
    assert await scanned(documents.relations, Scope()) == []


async def test_more_relations_than_one_statement_takes_are_put_and_erased(
    documents: DocumentStore,
) -> None:
    asset = await an_asset_in(documents, 1)
    put = [a_relation(node(asset), f"tag:{number}") for number in range(450)]
    await documents.relations.put(put)
    keys = [each.key for each in put]
    assert len(await documents.relations.get(keys)) == len(put)
    await documents.relations.remove(keys[1:])
    assert await scanned(documents.relations, Scope()) == [an_edge(put[0])]
