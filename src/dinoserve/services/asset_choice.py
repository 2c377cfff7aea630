"""Which assets something is asked of: those named, or those of collections."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from dinoserve.domain.assets import Asset, Filter
from dinoserve.errors import AssetNotFoundError, InvalidInputError
from dinoserve.ports import DocumentStore

_BATCH = 1000


@dataclass(frozen=True, slots=True)
class Choice:
    """Assets by id, or all of some collections.

    Attributes:
        assets: ids; empty: those of the collections.
        collections: by name.
        field: what the request calls them, where one has more than may be asked of.
    """

    assets: Collection[str] = ()
    collections: Collection[str] = ()
    field: str = "collections"

    async def ids(
        self, documents: DocumentStore, limit: int, beyond: str
    ) -> Sequence[str]:
        """Return the ids, rising, each once.

        Args:
            documents: where they are.
            limit: so many at most.
            beyond: what to do with more, in words.

        Raises:
            InvalidInputError: they are more; `field` is `assets`, or `self.field`.
        """
        found = set(self.assets)
        field = "assets" if found else self.field
        if not found:
            for name in sorted(set(self.collections)):
                # Counted first: reading a million ids to refuse them takes long.
                counts = await documents.counts(name)
                least = len(found) + max(counts.values(), default=0)
                _check(least, limit, field, beyond)
                found |= await documents.ids(name, Filter())
        _check(len(found), limit, field, beyond)
        return sorted(found)


async def records_of(
    documents: DocumentStore, ids: Sequence[str]
) -> Mapping[str, Asset]:
    """Return the assets by id, in the order of the ids. Absent: left out."""
    found: dict[str, Asset] = {}
    for start in range(0, len(ids), _BATCH):
        some = ids[start : start + _BATCH]
        there = await documents.get(some)
        found |= {key: there[key] for key in some if key in there}
    return found


def check_all_there(ids: Sequence[str], found: Mapping[str, Asset]) -> None:
    """Pass if every asset was found; else AssetNotFoundError."""
    for key in ids:
        if key not in found:
            raise AssetNotFoundError(f"No asset has the id {key}.", value=key)


def _check(count: int, limit: int, field: str, beyond: str) -> None:
    if count > limit:
        raise InvalidInputError(
            f"There are {count} assets or more; {limit} may be asked of at once."
            f" {beyond}",
            field=field,
            limit=limit,
            value=count,
        )
