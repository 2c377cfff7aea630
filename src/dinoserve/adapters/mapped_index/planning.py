"""Which path a search takes: every vector that is meant, or the graph."""

from dataclasses import dataclass
from typing import Final

# One candidate of a walk costs as much as comparing so many gathered rows: 2.1 µs to
# 0.22 µs (benchmarks/index.py).
_ROWS_PER_CANDIDATE: Final = 10


@dataclass(frozen=True, slots=True)
class Limits:
    """From which sizes on the index does what.

    Attributes:
        graph_from: vectors of a space; with fewer every search compares all.
        file_from: vectors that wait in memory until files are written.
        effort: candidates that a walk keeps at least (`efSearch`).
        links: per vector and layer of the graph, twice as many in the lowest (`M`).
        build_effort: candidates kept while a vector is linked (`efConstruction`).
        sample_every: so many graph searches, and one is compared with the truth.
        rebuild_share: of a file's vectors replaced or gone; more: written anew.
        erase_s: seconds after which an erased vector's bytes leave the files.
    """

    graph_from: int = 100_000
    file_from: int = 10_000
    effort: int = 300
    links: int = 32
    build_effort: int = 100
    sample_every: int = 100
    rebuild_share: float = 0.2
    erase_s: float = 3600.0


def walk_effort(limits: Limits, k: int, meant: int, rows: int) -> int | None:
    """Return how many candidates a walk must keep; None: comparing is cheaper.

    A walk passes vectors that are not meant as well, so it keeps the more candidates
    the fewer are meant: as many of them are then meant as without a filter.

    Args:
        limits: the effort without a filter.
        k: hits wanted.
        meant: vectors that may be hits.
        rows: vectors in the graph, at least `meant`.
    """
    if meant == 0:
        return None
    effort = max(limits.effort, 2 * k) * rows // meant
    return effort if effort * _ROWS_PER_CANDIDATE < meant else None
