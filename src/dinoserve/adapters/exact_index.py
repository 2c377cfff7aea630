"""Nearest vectors by comparing with all: exact, in memory, one product a search."""

import asyncio
from collections.abc import Collection, Mapping, Sequence

from dinoserve.domain.vector_rows import VectorRows
from dinoserve.domain.vectors import Matrix, Vector
from dinoserve.ports import Nearest, Space


class ExactIndex:
    """`ports.VectorIndex` that compares the query with every vector.

    Raises:
        ValueError: a width that differs from the space's, or k below 1.
    """

    reads_store = False

    def __init__(self) -> None:
        self._spaces: dict[Space, VectorRows] = {}

    async def upsert(self, space: Space, ids: Sequence[str], vectors: Matrix) -> None:
        """Add or replace rows: float32 (len(ids), d), unit length."""
        if vectors.ndim != 2 or len(ids) != len(vectors):  # noqa: PLR2004 - a matrix
            raise ValueError(f"{len(ids)} ids came with vectors {vectors.shape}")
        if not ids:
            return
        rows = self._spaces.setdefault(space, VectorRows(vectors.shape[1]))
        await asyncio.to_thread(rows.upsert, ids, vectors)

    async def delete(self, space: Space, ids: Collection[str]) -> None:
        """Remove rows. Absent: nothing happens."""
        if rows := self._spaces.get(space):
            await asyncio.to_thread(rows.delete, ids)

    async def retain(self, recipe: str, kept: Mapping[str, Collection[str]]) -> None:
        """Remove every row that is not named here, of whatever recipe."""
        named = {Space(name, recipe): ids for name, ids in kept.items()}
        for space, rows in list(self._spaces.items()):
            await self.delete(space, set(rows.ids) - set(named.get(space, ())))

    async def search(
        self,
        space: Space,
        query: Vector,
        k: int,
        among: Collection[str] | None,
        *,
        exact: bool = True,  # noqa: ARG002 - it always is
    ) -> Nearest:
        """Return the k greatest cosines, best first, ties by ascending asset id."""
        if k < 1:
            raise ValueError(f"k is {k}, but must be at least 1")
        rows = self._spaces.get(space)
        if rows is None:
            return Nearest([], "scan", is_exact=True)
        hits = await asyncio.to_thread(rows.search, query, k, among)
        return Nearest(hits, "scan", is_exact=True)

    async def count(self, space: Space) -> int:
        """Return how many vectors the space holds. Absent: 0."""
        rows = self._spaces.get(space)
        return 0 if rows is None else len(rows)

    async def ping(self) -> str:
        """Return what it is, and how many vectors it holds."""
        held = sum(map(len, self._spaces.values()))
        return f"exact, in this process, {held} vectors"
