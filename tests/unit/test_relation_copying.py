"""Copying relations between stores: what arrives, and what is seen to lack."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from dinoserve.adapters.memory import MemoryDocuments
from dinoserve.adapters.sqlite import SqliteDocuments
from dinoserve.domain.relations import Relation, Scope
from dinoserve.ports import DocumentStore
from dinoserve.services.relation_copying import copy_relations, lacking_relations
from records import an_asset
from relations import a_relation, an_edge, scanned

KNOWN, LOST = (an_asset(seed) for seed in (1, 2))
RELATIONS = [
    *(
        a_relation(f"asset:{KNOWN.id}", f"tag:{at}", attributes={"n": at})
        for at in range(2500)
    ),
    a_relation("tag:a", "collection:film", recipe="dino", collection="film"),
]
OF_LOST = a_relation("tag:a", f"asset:{LOST.id}")


@pytest.fixture
async def source() -> DocumentStore:
    documents = MemoryDocuments()
    for asset in (KNOWN, LOST):
        await documents.add(asset, None)
    await documents.relations.put(RELATIONS)
    return documents


@pytest.fixture
async def target(tmp_path: Path) -> AsyncIterator[DocumentStore]:
    async with SqliteDocuments.open(tmp_path / "documents.sqlite") as documents:
        await documents.add(KNOWN, None)
        yield documents


async def all_of(documents: DocumentStore) -> list[Relation]:
    found = await documents.relations.get([one.key for one in [*RELATIONS, OF_LOST]])
    return sorted(found, key=lambda one: one.key)


async def test_relations_arrive_whole_however_often_they_are_copied(
    source: DocumentStore, target: DocumentStore
) -> None:
    for _ in range(2):
        await copy_relations(source, target)
        assert await all_of(target) == sorted(RELATIONS, key=lambda one: one.key)
        assert await lacking_relations(source, target) == []


async def test_what_lacks_or_differs_is_told_by_its_source(
    source: DocumentStore, target: DocumentStore
) -> None:
    assert await lacking_relations(source, target) == [f"asset:{KNOWN.id}", "tag:a"]
    await copy_relations(source, target)
    await target.relations.put([replace(RELATIONS[-1], weight=0.9)])
    assert await lacking_relations(source, target) == ["tag:a"]


async def test_only_a_relation_of_an_asset_that_did_not_arrive_is_left_out(
    source: DocumentStore, target: DocumentStore
) -> None:
    await source.relations.put([OF_LOST])
    await copy_relations(source, target)
    edges = await scanned(target.relations, Scope())
    assert edges == sorted(map(an_edge, RELATIONS))
    assert await lacking_relations(source, target) == ["tag:a"]
