"""Relations told to a knowledge graph: what it has of them in the end."""

import random
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace

import pytest

from dinoserve.adapters.memory import MemoryDocuments
from dinoserve.adapters.pathrag import PathRag
from dinoserve.domain.assets import Asset
from dinoserve.domain.characters import Character
from dinoserve.domain.knowledge import entity_name
from dinoserve.domain.relations import Relation, RelationKey, node_of
from dinoserve.errors import UnavailableError
from dinoserve.ports import AssetChanges
from dinoserve.services import knowledge_following
from dinoserve.services.graph_following import GraphFollower, Pace
from dinoserve.services.knowledge_following import KnowledgeCopy
from dinoserve.telemetry import Metrics
from pathrag_server import Fault, PathRagServer, Silent, pathrag, quoted
from records import NOON, an_asset

CAT, DOG = (an_asset(name, filename=f"{name}.jpg") for name in ("cat", "dog"))
HERO = Character("ab" * 16, "default", "Ann Hero", (), NOON)
A, B, C = f"asset:{CAT.id}", f"asset:{DOG.id}", f"character:{HERO.id}"
TAG = "tag:whiskers"
FAULTS: list[Fault] = ["500", "garbage", "cut", "no text"]
SILENT: list[Silent] = ["entities", "relationships", "deletes"]


def relation(
    source: str, target: str, kind: str = "similar", **more: object
) -> Relation:
    return Relation(
        RelationKey(source, target, kind),
        0.5,
        NOON,
        "user",
        attributes=more,
    )


def named(*nodes: str) -> set[str]:
    """Return the names of nodes as PathRAG keeps them."""
    return {quoted(entity_name(node_of(node))) for node in nodes}


def linked(server: PathRagServer) -> list[set[str]]:
    return [{*ends} for ends in server.links]


async def a_store(*records: Asset | Character) -> MemoryDocuments:
    documents = MemoryDocuments()
    for record in records:
        await keep(documents, record)
    return documents


async def keep(documents: MemoryDocuments, record: Asset | Character) -> None:
    if isinstance(record, Asset):
        await documents.add(record, None)
    else:
        await documents.characters.edit(record.id, lambda _: record)


def a_follower(documents: MemoryDocuments, client: PathRag) -> GraphFollower:
    return GraphFollower(
        "pathrag",
        documents.relations,
        documents.relation_log,
        KnowledgeCopy(documents, client),
        Metrics(),
        Pace(16, 0.01, 0.01, 0.01, apart_s=0.0, aside_s=0.001, most_aside_s=0.001),
    )


@pytest.fixture
async def documents() -> MemoryDocuments:
    return await a_store(CAT, DOG, HERO)


@pytest.fixture
async def told() -> AsyncGenerator[tuple[PathRagServer, PathRag]]:
    with pathrag() as server:
        async with PathRag.open(server.url) as client:
            yield server, client


@pytest.fixture
async def server(told: tuple[PathRagServer, PathRag]) -> PathRagServer:
    return told[0]


@pytest.fixture
async def follower(
    documents: MemoryDocuments, told: tuple[PathRagServer, PathRag]
) -> GraphFollower:
    """One that has begun."""
    follower = a_follower(documents, told[1])
    await follower.catch_up()
    told[0].entities.pop(quoted("DINOSERVE:WHOLE"))
    return follower


async def put(documents: MemoryDocuments, *relations: Relation) -> None:
    await documents.relations.put(relations)


async def test_a_relation_is_told_with_its_nodes(
    documents: MemoryDocuments, follower: GraphFollower, server: PathRagServer
) -> None:
    await put(documents, relation(A, C, "depicts", by="check"))
    await follower.catch_up()
    assert server.entities.keys() == named(A, C)
    assert linked(server) == [named(A, C)]
    [link] = server.links.values()
    assert link["keywords"] == "depicts"
    assert '{"by": "check"}' in link["description"]
    assert "cat.jpg" in server.kept
    assert "Ann Hero" in server.kept


async def test_all_relations_of_two_nodes_are_one_link(
    documents: MemoryDocuments, follower: GraphFollower, server: PathRagServer
) -> None:
    await put(documents, relation(A, B))
    await follower.catch_up()
    await put(documents, relation(B, A, "derived_from"))
    await follower.catch_up()
    [link] = server.links.values()
    assert sorted(link["keywords"].split(", ")) == ["derived from", "similar"]


async def test_one_of_two_relations_that_is_gone_is_told_no_longer(
    documents: MemoryDocuments, follower: GraphFollower, server: PathRagServer
) -> None:
    await put(documents, relation(A, B), relation(B, A, "derived_from"))
    await follower.catch_up()
    await documents.relations.remove([RelationKey(A, B, "similar")])
    await follower.catch_up()
    [link] = server.links.values()
    assert link["keywords"] == "derived from"


async def test_nodes_without_relations_are_erased(
    documents: MemoryDocuments, follower: GraphFollower, server: PathRagServer
) -> None:
    await put(documents, relation(A, B), relation(A, TAG, "shows"))
    await follower.catch_up()
    await documents.relations.remove([RelationKey(A, TAG, "shows")])
    await follower.catch_up()
    assert server.entities.keys() == named(A, B)
    assert "whiskers" not in server.kept


async def test_a_link_that_is_gone_leaves_what_else_its_nodes_have(
    documents: MemoryDocuments, follower: GraphFollower, server: PathRagServer
) -> None:
    await put(documents, *(relation(*ends) for ends in [(A, B), (A, C), (B, TAG)]))
    await follower.catch_up()
    await documents.relations.remove([RelationKey(A, B, "similar")])
    await follower.catch_up()
    assert server.entities.keys() == named(A, B, C, TAG)
    assert sorted(map(sorted, linked(server))) == sorted(
        map(sorted, [named(A, C), named(B, TAG)])
    )


async def test_relations_of_a_hub_are_told_in_several_requests(
    documents: MemoryDocuments,
    follower: GraphFollower,
    server: PathRagServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(knowledge_following, "_FEW", 10)
    tags = [f"tag:{number}" for number in range(40)]
    await put(documents, *(relation(end, tag) for end in (A, B) for tag in tags))
    await put(documents, relation(A, B))
    await follower.catch_up()
    await documents.relations.remove([RelationKey(A, B, "similar")])
    await follower.catch_up()
    assert server.requests.count("POST /insert_custom_kg") > 6
    assert sorted(map(sorted, linked(server))) == sorted(
        sorted(named(end, tag)) for end in (A, B) for tag in tags
    )


async def test_an_erased_asset_leaves_its_id_in_a_chunk_and_nothing_else(
    documents: MemoryDocuments, follower: GraphFollower, server: PathRagServer
) -> None:
    await put(documents, relation(A, C, "depicts"), relation(A, TAG, "shows"))
    await put(documents, relation(B, C, "depicts"))
    await follower.catch_up()
    await documents.remove(CAT.id)
    await follower.catch_up()
    assert server.entities.keys() == named(B, C)
    assert linked(server) == [named(B, C)]
    assert "cat.jpg" not in server.kept
    assert "whiskers" not in server.kept
    leftovers = server.kept.lower().replace(f"chunk dinoserve asset {CAT.id}", "")
    assert CAT.id not in leftovers


async def test_an_erased_character_leaves_nothing(
    documents: MemoryDocuments, follower: GraphFollower, server: PathRagServer
) -> None:
    await put(documents, relation(A, C, "depicts"))
    await follower.catch_up()
    await documents.characters.remove(HERO.id)
    await follower.catch_up()
    assert HERO.id not in server.kept.lower()
    assert "Ann Hero" not in server.kept
    assert server.entities == {}


async def test_an_asset_erased_after_its_last_relation_leaves_nothing(
    documents: MemoryDocuments, follower: GraphFollower, server: PathRagServer
) -> None:
    await put(documents, relation(A, C, "depicts"))
    await follower.catch_up()
    await documents.characters.remove(HERO.id)
    await documents.remove(CAT.id)
    await follower.catch_up()
    assert "cat.jpg" not in server.kept


async def test_a_name_that_somebody_wrote_is_not_taken_for_ours(
    documents: MemoryDocuments, follower: GraphFollower, server: PathRagServer
) -> None:
    cat = entity_name(node_of(A))
    kitten = an_asset("kitten", metadata={"parent": cat})
    await keep(documents, kitten)
    other = f"asset:{kitten.id}"
    await put(documents, relation(A, B), relation(other, B, "shows", of=cat))
    await follower.catch_up()
    await documents.remove(CAT.id)
    await follower.catch_up()
    assert server.entities.keys() == named(B, other)


@pytest.mark.parametrize("fault", FAULTS)
async def test_what_a_fault_interrupts_is_told_later(
    documents: MemoryDocuments,
    follower: GraphFollower,
    server: PathRagServer,
    fault: Fault,
) -> None:
    await put(documents, relation(A, B))
    server.faults = {"*": fault}
    with pytest.raises(UnavailableError):
        await follower.drain()
    server.faults = {}
    await follower.drain()
    assert linked(server) == [named(A, B)]


@pytest.mark.parametrize("what", ["entities", "relationships"])
async def test_what_was_said_to_be_stored_and_was_not_is_told_again(
    documents: MemoryDocuments,
    follower: GraphFollower,
    server: PathRagServer,
    what: Silent,
) -> None:
    await put(documents, relation(A, B))
    server.silent = {what}
    assert await follower.drain() == 0
    server.silent = set()
    await until_told(documents, follower)
    assert server.entities.keys() == named(A, B)
    assert linked(server) == [named(A, B)]


async def test_a_graph_that_was_emptied_is_told_everything(
    documents: MemoryDocuments, follower: GraphFollower, server: PathRagServer
) -> None:
    await put(documents, relation(A, B))
    await follower.catch_up()
    server.entities, server.links = {}, {}
    follower.lost()
    await follower.catch_up()
    assert server.entities.keys() >= named(A, B)
    assert linked(server) == [named(A, B)]


@pytest.mark.parametrize("seed", range(4))
async def test_whatever_fails_on_the_way_the_end_is_what_the_store_has(
    told: tuple[PathRagServer, PathRag], seed: int
) -> None:
    server, client = told
    chance = random.Random(seed)
    assets = [an_asset((seed, number)) for number in range(6)]
    documents = await a_store(*assets, HERO)
    follower = a_follower(documents, client)
    await follower.catch_up()
    for _ in range(60):
        await change(documents, chance, assets)
        server.faults = {"*": chance.choice(FAULTS)} if chance.random() < 0.3 else {}
        server.silent = {chance.choice(SILENT)} if chance.random() < 0.3 else set()
        try:
            await follower.drain()
        except UnavailableError:
            if chance.random() < 0.5:  # another process takes over
                follower = a_follower(documents, client)
    server.faults, server.silent = {}, set()
    await until_told(documents, follower)
    assert state(server) == state(await anew(documents))


async def until_told(documents: MemoryDocuments, follower: GraphFollower) -> None:
    while await documents.relation_log.marked("pathrag", 1):
        await follower.drain()


async def change(
    documents: MemoryDocuments, chance: random.Random, assets: Sequence[Asset]
) -> None:
    asset = chance.choice(assets)
    nodes = [f"asset:{one}" for one in await documents.get([a.id for a in assets])]
    nodes += [C, TAG, "tag:Whiskers", "entity:b", "collection:default"]
    source, target = chance.choice(nodes), chance.choice(nodes)
    kind = chance.choice(["near", "far"])
    match chance.randrange(8):
        case 0 if f"asset:{asset.id}" in nodes:
            await documents.remove(asset.id)
        case 1:
            await documents.add(asset, None)
        case 2 | 3:
            await documents.relations.remove([RelationKey(source, target, kind)])
        case 4:
            await documents.relations.remove(nodes=[source])
        case _:
            await put(documents, relation(source, target, kind))


async def anew(documents: MemoryDocuments) -> PathRagServer:
    """Return a server that was told everything once."""
    with pathrag() as server:
        async with PathRag.open(server.url) as client:
            await a_follower(documents, client).catch_up()
    return server


def state(server: PathRagServer) -> tuple[object, object]:
    """Return all but the chunks, which no route erases."""
    return server.entities, server.links


async def test_a_record_that_was_changed_is_described_anew(
    documents: MemoryDocuments, follower: GraphFollower, server: PathRagServer
) -> None:
    await put(documents, relation(A, C))
    await follower.catch_up()
    await documents.update(CAT.id, AssetChanges(tags=("sleepy",)))
    await documents.characters.edit(HERO.id, lambda _: replace(HERO, name="Bea"))
    await follower.catch_up()
    assert "sleepy" in server.kept
    assert "Bea" in server.kept
    assert "Ann Hero" not in server.kept
