"""Reading the graph: a walk goes over the copy while that has everything."""

from collections.abc import AsyncGenerator

import pytest

from dinoserve.adapters.memory import MemoryDocuments
from dinoserve.domain.relations import EdgeBlock, Scope
from dinoserve.errors import UnavailableError
from dinoserve.services.graph_following import GraphFollower, Pace, following
from dinoserve.services.graph_reading import FollowedCopy, GraphReading, Served
from dinoserve.telemetry import Metrics
from graph_copies import FIRST, NAME, Copy, assert_equal, follower_of, until_in_step
from relations import scanned


@pytest.fixture
def documents() -> MemoryDocuments:
    return MemoryDocuments()


@pytest.fixture
def copy() -> Copy:
    return Copy()


async def test_a_write_wakes_the_follower(documents: MemoryDocuments) -> None:
    copy = Copy()
    store, log = documents.relations, documents.relation_log
    never = Pace(look_s=3600)
    follower = GraphFollower(NAME, store, log, copy, Metrics(), never)
    async with following(follower):
        await until_in_step(follower)
        await documents.relations.put([FIRST])
        GraphReading(store, followers=[follower]).changed()
        await until_in_step(follower)
    await assert_equal(documents, copy)


async def read_from(documents: MemoryDocuments, copy: Copy) -> GraphReading:
    follower = follower_of(documents, copy)
    await follower.catch_up()
    return GraphReading(documents.relations, FollowedCopy("elsewhere", copy, follower))


async def test_a_copy_in_step_is_walked(documents: MemoryDocuments, copy: Copy) -> None:
    await documents.relations.put([FIRST])
    reading = await read_from(documents, copy)
    found = await reading.read(lambda store: store.get([FIRST.key]))
    assert found == Served([FIRST], "elsewhere")


async def test_what_was_put_is_seen_though_the_copy_is_behind(
    documents: MemoryDocuments, copy: Copy
) -> None:
    reading = await read_from(documents, copy)
    await documents.relations.put([FIRST])
    found = await reading.read(lambda store: store.get([FIRST.key]))
    assert found == Served([FIRST], "documents")


async def test_a_copy_that_fails_on_the_way_is_not_asked_until_it_is_back(
    documents: MemoryDocuments,
) -> None:
    class Failing(Copy):
        async def scan(self, scope: Scope) -> AsyncGenerator[EdgeBlock]:
            async for block in super().scan(scope):
                yield block
                raise UnavailableError("It broke off.", port="graph")

    copy = Failing()
    reading = await read_from(documents, copy)
    assert reading.copy
    await documents.relations.put([FIRST])
    await reading.copy.follower.catch_up()
    edges, by = await reading.read(lambda store: scanned(store, Scope()))
    assert (len(edges), by) == (1, "documents")
    _, by = await reading.read(lambda store: store.get([]))
    assert by == "documents"
    await reading.copy.follower.catch_up()
    assert (await reading.read(lambda store: store.get([]))).by == "elsewhere"


async def test_without_a_copy_the_documents_are_walked(
    documents: MemoryDocuments,
) -> None:
    reading = GraphReading(documents.relations)
    reading.changed()
    assert (await reading.read(lambda store: store.get([]))).by == "documents"
