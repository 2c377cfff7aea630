"""A graph in SQLite or networkx, filled and walked: a process of its own.

`python -m benchmarks.related FOLDER RELATIONS sqlite|networkx` prints a JSON object:
milliseconds (p50) of each question, relations a second of the upsert, and `memory_mb`,
the most that the process had.
"""

import asyncio
import json
import math
import resource
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
from numpy.typing import NDArray

from dinoserve.adapters.sqlite import SqliteDocuments
from dinoserve.domain.graph_paths import PathSearch
from dinoserve.domain.graph_walks import Bounds
from dinoserve.domain.groups import components
from dinoserve.domain.relations import Reach, Relation, RelationKey, Scope
from dinoserve.ports import RelationStore
from dinoserve.services.graph_walking import connect, spread, whole

DEGREE: Final = 10
"""Relations that begin at a node, on average."""
BATCH: Final = 10_000
_BLOCKS: Final = 10
_ASKED: Final = 100
_PATHS: Final = 20
_MOST: Final = 10_000_000
_OUT: Final = Reach(direction="out")


def edges(relations: int) -> tuple[NDArray[np.int64], ...]:
    """Return int64 (relations,) sources, targets, and weights in millionths.

    Nine tenths of the nodes are one block and the rest ten, that no relation joins.
    Targets are skewed: of a block's nodes x in [0, 1) it is x squared, so that a few
    have thousands. Sources are in order, as a job goes through assets.
    """
    rng = np.random.default_rng(7)
    source = np.arange(relations) // DEGREE
    small = max(relations // DEGREE // 100, 2)
    first = relations // DEGREE - _BLOCKS * small
    start = np.where(source < first, 0, source - (source - first) % small)
    size = np.where(source < first, first, small)
    target = start + (size * rng.random(relations) ** 2).astype(np.int64)
    target = np.where(target == source, start + (source - start + 1) % size, target)
    return source, target, rng.integers(500_000, 1_000_000, relations)


def name(node: int) -> str:
    """Return the id of a node, as long as that of an asset."""
    return f"entity:{node:032x}"


async def in_sqlite(folder: Path, relations: int) -> dict[str, float]:
    """Return what it takes in the document store, with the walks of the service."""
    async with SqliteDocuments.open(folder / "documents.sqlite") as documents:
        store = documents.relations
        took = 0.0
        for batch in _batches(relations):
            start = time.perf_counter()
            await store.put(batch)
            took += time.perf_counter() - start
        figures = {"upsert": relations / took}
        for hops in (1, 2, 3):
            figures[f"{hops} hops"] = await _median(
                lambda node, hops=hops: _spread(store, node, hops), _asked(relations)
            )
        pairs = _asked(relations)[: 2 * _PATHS]
        ends = dict(zip(pairs[::2], pairs[1::2], strict=True))
        figures["strongest path"] = await _median(
            lambda node: _connect(store, node, ends[node]), list(ends)
        )
        figures["components"] = await _median(lambda _: _parts(store), [0, 1, 2])
        return figures


def in_networkx(relations: int) -> dict[str, float]:
    """Return what the same takes in a graph of networkx."""
    import networkx as nx  # noqa: PLC0415 - its memory is not that of the other

    start = time.perf_counter()
    graph = cast("Any", nx.DiGraph())
    columns = (column.tolist() for column in edges(relations))
    for source, target, millionths in zip(*columns, strict=True):
        graph.add_edge(name(source), name(target), cost=-math.log(millionths / 1e6))
    figures = {"upsert": relations / (time.perf_counter() - start)}

    def p50(ask: Callable[[int], object], nodes: list[int]) -> float:
        return statistics.median(_timed(ask, node) for node in nodes)

    for hops in (1, 2, 3):
        figures[f"{hops} hops"] = p50(
            lambda node, hops=hops: nx.single_source_shortest_path_length(
                graph, name(node), cutoff=hops
            ),
            _asked(relations),
        )
    pairs = _asked(relations)[: 2 * _PATHS]
    ends = dict(zip(pairs[::2], pairs[1::2], strict=True))

    def path(node: int) -> None:
        try:
            nx.bidirectional_dijkstra(graph, name(node), name(ends[node]), "cost")
        except nx.NetworkXNoPath:
            return

    figures["strongest path"] = p50(path, list(ends))
    figures["components"] = p50(
        lambda _: list(nx.weakly_connected_components(graph)), [0, 1, 2]
    )
    return figures


def _batches(relations: int) -> Iterator[list[Relation]]:
    columns = edges(relations)
    now = datetime.now(UTC)
    for start in range(0, relations, BATCH):
        some = (column[start : start + BATCH].tolist() for column in columns)
        yield [
            Relation(_key(source, target), millionths / 1e6, now, "benchmark")
            for source, target, millionths in zip(*some, strict=True)
        ]


def _key(source: int, target: int) -> RelationKey:
    return RelationKey(name(source), name(target), "similar")


def _asked(relations: int) -> list[int]:
    """Return nodes of the large block, by chance but always the same."""
    large = relations // DEGREE * 9 // 10
    return np.random.default_rng(8).permutation(large)[:_ASKED].tolist()


async def _spread(store: RelationStore, node: int, hops: int) -> None:
    await spread(store, [name(node)], _OUT, Bounds(hops))


async def _connect(store: RelationStore, node: int, other: int) -> None:
    await connect(store, PathSearch((name(node), name(other)), "strongest", _OUT))


async def _parts(store: RelationStore) -> None:
    found = await whole(store, Scope(), _MOST)
    await asyncio.to_thread(components, len(found.nodes), found.source, found.target)


async def _median(ask: Callable[[int], Awaitable[None]], nodes: list[int]) -> float:
    took_ms: list[float] = []
    for node in nodes:
        start = time.perf_counter()
        await ask(node)
        took_ms.append((time.perf_counter() - start) * 1000)
    return statistics.median(took_ms)


def _timed(ask: Callable[[int], object], node: int) -> float:
    start = time.perf_counter()
    ask(node)
    return (time.perf_counter() - start) * 1000


def _main(folder: str, relations: int, engine: str) -> None:
    if engine == "networkx":
        figures = in_networkx(relations)
    else:
        figures = asyncio.run(in_sqlite(Path(folder), relations))
    figures["memory_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps(figures))


if __name__ == "__main__":
    _main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
