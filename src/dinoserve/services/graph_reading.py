"""Reading: a walk goes over the copy that is made for it, else over the store."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, Generic, NamedTuple, TypeVar

from dinoserve.errors import UnavailableError
from dinoserve.ports import RelationStore
from dinoserve.services.graph_following import GraphFollower

DOCUMENTS: Final = "documents"
"""What `Served.by` is where the document store served."""

T = TypeVar("T")


class Served(NamedTuple, Generic[T]):
    """What a walk found, and over which store it went.

    Attributes:
        by: `documents`, or the name of the copy, e.g. `arangodb`.
    """

    found: T
    by: str


@dataclass(frozen=True, slots=True)
class FollowedCopy:
    """A copy that can be walked.

    Attributes:
        name: told in answers.
        relations: the copy.
        follower: keeps it in step.
    """

    name: str
    relations: RelationStore
    follower: GraphFollower


@dataclass(frozen=True, slots=True)
class GraphReading:
    """Chooses where a walk goes.

    Attributes:
        kept: the document store's relations, which have everything.
        copy: None where there is none.
        followers: of this copy and of every other.
    """

    kept: RelationStore
    copy: FollowedCopy | None = None
    followers: Sequence[GraphFollower] = ()

    async def read(self, walk: Callable[[RelationStore], Awaitable[T]]) -> Served[T]:
        """Return what the walk finds.

        The copy is walked while it answers and lacks nothing that was put or erased
        before; where it fails on the way, the walk is begun again.

        Args:
            walk: goes over one store from beginning to end.

        Raises:
            UnavailableError: the document store does not answer.
        """
        copy = self.copy
        if copy and await copy.follower.is_in_step():
            try:
                return Served(await walk(copy.relations), copy.name)
            except UnavailableError:
                copy.follower.lost()
        return Served(await walk(self.kept), DOCUMENTS)

    def changed(self) -> None:
        """Tell every follower that there is something new."""
        for follower in self.followers:
            follower.wake()
