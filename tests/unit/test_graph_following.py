"""Following the graph: a copy becomes what the store has, whatever comes between."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import replace

import pytest

from dinoserve.adapters.memory import MemoryDocuments
from dinoserve.domain.relations import Relation
from dinoserve.errors import UnavailableError
from dinoserve.services.graph_following import GraphFollower, following
from dinoserve.telemetry import Metrics
from graph_copies import (
    FIRST,
    NAME,
    PACE,
    SECOND,
    Copy,
    assert_equal,
    follower_of,
    until_in_step,
)
from relations import a_relation


@pytest.fixture
def documents() -> MemoryDocuments:
    return MemoryDocuments()


@pytest.fixture
def copy() -> Copy:
    return Copy()


@pytest.fixture
def follower(documents: MemoryDocuments, copy: Copy) -> GraphFollower:
    return follower_of(documents, copy)


async def test_a_new_copy_is_given_everything(
    documents: MemoryDocuments, copy: Copy, follower: GraphFollower
) -> None:
    await documents.relations.put([FIRST, SECOND])
    await follower.catch_up()
    await assert_equal(documents, copy)
    assert await copy.get([FIRST.key]) == [FIRST]


async def test_what_a_new_copy_had_before_is_taken_out(
    documents: MemoryDocuments, copy: Copy, follower: GraphFollower
) -> None:
    await copy.put([SECOND])
    await documents.relations.put([FIRST])
    await follower.catch_up()
    await assert_equal(documents, copy)


async def test_what_is_put_changed_and_removed_is_followed(
    documents: MemoryDocuments, copy: Copy, follower: GraphFollower
) -> None:
    await follower.catch_up()
    await documents.relations.put([FIRST, SECOND])
    await documents.relations.put([replace(FIRST, weight=0.9)])
    await documents.relations.remove([SECOND.key])
    assert await follower.catch_up() == 2
    assert await copy.get([FIRST.key, SECOND.key]) == [replace(FIRST, weight=0.9)]


async def test_a_node_that_went_and_came_back_is_as_it_is_now(
    documents: MemoryDocuments, copy: Copy, follower: GraphFollower
) -> None:
    await documents.relations.put([FIRST, SECOND])
    await follower.catch_up()
    await documents.relations.remove(nodes=["tag:b"])
    await documents.relations.put([SECOND])
    await follower.catch_up()
    await assert_equal(documents, copy)


async def test_a_node_is_put_again_though_only_its_erasure_is_marked(
    documents: MemoryDocuments, copy: Copy, follower: GraphFollower
) -> None:
    # As when another follower settled the newer mark meanwhile.
    await documents.relations.put([FIRST])
    await follower.catch_up()
    await documents.relations.remove(nodes=["tag:b"])
    await documents.relations.put([FIRST])
    log = documents.relation_log
    await log.settle(
        NAME, [mark for mark in await log.marked(NAME, 9) if mark.key is not None]
    )
    await follower.catch_up()
    await assert_equal(documents, copy)


async def test_only_what_is_marked_is_told(
    documents: MemoryDocuments, copy: Copy, follower: GraphFollower
) -> None:
    await documents.relations.put([FIRST])
    await follower.catch_up()
    copy.calls.clear()
    await documents.relations.put([SECOND])
    await follower.catch_up()
    await follower.catch_up()
    assert copy.calls == ["put"]


async def test_many_marks_are_applied_in_batches(
    documents: MemoryDocuments, copy: Copy
) -> None:
    follower = follower_of(documents, copy, batch=10)
    await follower.catch_up()
    copy.calls.clear()
    await documents.relations.put([a_relation("tag:a", f"tag:{n}") for n in range(25)])
    assert await follower.catch_up() == 25
    assert copy.calls == ["put"] * 3
    await assert_equal(documents, copy)


async def test_a_copy_that_lost_everything_is_given_it_again(
    documents: MemoryDocuments, copy: Copy
) -> None:
    await documents.relations.put([FIRST])
    await follower_of(documents, copy).catch_up()
    emptied = Copy()
    await follower_of(documents, emptied).catch_up()
    await assert_equal(documents, emptied)


async def test_a_filling_that_was_cut_off_goes_on(
    documents: MemoryDocuments,
) -> None:
    await documents.relations.put([FIRST, SECOND])

    class Cut(Copy):
        async def put(self, relations: Sequence[Relation]) -> None:
            await super().put(relations)
            self.is_away = True

    copy = Cut()
    with pytest.raises(UnavailableError):
        await follower_of(documents, copy, batch=1).catch_up()
    after = Copy()
    after.__dict__ = copy.__dict__ | {"is_away": False}
    await follower_of(documents, after).catch_up()
    await assert_equal(documents, after)
    assert after.whole


async def test_what_another_erases_while_a_copy_is_filled_does_not_come_back(
    documents: MemoryDocuments,
) -> None:
    await documents.relations.put([FIRST])

    class Overtaken(Copy):
        async def put(self, relations: Sequence[Relation]) -> None:
            # Another process erases it, is told of it and tells it, before this put.
            if not self.calls.count("put"):
                await documents.relations.remove([FIRST.key])
                log = documents.relation_log
                await log.settle(NAME, await log.marked(NAME, 9))
            await super().put(relations)

    copy = Overtaken()
    await follower_of(documents, copy).catch_up()
    await assert_equal(documents, copy)


async def test_what_another_changes_while_a_copy_is_filled_stays_changed(
    documents: MemoryDocuments,
) -> None:
    await documents.relations.put([FIRST])

    class Overtaken(Copy):
        async def put(self, relations: Sequence[Relation]) -> None:
            # As above, but the relation becomes another.
            if not self.calls.count("put"):
                await documents.relations.put([replace(FIRST, weight=0.9)])
                log = documents.relation_log
                await log.settle(NAME, await log.marked(NAME, 9))
            await super().put(relations)

    copy = Overtaken()
    await follower_of(documents, copy).catch_up()
    await assert_equal(documents, copy)


async def test_two_that_follow_at_once_lose_and_double_nothing(
    documents: MemoryDocuments, copy: Copy
) -> None:
    many = [a_relation(f"tag:{n}", f"tag:{n + 1}") for n in range(40)]
    one, other = (follower_of(documents, copy, batch=3) for _ in range(2))
    async with following(one), following(other):
        for at, relation in enumerate(many):
            await documents.relations.put([relation])
            if at % 3 == 0:
                await documents.relations.remove(nodes=[many[at // 2].key.source])
            await asyncio.sleep(0)
        await until_in_step(one)
        await until_in_step(other)
    await assert_equal(documents, copy)


async def test_what_is_put_while_the_copy_is_away_comes_when_it_is_back(
    documents: MemoryDocuments, copy: Copy, follower: GraphFollower
) -> None:
    async with following(follower):
        await until_in_step(follower)
        copy.is_away = True
        await documents.relations.put([FIRST])
        assert not await follower.is_in_step()
        copy.is_away = False
        await until_in_step(follower)
    await assert_equal(documents, copy)


async def test_going_away_and_coming_back_are_told_once(
    documents: MemoryDocuments, copy: Copy, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    metrics = Metrics()
    store, log = documents.relations, documents.relation_log
    follower = GraphFollower(NAME, store, log, copy, metrics, PACE)
    copy.is_away = True
    async with following(follower):
        while copy.calls.count("ping") < 3:  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0.001)
        assert 'dinoserve_graph_up{follower="copy"} 0.0' in metrics.render().decode()
        copy.is_away = False
        await until_in_step(follower)
        while len(caplog.messages) < 2:  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0.001)
        await asyncio.sleep(0)
    assert caplog.messages == [
        "copy is away, and is told of relations later: It is away.",
        "copy is back and has every relation",
    ]
    assert 'dinoserve_graph_up{follower="copy"} 1.0' in metrics.render().decode()


async def test_a_bug_does_not_end_the_following(
    documents: MemoryDocuments, caplog: pytest.LogCaptureFixture
) -> None:
    failures = iter([RuntimeError("a bug")])

    class Buggy(Copy):
        async def ping(self) -> str:
            for failure in failures:
                raise failure
            return await super().ping()

    follower = follower_of(documents, Buggy())
    async with following(follower):
        await until_in_step(follower)
    assert "a bug" in caplog.text


async def test_what_fails_alone_lets_everything_else_pass(
    documents: MemoryDocuments,
) -> None:
    class Picky(Copy):
        async def put(self, relations: Sequence[Relation]) -> None:
            await super().put(relations)
            if FIRST in relations:
                raise UnavailableError("It refuses that.", port="graph")

    copy = Picky()
    follower = follower_of(documents, copy)
    many = [a_relation("tag:x", f"tag:{n}") for n in range(40)]
    await documents.relations.put([FIRST, *many])
    assert await follower.catch_up() == 40
    assert follower.set_aside == 1
    [mark] = await documents.relation_log.marked(NAME, 99)
    assert mark.key == FIRST.key
    assert not await follower.is_in_step()


async def test_a_copy_that_refuses_one_after_the_other_is_taken_for_away(
    documents: MemoryDocuments,
) -> None:
    class Refusing(Copy):
        async def put(self, relations: Sequence[Relation]) -> None:
            await super().put(relations)
            raise UnavailableError("It refuses all.", port="graph")

    copy = Refusing()
    many = [a_relation("tag:x", f"tag:{n}") for n in range(40)]
    await documents.relations.put(many)
    with pytest.raises(UnavailableError):
        await follower_of(documents, copy).catch_up()
    assert copy.calls.count("put") < 8
