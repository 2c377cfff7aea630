"""Where pictures lie that nobody gave us yet."""

from collections.abc import AsyncGenerator, Sequence
from typing import Protocol


class ImageListing(Protocol):
    """Pictures below a place, such as a folder; told apart by the ends of names."""

    def check(self, place: str) -> None:
        """Pass if pictures may be read there; nothing is looked at yet.

        Raises:
            InvalidInputError: they may not; what to do about it.
        """
        ...

    def names(self, place: str, after: str | None) -> AsyncGenerator[Sequence[str]]:
        """Yield the names of all pictures below the place, a thousand at a time.

        The order is always the same; nothing hidden is among them. Memory is bounded
        however many there are. What cannot be listed is a name that cannot be read.

        Args:
            place: that `check` passes.
            after: a name that this gave out; those behind it follow.

        Raises:
            InvalidInputError: the place is not where pictures may be read after all.
            NotFoundError: there is no such place.
        """
        ...

    async def read(self, name: str) -> bytes:
        """Return the bytes of one picture, as it is by now.

        Raises:
            InvalidInputError: it may not or cannot be read, or is too large.
            NotFoundError: it is not there.
        """
        ...
