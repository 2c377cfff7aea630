"""The line: who waits for the device, and whose turn is next."""

from collections.abc import Collection, Hashable, Sequence
from itertools import chain
from typing import Generic, Protocol, TypeVar

from dinoserve.domain.urgency import Priority

BULK_TURN = 4
"""While bulk waits, at least one batch in this many is headed by bulk."""


class Place(Protocol):
    """A place in the line; each is a thing of its own, however equal."""

    @property
    def priority(self) -> Priority:
        """Return whether somebody waits for the answer now."""
        ...

    @property
    def group(self) -> Hashable:
        """Return what all of one batch have alike."""
        ...

    @property
    def cost(self) -> int:
        """Return what it adds to its batch, at least 1."""
        ...


Who = TypeVar("Who", bound=Place)


class Line(Generic[Who]):
    """First come, first served, by priority; those of one group go together.

    Interactive goes before bulk, except that bulk has every `BULK_TURN`-th batch. The
    first in line is always taken; those of its group that wait behind it come along
    while there is room, in a batch of bulk interactive ones as well, but not the other
    way round: they would make it longer. So whoever waits comes nearer the front with
    every batch, and a batch never mixes groups. Not for several threads at once.
    """

    def __init__(self) -> None:
        self._lines: dict[Priority, list[Who]] = {"interactive": [], "bulk": []}
        self._without_bulk = 0

    def __len__(self) -> int:
        return sum(map(len, self._lines.values()))

    def join(self, places: Sequence[Who], *, ahead: bool = False) -> None:
        """Add at the end, or ahead of everyone of the same priority."""
        for place in reversed(places) if ahead else places:
            line = self._lines[place.priority]
            line.insert(0 if ahead else len(line), place)

    def leave(self, places: Collection[Who]) -> None:
        """Remove these, as far as they are here."""
        gone = set(map(id, places))
        for line in self._lines.values():
            line[:] = [place for place in line if id(place) not in gone]

    def take(self, limit: int) -> list[Who]:
        """Remove and return the next batch; somebody must be here.

        Args:
            limit: what the batch may cost; a first in line dearer than this goes alone.
        """
        line, company = self._in_turn()
        batch: list[Who] = []
        room = limit
        for place in chain(line, company):
            if place.group != line[0].group:
                continue
            if batch and place.cost > room:
                break
            batch.append(place)
            room -= place.cost
        self.leave(batch)
        return batch

    def clear(self) -> list[Who]:
        """Remove and return everyone."""
        everyone = list(chain(*self._lines.values()))
        self.leave(everyone)
        return everyone

    def _in_turn(self) -> tuple[list[Who], list[Who]]:
        """Return the line whose turn it is, and who else may come along."""
        interactive, bulk = self._lines["interactive"], self._lines["bulk"]
        is_turn_of_bulk = not interactive or self._without_bulk == BULK_TURN - 1
        if bulk and is_turn_of_bulk:
            self._without_bulk = 0
            return bulk, interactive
        self._without_bulk = self._without_bulk + 1 if bulk else 0
        return interactive, []
