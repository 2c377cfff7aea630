"""Where relations are kept, and who else is told of them."""

from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from typing import NamedTuple, Protocol

from dinoserve.domain.relations import (
    Edge,
    EdgeBlock,
    Reach,
    Relation,
    RelationKey,
    Scope,
)


class RelationSink(Protocol):
    """What takes relations; doing the same twice is the same as doing it once."""

    async def put(self, relations: Sequence[Relation]) -> None:
        """Store each, in place of the one of the same key: all of them, or none.

        At most 10,000 at a time, and as many erased: a store has to do it in one
        transaction, within the time that it may take.

        Where assets and characters are kept in the same place, a relation of one that
        is not there is refused: NodeNotFoundError.
        """
        ...

    async def remove(
        self, keys: Collection[RelationKey] = (), nodes: Collection[str] = ()
    ) -> None:
        """Erase these relations, and every relation of these nodes. Absent: nothing."""
        ...


class RelationStore(RelationSink, Protocol):
    """Relations, and the ways along them.

    A node is there as long as a relation has it. Relations of an asset or character
    go with it, where it is kept in the same place.
    """

    async def get(self, keys: Collection[RelationKey]) -> list[Relation]:
        """Return the relations. Absent: left out. Order: none promised."""
        ...

    async def touching(
        self, nodes: Collection[str], reach: Reach, limit: int
    ) -> list[Edge]:
        """Return relations that lead from these nodes, each once, at most `limit`.

        Order: the strongest first, then by source, target and kind (as code points).
        `direction` is seen from the nodes.
        """
        ...

    def scan(self, scope: Scope) -> AsyncGenerator[EdgeBlock]:
        """Yield every relation of the scope once, in blocks of bounded size.

        Order: none promised. Relations put while it runs may be missing.
        """
        ...

    async def ping(self) -> str:
        """Return name and version of the store; raise UnavailableError."""
        ...


class RelationCopy(RelationSink, Protocol):
    """Relations kept once more elsewhere, by somebody who follows the log."""

    async def is_whole(self) -> bool:
        """Tell whether everything was put into it, or marked, since it was made."""
        ...

    async def set_whole(self, *, is_whole: bool) -> None:
        """Keep, where the copy is, what `is_whole` tells."""
        ...

    def scan(self, scope: Scope) -> AsyncGenerator[EdgeBlock]:
        """Yield what it has, as `RelationStore.scan`."""
        ...

    async def ping(self) -> str:
        """Return name and version of the place; raise UnavailableError."""
        ...


class Mark(NamedTuple):
    """That a follower has not seen what became of a relation, or of a node.

    Attributes:
        key: of the relation; of a node: None.
        node: its id; of a relation: None.
        version: rises whenever it is marked anew; from 1.
        is_edited: of a node: its record was changed; else all its relations went.
    """

    key: RelationKey | None
    node: str | None
    version: int
    is_edited: bool = False


class RelationLog(Protocol):
    """What followers have yet to be told; kept beside the relations.

    `RelationSink.put` and `remove`, and the erasure of an asset or character, mark
    what they touch for every follower in their own transaction; where a node goes,
    also every node that has no relation any more. So does a change of what the record
    of an asset or character says, where that has relations.
    """

    async def follow(self, follower: str) -> bool:
        """Mark for this follower from now on; tell whether it had been begun before.

        Nothing that was put before is marked.
        """
        ...

    async def unfollow(self, follower: str) -> None:
        """Forget the follower with its marks. Absent: nothing happens."""
        ...

    async def followers(self, limit: int) -> Mapping[str, int]:
        """Return who follows, and how many marks each has, counted up to `limit`."""
        ...

    async def marked(self, follower: str, limit: int) -> list[Mark]:
        """Return marks, the oldest first, at most so many."""
        ...

    async def settle(self, follower: str, marks: Collection[Mark]) -> list[Mark]:
        """Take marks off; return those that were taken off or renewed by others.

        What was renewed meanwhile stays marked. A mark that somebody else took off, or
        that never was, is made anew: who applied it last is not known.
        """
        ...
