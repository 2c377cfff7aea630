"""Relations in SQLite beside networkx, each in a process of its own.

`python -m benchmarks.graph` measures 1 000 000 relations between 100 000 nodes.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from typing import Final, NamedTuple

from benchmarks.aims import Reached
from benchmarks.processes import ROOT, MeasuringError

_RELATIONS: Final = 1_000_000
# What we aim at with 1 000 000 relations: milliseconds, relations a second, MB.
_MOST: Final[Mapping[str, float]] = {
    "1 hops": 0.2,
    "2 hops": 0.5,
    "3 hops": 3,
    "strongest path": 20,
    "components": 1000,
    "memory_mb": 200,
}
_LEAST_UPSERT: Final = 50_000
_TIMEOUT_S: Final = 600


class GraphFigures(NamedTuple):
    """What was measured: beside what we aim at, and in words."""

    reached: list[Reached]
    notes: list[str]


def measure_graph(relations: int) -> GraphFigures:
    """Return what walks and writes of a graph of so many relations take.

    Raises:
        MeasuringError: a process failed.
    """
    own, theirs = (_figures(relations, engine) for engine in ("sqlite", "networkx"))
    upsert = Reached(
        what=f"graph of {relations} relations, upsert a second",
        value=own["upsert"],
        sign=">=",
        aim=_LEAST_UPSERT,
    )
    rest = [
        Reached(what=_what(relations, key), value=own[key], sign="<=", aim=most)
        for key, most in _MOST.items()
    ]
    notes = [
        f"{_what(relations, key)}: {own[key]:.2f} in SQLite, {theirs[key]:.2f} in"
        f" networkx, a ratio of {own[key] / theirs[key]:.2f}"
        for key in _MOST
    ]
    return GraphFigures([upsert, *rest], notes)


def _what(relations: int, key: str) -> str:
    unit = "MB of memory" if key == "memory_mb" else f"{key}, p50 ms"
    return f"graph of {relations} relations, {unit}"


def _figures(relations: int, engine: str) -> dict[str, float]:
    with tempfile.TemporaryDirectory(prefix="dinoserve-graph-") as folder:
        told = subprocess.run(
            [
                sys.executable,
                "-m",
                "benchmarks.related",
                folder,
                str(relations),
                engine,
            ],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
    if told.returncode:
        raise MeasuringError(f"the graph in {engine} failed:\n{told.stderr[-4000:]}")
    return json.loads(told.stdout)


def _main(relations: int) -> None:
    figures = measure_graph(relations)
    for line in [*figures.reached, *figures.notes]:
        print(line)


if __name__ == "__main__":
    _main(int(sys.argv[1]) if sys.argv[1:] else _RELATIONS)
