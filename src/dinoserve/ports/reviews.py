"""Where it is kept who is who in pictures, as somebody decided."""

from collections.abc import Sequence
from typing import Protocol

from dinoserve.domain.character_reviews import ReviewedPair


class ReviewStore(Protocol):
    """Labelled pairs of assets; they go with either asset, whoever erases it."""

    async def put(self, collection: str, reviewed: Sequence[ReviewedPair]) -> None:
        """Store each, in place of what was decided of the same two.

        Where one of the two is no asset of the collection: nothing is stored.
        """
        ...

    async def get(self, collection: str) -> list[ReviewedPair]:
        """Return all of a collection. Order: by left id, then by right id."""
        ...

    async def remove(self, collection: str) -> int:
        """Erase all of a collection; return how many there were."""
        ...
