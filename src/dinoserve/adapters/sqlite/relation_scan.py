"""Every relation of a scope as columns, read from SQLite in blocks."""

import sqlite3
from collections.abc import AsyncGenerator, Sequence
from itertools import chain
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dinoserve.adapters.sqlite.database import Database
from dinoserve.adapters.sqlite.relation_names import (
    Table,
    as_list,
    names,
    numbers,
    one_state,
)
from dinoserve.domain.relations import EdgeBlock, Scope

# About 5 MB of rows at a time.
BATCH: Final = 20_000

_COLUMNS: Final = 4
_KEY: Final = ("source", "target", "kind")
_LAST: Final = """SELECT source, target, kind FROM relation
    ORDER BY source DESC, target DESC, kind DESC LIMIT 1"""
_BLOCK: Final = """SELECT source, target, kind, weight FROM relation
    WHERE (source, target, kind) > (:source, :target, :kind)
    AND (source, target, kind) <= (:last_source, :last_target, :last_kind)
    AND weight >= :min_weight
    AND (:kinds IS NULL OR kind IN (SELECT value FROM json_each(:kinds)))
    AND (:collection IS NULL OR collection =
        (SELECT id FROM relation_label WHERE name = :collection))
    ORDER BY source, target, kind LIMIT :limit"""


async def scan(database: Database, scope: Scope) -> AsyncGenerator[EdgeBlock]:
    """Yield every relation of the scope, `BATCH` at a time, by numbers of nodes."""
    last = await database.read(_last)
    scanning = _Scanning(scope, last)
    while block := await database.read(scanning.block):
        yield block


def _last(connection: sqlite3.Connection) -> Sequence[int]:
    return connection.execute(_LAST).fetchone() or (0, 0, 0)


class _Scanning:
    """Where a scan is, and what its numbers stand for."""

    def __init__(self, scope: Scope, last: Sequence[int]) -> None:
        self._scope = scope
        # A fixed end, or steady writes would keep the scan running for ever.
        self._last = last
        self._place: Sequence[int] = (0, 0, 0)
        self._nodes = _Numbering("relation_node")
        self._kinds = _Numbering("relation_label")

    def block(self, connection: sqlite3.Connection) -> EdgeBlock | None:
        """Return the next relations; None: there are no more."""
        with one_state(connection):
            rows = connection.execute(_BLOCK, self._meant(connection)).fetchall()
            if not rows:
                return None
            self._place = rows[-1][:3]
            return self._columns(connection, rows)

    def _meant(self, connection: sqlite3.Connection) -> dict[str, Any]:
        kinds = self._scope.kinds
        known = numbers(connection, "relation_label", kinds).values()
        return {
            **dict(zip(_KEY, self._place, strict=True)),
            **dict(zip((f"last_{name}" for name in _KEY), self._last, strict=True)),
            "min_weight": self._scope.min_weight,
            "kinds": as_list(known) if kinds else None,
            "collection": self._scope.collection,
            "limit": BATCH,
        }

    def _columns(
        self, connection: sqlite3.Connection, rows: Sequence[tuple[Any, ...]]
    ) -> EdgeBlock:
        # float64 holds every number of a node: they stay far below 2**53.
        flat = np.fromiter(
            chain.from_iterable(rows), np.float64, len(rows) * _COLUMNS
        ).reshape(-1, _COLUMNS)
        found = flat[:, :3].astype(np.int64)
        return EdgeBlock(
            nodes=self._nodes.add(connection, found[:, :2]),
            kinds=self._kinds.add(connection, found[:, 2]),
            source=self._nodes.of(found[:, 0]),
            target=self._nodes.of(found[:, 1]),
            kind=self._kinds.of(found[:, 2]),
            weight=flat[:, 3].copy(),
        )


class _Numbering:
    """Numbers from 0 on for the numbers of a table, as they first appear."""

    def __init__(self, table: Table) -> None:
        self._table: Table = table
        self._count = 0
        self._of = np.full(1024, -1, np.int32)

    def add(
        self, connection: sqlite3.Connection, found: NDArray[np.int64]
    ) -> list[str]:
        """Number those that are new; return their names, in order."""
        self._reserve(int(found.max()) + 1)
        new = np.unique(found[self._of[found] < 0])
        self._of[new] = np.arange(self._count, self._count + len(new))
        self._count += len(new)
        named = names(connection, self._table, new.tolist())
        return [named[each] for each in new.tolist()]

    def of(self, found: NDArray[np.int64]) -> NDArray[np.int32]:
        """Return int32 (n,), the numbers of these."""
        return self._of[found]

    def _reserve(self, size: int) -> None:
        if size > len(self._of):
            more = np.full(max(size, 2 * len(self._of)) - len(self._of), -1, np.int32)
            self._of = np.concatenate([self._of, more])
