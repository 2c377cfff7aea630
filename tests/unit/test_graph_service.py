"""Walks over a hub, and what a request of many relations leaves behind."""

from datetime import UTC, datetime

import pytest

from dinoserve.adapters.clustering import LearnedClustering
from dinoserve.adapters.memory.documents import MemoryDocuments
from dinoserve.domain.relations import Reach, RelationKey
from dinoserve.errors import NodeNotFoundError
from dinoserve.services.graph import GraphService
from dinoserve.services.graph_reading import GraphReading
from dinoserve.services.graph_stating import Stated

HUB = "entity:hub"
SPOKES = 60_000


@pytest.fixture
def graph() -> GraphService:
    documents = MemoryDocuments()
    reading = GraphReading(documents.relations)
    return GraphService(
        documents, reading, LearnedClustering(), lambda: datetime.now(UTC)
    )


def spoke(number: int, weight: float = 0.5) -> Stated:
    return Stated(RelationKey(HUB, f"entity:{number}", "likes"), weight)


async def test_a_walk_from_a_hub_is_bounded_and_says_so(graph: GraphService) -> None:
    await graph.put([spoke(number) for number in range(SPOKES)])
    await graph.put([spoke(SPOKES - 1, 0.9)])

    page = await graph.neighbours(HUB, Reach(), depth=2, limit=3)

    assert page.is_truncated
    assert page.nodes[0].node == f"entity:{SPOKES - 1}"
    assert page.next is not None
    assert len(page.relations) == 3


async def test_a_path_over_a_hub_is_found(graph: GraphService) -> None:
    await graph.put([spoke(number) for number in range(SPOKES)])

    found = await graph.path(("entity:1", "entity:2"), "strongest", Reach())

    assert found.path is not None
    assert found.path.nodes == ["entity:1", HUB, "entity:2"]
    assert not found.is_truncated


async def test_a_relation_of_an_asset_that_is_not_there_stores_none(
    graph: GraphService,
) -> None:
    absent = Stated(RelationKey(HUB, "asset:" + "0" * 32, "likes"))

    with pytest.raises(NodeNotFoundError) as refused:
        await graph.put([spoke(1), absent])

    assert refused.value.extra["field"] == "relations[1].target"
    with pytest.raises(NodeNotFoundError):
        await graph.neighbours(HUB, Reach(), depth=1, limit=1)
