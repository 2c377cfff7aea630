"""Where the nearest vectors are found."""

from collections.abc import Collection, Mapping, Sequence
from typing import Literal, NamedTuple, Protocol, TypeAlias

from dinoserve.domain.similarity import Hit
from dinoserve.domain.vectors import Matrix, Vector


class Space(NamedTuple):
    """Where vectors may meet: one collection, one recipe."""

    collection: str
    recipe: str


SearchPath: TypeAlias = Literal["scan", "graph", "mongodb", "qdrant"]
"""How hits were found: every vector compared, a graph walked, or a server asked."""


class Nearest(NamedTuple):
    """What a search found, and how.

    Attributes:
        hits: best first, ties by asset id.
        path: what served it.
        is_exact: every vector that is meant was compared.
    """

    hits: list[Hit]
    path: SearchPath
    is_exact: bool


class VectorIndex(Protocol):
    """Nearest vectors; a cache of the document store, never the truth."""

    @property
    def reads_store(self) -> bool:
        """Tell whether it finds what the document store keeps without being given it.

        It must be told of changes all the same: the next search is to see them.
        """
        ...

    async def upsert(self, space: Space, ids: Sequence[str], vectors: Matrix) -> None:
        """Add or replace rows: float32 (len(ids), d), unit length.

        The next search sees them.
        """
        ...

    async def delete(self, space: Space, ids: Collection[str]) -> None:
        """Remove rows. Absent: nothing happens. The next search misses them."""
        ...

    async def search(
        self,
        space: Space,
        query: Vector,
        k: int,
        among: Collection[str] | None,
        *,
        exact: bool = False,
    ) -> Nearest:
        """Return the k greatest cosines, best first, ties by asset id.

        Args:
            space: only vectors of this space.
            query: float32 (d,), unit length.
            k: at least 1.
            among: only these asset ids; None means all. What a frozenset means is
                remembered, so the same one costs less when it comes again.
            exact: compare with every vector, whatever it costs.
        """
        ...

    async def retain(self, recipe: str, kept: Mapping[str, Collection[str]]) -> None:
        """Remove every row of a recipe that is not named here.

        For what outlived its process: the document store was read, and this is all
        there is. Nothing may be given or deleted meanwhile. Rows of other recipes go
        as well where no other process can search them.

        Args:
            recipe: whose rows.
            kept: asset ids by collection; empty: none stays.
        """
        ...

    async def count(self, space: Space) -> int:
        """Return how many vectors the space holds. Absent: 0."""
        ...

    async def ping(self) -> str:
        """Return what it is; raise UnavailableError if it cannot be asked."""
        ...
