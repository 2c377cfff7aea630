"""Pages of a list: newest first, continued by an opaque cursor."""

import base64
import binascii
import re
from dataclasses import dataclass, field
from datetime import datetime

from dinoserve.domain.assets import ASSET_ID_PATTERN, Asset, Filter
from dinoserve.errors import InvalidInputError

MAX_PAGE = 1000


@dataclass(frozen=True, slots=True)
class Cursor:
    """The last asset of the page before: continue strictly after it."""

    created_at: datetime
    id: str

    def encode(self) -> str:
        """Return the cursor as URL-safe text."""
        raw = f"{self.created_at.isoformat()}|{self.id}".encode()
        return base64.urlsafe_b64encode(raw).decode().rstrip("=")

    @classmethod
    def decode(cls, text: str) -> "Cursor":
        """Return the cursor a page gave out.

        Raises:
            InvalidInputError: no page of ours gave out this text.
        """
        try:
            raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()
            time, _, asset = raw.partition("|")
            created_at = datetime.fromisoformat(time)
        except (ValueError, binascii.Error) as error:
            raise _not_ours(text) from error
        if created_at.utcoffset() is None or not re.fullmatch(ASSET_ID_PATTERN, asset):
            raise _not_ours(text)
        return cls(created_at, asset)


def _not_ours(text: str) -> InvalidInputError:
    return InvalidInputError(
        "This cursor was not given out by this list; start without one.",
        field="cursor",
        value=text[:80],
    )


@dataclass(frozen=True, slots=True)
class AssetQuery:
    """Which assets a page shows: newest first, ties by id.

    Attributes:
        collection: only this one; None means every collection.
        created_from: inclusive lower bound of `created_at`.
        created_until: exclusive upper bound of `created_at`.
        after: continue behind this cursor.
        limit: 1 to `MAX_PAGE` assets.
    """

    collection: str | None = None
    where: Filter = field(default_factory=Filter)
    created_from: datetime | None = None
    created_until: datetime | None = None
    after: Cursor | None = None
    limit: int = 50


@dataclass(frozen=True, slots=True)
class Page:
    """Some assets, and where the next page begins (None: this was the last)."""

    assets: list[Asset]
    next: Cursor | None
