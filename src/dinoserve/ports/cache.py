"""Where answers are kept for a while, so that they need not be made again."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol, TypeAlias

Kind: TypeAlias = Literal["vector", "record", "image", "features", "hits", "ids"]


class Slot(NamedTuple):
    """What a value is kept under; equal slots mean equal values.

    Attributes:
        kind: what sort of value it is, for figures and policy.
        owner: what the value was made of: an asset id, the SHA-256 of an image's bytes
            or a space of vectors. Erasing the owner erases it.
        name: everything else that decides the value, e.g. the recipe; nothing lossy.
    """

    kind: Kind
    owner: str
    name: str = ""


class Seen(NamedTuple):
    """What a cache knows of a slot.

    Attributes:
        value: what was kept; None is a miss.
        ticket: gives the right to write the slot until its owner is erased; None where
            nothing can be written now.
    """

    value: bytes | None
    ticket: str | None


@dataclass(frozen=True, slots=True)
class Entry:
    """A value on its way into a cache.

    Attributes:
        ticket: of the read that missed, so that a value made from what an owner was
            before it was erased is never kept.
        ttl_s: seconds until it is forgotten, above 0.
    """

    slot: Slot
    value: bytes
    ticket: str
    ttl_s: float


class Cache(Protocol):
    """Values by slot: forgets when it likes, never gives a wrong one, never fails.

    A cache that cannot be reached misses, and keeps nothing. What is erased meanwhile
    is erased before the cache is used again.
    """

    async def read(self, slots: Sequence[Slot]) -> list[Seen]:
        """Return what is known of every slot, in order; one round trip."""
        ...

    async def write(self, entries: Collection[Entry]) -> None:
        """Keep values, unless their owner was erased since the ticket was given."""
        ...

    async def erase(self, owners: Collection[str]) -> None:
        """Forget every value of these owners, those that are being made included."""
        ...

    async def claim(self, slot: Slot, seconds: float) -> str | None:
        """Return a token if nobody else is making this value; None if somebody is.

        The claim ends by itself after these seconds. A cache that cannot be reached
        gives one to everybody.
        """
        ...

    async def release(self, slot: Slot, token: str) -> None:
        """End a claim. One that ended before: nothing happens."""
        ...

    async def ping(self) -> str:
        """Return name and version of the cache; raise UnavailableError."""
        ...


class LocalCache(Cache, Protocol):
    """A cache of this process alone."""

    async def clear(self) -> None:
        """Forget every value, those that are being made included."""
        ...
