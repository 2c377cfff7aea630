"""Keeping a database small."""

from typing import Final, Protocol

DROP_BATCH: Final = 500
"""Vectors that one call drops at most, so that other writes get their turn."""


class Upkeep(Protocol):
    """Taking out of a database what is of no use any more, a little at a time."""

    async def drop(self, recipe: str, keep: str, collection: str | None) -> list[str]:
        """Erase up to `DROP_BATCH` vectors of a recipe; return whose: asset ids.

        Only of assets that have a vector of `keep` as well, so that none loses its
        last one. An empty list: there is none left. It is told as any change is.

        Args:
            recipe: whose vectors go; ValueError if it is `keep`.
            keep: the recipe that stays.
            collection: only of this one; None: of all.
        """
        ...

    async def size(self) -> int | None:
        """Return the bytes of the database; None: it keeps its space by itself."""
        ...

    async def shrink(self) -> bool:
        """Give some space back that nothing uses; tell whether there may be more.

        It takes a moment only: other writes get their turn in between.
        """
        ...
