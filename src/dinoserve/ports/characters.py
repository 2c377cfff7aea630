"""Where characters are kept, and what checks of assets against them found."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeAlias

from dinoserve.domain.characters import Character, Check
from dinoserve.domain.paging import Cursor
from dinoserve.ports.calibrations import CalibrationStore
from dinoserve.ports.reviews import ReviewStore

CharacterEdit: TypeAlias = Callable[[Character | None], Character]
"""From what is stored, None: nothing, to what shall be; it may be asked again."""


@dataclass(frozen=True, slots=True)
class CharacterQuery:
    """Which characters a page shows: newest first, then by descending id.

    Attributes:
        collection: only of this one; None: of all.
        after: continue behind this one.
        limit: at least 1.
    """

    collection: str | None = None
    after: Cursor | None = None
    limit: int = 50


@dataclass(frozen=True, slots=True)
class CheckQuery:
    """Which checks of a character a page shows: newest first, then by descending id.

    Attributes:
        recipe: that they were made under.
        after: continue behind the check of that time and asset.
        limit: at least 1.
    """

    character_id: str
    recipe: str
    after: Cursor | None = None
    limit: int = 50


class CharacterPage(NamedTuple):
    """Some characters, and where the next page begins (None: this was the last)."""

    characters: list[Character]
    next: Cursor | None


class CheckPage(NamedTuple):
    """Some checks, and where the next page begins (None: this was the last)."""

    checks: list[Check]
    next: Cursor | None


class CharacterStore(Protocol):
    """Characters with their references, and the newest check of each asset.

    An asset that is erased leaves the references, and its checks go with it: those of
    the asset itself and those that it was the best reference of.
    """

    @property
    def calibrations(self) -> CalibrationStore:
        """Return what scores of checks mean, kept in the same database."""
        ...

    @property
    def reviews(self) -> ReviewStore:
        """Return what was decided of pairs of assets, kept in the same database."""
        ...

    async def edit(self, character_id: str, edit: CharacterEdit) -> Character:
        """Store and return what `edit` makes of the character, in one transaction.

        What `edit` raises passes, and nothing is stored. A reference that is no asset:
        AssetNotFoundError.
        """
        ...

    async def get(self, character_id: str) -> Character | None:
        """Return the character. Absent: None."""
        ...

    async def find(self, query: CharacterQuery) -> CharacterPage:
        """Return a page of characters."""
        ...

    async def remove(self, character_id: str) -> bool:
        """Erase the character with its checks; tell whether it was there."""
        ...

    async def keep(self, checks: Sequence[Check]) -> None:
        """Store each, in place of the one of same character, asset and recipe.

        Where the character or one of the two assets is not there: nothing is stored.
        """
        ...

    async def checks(self, query: CheckQuery) -> CheckPage:
        """Return a page of the checks of a character. Absent: an empty one."""
        ...
