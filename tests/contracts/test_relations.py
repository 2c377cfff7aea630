"""How every `RelationStore` keeps relations and finds the ways along them.

Nodes here are tags and entities: whether assets and characters must be there first is
for test_relation_erasure.py.
"""

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from dinoserve.domain.relations import Edge, Reach, Relation, RelationKey, Scope
from dinoserve.ports import RelationStore
from records import NOON
from relations import a_relation, an_edge, scanned

ODD_NAMES = ["it's", '"quoted"', "日本語", "🦕", "a:b", "%_", "$.x[0]", " ", "x" * 128]


async def test_relations_come_back_as_they_were_put(relations: RelationStore) -> None:
    stated = Relation(
        RelationKey("tag:a", "entity:b", "likes"),
        weight=0.123456789,
        created_at=NOON + timedelta(microseconds=1),
        origin="user",
        recipe="dino",
        collection="film",
        attributes={"note": "日本語", "deep": [1, {"x": None}], "$set": 0.5},
    )
    bare = a_relation("tag:a", "tag:c")
    await relations.put([stated, bare])
    found = await relations.get([stated.key, bare.key, bare.key])
    assert sorted(found, key=lambda one: one.key) == [stated, bare]


async def test_what_is_absent_is_left_out(relations: RelationStore) -> None:
    kept = a_relation("tag:a", "tag:b")
    await relations.put([kept])
    others = [
        RelationKey("tag:b", "tag:a", "near"),
        RelationKey("tag:a", "tag:b", "far"),
        RelationKey("tag:x", "tag:y", "near"),
    ]
    assert await relations.get([*others, kept.key]) == [kept]
    assert await relations.get([]) == []


async def test_a_relation_of_the_same_key_takes_the_place_of_the_first(
    relations: RelationStore,
) -> None:
    first = a_relation("tag:a", "tag:b", attributes={"old": True}, recipe="one")
    last = replace(first, weight=0.9, attributes={}, recipe=None, origin="check")
    await relations.put([first])
    await relations.put([replace(last, weight=0.2), last])
    assert await relations.get([first.key]) == [last]
    assert await relations.touching(["tag:a"], Reach(), 9) == [an_edge(last)]


async def test_putting_nothing_stores_nothing(relations: RelationStore) -> None:
    await relations.put([])
    await relations.remove()
    assert await scanned(relations, Scope()) == []


@pytest.mark.parametrize("name", ODD_NAMES)
async def test_a_node_may_have_any_name(relations: RelationStore, name: str) -> None:
    odd = a_relation(f"tag:{name}", f"entity:{name}")
    await relations.put([odd, a_relation("tag:other", "tag:another")])
    assert await relations.get([odd.key]) == [odd]
    assert await relations.touching([f"tag:{name}"], Reach(), 9) == [an_edge(odd)]
    await relations.remove(nodes=[f"entity:{name}"])
    assert await relations.get([odd.key]) == []


async def test_names_that_differ_in_case_or_accent_are_two_nodes(
    relations: RelationStore,
) -> None:
    pairs = [a_relation(f"tag:{name}", "tag:z") for name in ("a", "A", "á", "a\u0301")]
    await relations.put(pairs)
    for one in pairs:
        edges = await relations.touching([one.key.source], Reach(), 9)
        assert edges == [an_edge(one)]


async def test_the_strongest_come_first_then_by_names_as_code_points(
    relations: RelationStore,
) -> None:
    names = ["Z", "a", "é", "日", "\uffff", "🦕"]
    tied = [a_relation("tag:hub", f"tag:{name}") for name in names]
    tied += [a_relation("tag:hub", "tag:a", kind=kind) for kind in ("also", "b", "b_c")]
    strong = a_relation("tag:hub", "tag:zz", weight=0.9)
    weak = a_relation("tag:hub", "tag:0", weight=0.1)
    await relations.put([weak, *tied, strong])
    expected = [
        an_edge(strong),
        *(an_edge(one) for one in sorted(tied, key=lambda one: one.key)),
        an_edge(weak),
    ]
    for limit in (99, 11, 10, 5, 2, 1):
        found = await relations.touching(["tag:hub"], Reach(), limit)
        assert found == expected[:limit]


async def test_the_direction_is_seen_from_the_nodes(relations: RelationStore) -> None:
    out, into = a_relation("tag:a", "tag:b"), a_relation("tag:c", "tag:a")
    both = a_relation("tag:a", "tag:d", weight=0.9)
    back = a_relation("tag:d", "tag:a", weight=0.8)
    await relations.put([out, into, both, back])

    async def found(*nodes: str, **how: object) -> list[Edge]:
        return await relations.touching(nodes, Reach(**how), 9)  # pyright: ignore[reportArgumentType] - only directions are given

    assert await found("tag:a", direction="out") == [an_edge(both), an_edge(out)]
    assert await found("tag:a", direction="in") == [an_edge(back), an_edge(into)]
    every = [an_edge(one) for one in (both, back, out, into)]
    assert await found("tag:a") == every
    assert await found("tag:a", "tag:d", "tag:b") == every


async def test_a_relation_to_itself_is_found_once(relations: RelationStore) -> None:
    loop = a_relation("entity:self", "entity:self")
    await relations.put([loop])
    for direction in ("out", "in", "any"):
        reach = Reach(direction=direction)
        assert await relations.touching(["entity:self"], reach, 9) == [an_edge(loop)]
    await relations.remove(nodes=["entity:self"])
    assert await scanned(relations, Scope()) == []


async def test_only_the_kinds_and_weights_meant_are_walked(
    relations: RelationStore,
) -> None:
    near = a_relation("tag:a", "tag:b", weight=0.5)
    far = a_relation("tag:a", "tag:b", kind="far", weight=0.4)
    likes = a_relation("tag:c", "tag:a", kind="likes", weight=0.3)
    await relations.put([near, far, likes])

    async def kinds(reach: Reach) -> list[str]:
        return [edge.kind for edge in await relations.touching(["tag:a"], reach, 9)]

    assert await kinds(Reach()) == ["near", "far", "likes"]
    assert await kinds(Reach(kinds=["likes", "far"])) == ["far", "likes"]
    assert await kinds(Reach(kinds=["unheard"])) == []
    assert await kinds(Reach(min_weight=0.4)) == ["near", "far"]
    assert await kinds(Reach(kinds=["likes"], min_weight=0.31)) == []


async def test_unknown_nodes_have_no_relations(relations: RelationStore) -> None:
    await relations.put([a_relation("tag:a", "tag:b")])
    assert await relations.touching(["tag:x", "tag:y"], Reach(), 9) == []
    assert await relations.touching([], Reach(), 9) == []


async def test_many_nodes_are_asked_at_once(relations: RelationStore) -> None:
    many = [a_relation(f"tag:{at}", "tag:hub") for at in range(1200)]
    await relations.put(many)
    names = [one.key.source for one in many]
    found = await relations.touching(names, Reach(direction="out"), 5000)
    assert found == sorted(map(an_edge, many), key=lambda edge: edge.key)
    assert len(await relations.get([one.key for one in many])) == 1200


async def test_a_removed_relation_is_gone_from_both_ends(
    relations: RelationStore,
) -> None:
    gone, kept = a_relation("tag:a", "tag:b"), a_relation("tag:b", "tag:a")
    await relations.put([gone, kept])
    for _ in range(2):
        await relations.remove([gone.key, RelationKey("tag:x", "tag:y", "near")])
        for node in ("tag:a", "tag:b"):
            assert await relations.touching([node], Reach(), 9) == [an_edge(kept)]
    assert await relations.get([gone.key]) == []


async def test_a_removed_node_takes_every_relation_along(
    relations: RelationStore,
) -> None:
    kept = a_relation("tag:b", "tag:c")
    gone = [a_relation("tag:a", "tag:b"), a_relation("tag:c", "tag:a")]
    await relations.put([kept, *gone])
    await relations.remove(nodes=["tag:a", "tag:unheard"])
    assert await scanned(relations, Scope()) == [an_edge(kept)]


async def test_what_was_removed_can_be_put_again(relations: RelationStore) -> None:
    one = a_relation("tag:a", "tag:b")
    for _ in range(3):
        await relations.put([one])
        await relations.remove(nodes=["tag:a"])
    await relations.put([one])
    assert await scanned(relations, Scope()) == [an_edge(one)]


async def test_a_scan_yields_every_relation_once(
    relations: RelationStore, batch: int
) -> None:
    many = [
        a_relation(f"tag:{at % 7}", f"tag:{at}", kind="near" if at % 2 else "far")
        for at in range(5 * batch)
    ]
    await relations.put(many)
    expected = sorted(map(an_edge, many))
    assert await scanned(relations, Scope()) == expected


async def test_a_scan_has_columns_of_the_types_promised(
    relations: RelationStore, batch: int
) -> None:
    await relations.put([a_relation("tag:a", f"tag:{at}") for at in range(2 * batch)])
    blocks = [block async for block in relations.scan(Scope())]
    assert len(blocks) > 1
    for block in blocks:
        for column in (block.source, block.target, block.kind):
            assert (column.dtype, column.shape) == (np.int32, block.weight.shape)
        assert block.weight.dtype == np.float64
        assert 0 < len(block.weight) <= batch


async def test_only_the_scope_is_scanned(relations: RelationStore) -> None:
    film = a_relation("tag:a", "tag:b", weight=0.9, collection="film")
    other = a_relation("tag:b", "tag:c", weight=0.5, collection="other")
    loose = a_relation("tag:c", "tag:d", kind="far", weight=0.1)
    await relations.put([film, other, loose])

    async def found(scope: Scope) -> list[Edge]:
        return await scanned(relations, scope)

    assert await found(Scope(collection="film")) == [an_edge(film)]
    assert await found(Scope(collection="unheard")) == []
    assert await found(Scope(kinds=["far", "unheard"])) == [an_edge(loose)]
    assert await found(Scope(kinds=["unheard"])) == []
    assert await found(Scope(min_weight=0.5)) == [an_edge(film), an_edge(other)]


async def test_a_scan_may_be_left_early(relations: RelationStore, batch: int) -> None:
    await relations.put([a_relation("tag:a", f"tag:{at}") for at in range(3 * batch)])
    async for block in relations.scan(Scope()):
        assert len(block.weight)
        break
    await relations.remove(nodes=["tag:a"])
    assert await scanned(relations, Scope()) == []


async def test_nodes_that_come_while_a_scan_runs_do_not_mix_up_names(
    relations: RelationStore, batch: int
) -> None:
    first = [a_relation("tag:a", f"tag:{at}") for at in range(2 * batch)]
    await relations.put(first)
    names: list[str] = []
    found: set[tuple[str, str]] = set()
    async for block in relations.scan(Scope()):
        names += block.nodes
        ends = zip(block.source.tolist(), block.target.tolist(), strict=True)
        found |= {(names[source], names[target]) for source, target in ends}
        await relations.remove([first[-1].key])
        await relations.put([a_relation("tag:zz", f"tag:new {len(names)}")])
    known = {one.key[:2] for one in first[:-1]}
    assert known <= found
    assert all(end in {"tag:a", "tag:zz"} for end, _ in found)


async def test_a_store_tells_its_name(relations: RelationStore) -> None:
    assert await relations.ping()
