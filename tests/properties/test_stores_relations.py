"""Relations in a store beside the same in a plain dictionary."""

import asyncio
import tempfile
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from pathlib import Path
from typing import TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dinoserve.adapters.memory import MemoryDocuments
from dinoserve.adapters.sqlite import SqliteDocuments
from dinoserve.domain.relations import Edge, Reach, RelationKey, Scope
from dinoserve.ports import DocumentStore, RelationLog
from relations import a_relation, scanned

Model: TypeAlias = dict[RelationKey, float]
Opened: TypeAlias = Callable[[Path], AbstractAsyncContextManager[DocumentStore]]

NODES = st.sampled_from(["tag:a", "tag:b", "tag:B", "entity:é", "entity:🦕"])
KEYS = st.builds(RelationKey, NODES, NODES, st.sampled_from(["near", "far"]))
WEIGHTS = st.sampled_from([0.25, 0.5, 1.0])
PUTS = st.dictionaries(KEYS, WEIGHTS, max_size=6)
REMOVALS = st.tuples(st.lists(KEYS, max_size=3), st.lists(NODES, max_size=1))
STEPS = st.lists(st.one_of(PUTS, REMOVALS, st.none()), max_size=12)
REACHES = st.builds(
    Reach,
    kinds=st.sampled_from([(), ("near",), ("near", "far", "else")]),
    min_weight=st.sampled_from([0.0, 0.5]),
    direction=st.sampled_from(["out", "in", "any"]),
)


def in_sqlite(folder: Path) -> AbstractAsyncContextManager[DocumentStore]:
    return SqliteDocuments.open(folder / "documents.sqlite")


def in_memory(_: Path) -> AbstractAsyncContextManager[DocumentStore]:
    return nullcontext(MemoryDocuments())


@pytest.mark.parametrize("opened", [in_sqlite, in_memory])
@settings(deadline=None, max_examples=40)
@given(steps=STEPS, nodes=st.sets(NODES), reach=REACHES, limit=st.integers(1, 9))
def test_a_store_and_who_follows_it_have_what_a_dictionary_has(
    opened: Opened,
    steps: list[Model | tuple[list[RelationKey], list[str]] | None],
    nodes: set[str],
    reach: Reach,
    limit: int,
) -> None:
    async def compare() -> None:
        model: Model = {}
        seen: Model = {}
        with tempfile.TemporaryDirectory() as folder:
            async with opened(Path(folder)) as documents:
                await documents.relation_log.follow("seen")
                for step in steps:
                    await _do(documents, model, seen, step)
                await _drain(documents, seen)
                found = await documents.relations.touching(nodes, reach, limit)
                assert found == _touching(model, nodes, reach)[:limit]
                every = sorted(Edge(*key, weight) for key, weight in model.items())
                assert await scanned(documents.relations, Scope()) == every
                assert seen == model

    asyncio.run(compare())


async def _do(
    documents: DocumentStore,
    model: Model,
    seen: Model,
    step: Model | tuple[list[RelationKey], list[str]] | None,
) -> None:
    if step is None:
        await _drain(documents, seen)
    elif isinstance(step, dict):
        model |= step
        put = [a_relation(*key, weight=weight) for key, weight in step.items()]
        await documents.relations.put(put)
    else:
        _remove(model, *step)
        await documents.relations.remove(*step)


async def _drain(documents: DocumentStore, seen: Model) -> None:
    """Bring `seen` in step as a follower does: by what the marked are by now."""
    log: RelationLog = documents.relation_log
    while marks := await log.marked("seen", 3):
        keys = [mark.key for mark in marks if mark.key]
        gone = [mark.node for mark in marks if mark.node]
        _remove(seen, keys, gone)
        found = await documents.relations.touching(gone, Reach(), 999)
        found += [
            Edge(*one.key, one.weight) for one in await documents.relations.get(keys)
        ]
        seen |= {edge.key: edge.weight for edge in found}
        assert await log.settle("seen", marks) == []


def _remove(model: Model, keys: list[RelationKey], nodes: list[str]) -> None:
    for key in list(model):
        if key in keys or {key.source, key.target} & set(nodes):
            del model[key]


def _touching(model: Model, nodes: set[str], reach: Reach) -> list[Edge]:
    ends = {"out": ("source",), "in": ("target",), "any": ("source", "target")}
    found = [
        Edge(*key, weight)
        for key, weight in model.items()
        if nodes & {getattr(key, end) for end in ends[reach.direction]}
        and weight >= reach.min_weight
        and (not reach.kinds or key.kind in reach.kinds)
    ]
    return sorted(found, key=lambda edge: (-edge.weight, edge.key))
