"""Copies of the graph in memory, and who brings them in step."""

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import replace

from dinoserve.adapters.memory import MemoryDocuments
from dinoserve.adapters.memory.relations import MemoryRelations
from dinoserve.domain.relations import Relation, RelationKey, Scope
from dinoserve.errors import UnavailableError
from dinoserve.services.graph_following import GraphFollower, Pace
from dinoserve.telemetry import Metrics
from relations import a_relation, scanned

NAME = "copy"
PACE = Pace(
    look_s=0.001,
    retry_s=0.001,
    most_s=0.002,
    apart_s=0,
    aside_s=0.001,
    most_aside_s=0.002,
)
FIRST, SECOND = a_relation("tag:a", "tag:b"), a_relation("tag:b", "tag:c")


class Copy(MemoryRelations):
    """A copy in memory that can be away."""

    def __init__(self) -> None:
        super().__init__(lambda _: True)
        self.whole = False
        self.is_away = False
        self.calls: list[str] = []

    async def is_whole(self) -> bool:
        return self.whole

    async def set_whole(self, *, is_whole: bool) -> None:
        self._reach("set_whole")
        self.whole = is_whole

    async def put(self, relations: Sequence[Relation]) -> None:
        self._reach("put")
        await super().put(relations)

    async def remove(
        self, keys: Collection[RelationKey] = (), nodes: Collection[str] = ()
    ) -> None:
        self._reach("remove")
        await super().remove(keys, nodes)

    async def ping(self) -> str:
        self._reach("ping")
        return "copy"

    def _reach(self, what: str) -> None:
        self.calls.append(what)
        if self.is_away:
            raise UnavailableError("It is away.", port="graph")


def follower_of(
    documents: MemoryDocuments, copy: Copy, batch: int = 1000
) -> GraphFollower:
    store, log = documents.relations, documents.relation_log
    pace = replace(PACE, batch=batch)
    return GraphFollower(NAME, store, log, copy, Metrics(), pace)


async def assert_equal(documents: MemoryDocuments, copy: Copy) -> None:
    kept = await scanned(documents.relations, Scope())
    assert await scanned(copy, Scope()) == kept


async def until_in_step(follower: GraphFollower) -> None:
    while not await follower.is_in_step():  # noqa: ASYNC110 - it tells nobody
        await asyncio.sleep(0)
