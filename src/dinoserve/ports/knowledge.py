"""A knowledge graph elsewhere that answers questions in words."""

from collections.abc import Collection
from typing import Protocol

from dinoserve.domain.knowledge import Answer, Facts, Question


class Knowledge(Protocol):
    """What takes facts, forgets them, and answers from them.

    All of it fails with UnavailableError where it does not answer, or where what it
    was told cannot be read back. Doing the same twice is the same as doing it once.
    """

    async def put(self, facts: Facts) -> None:
        """Store each, in place of the one of the same name, or the same two names.

        It returns only once the facts were found by reading.
        """
        ...

    async def forget(self, names: Collection[str]) -> None:
        """Erase the entities of these names, and every link of theirs.

        It returns only once none was found by reading. Absent: nothing happens.
        """
        ...

    async def has(self, name: str) -> bool:
        """Tell whether the entity of this name is found by reading."""
        ...

    async def ask(self, question: Question) -> Answer:
        """Return an answer, and the context that was found for it.

        Raises:
            DeadlineError: it answers too slowly.
        """
        ...

    async def ping(self) -> str:
        """Return name and version; raise UnavailableError."""
        ...
