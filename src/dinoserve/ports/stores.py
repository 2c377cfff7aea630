"""Where records and vectors are kept."""

from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Collection,
    Sequence,
)
from collections.abc import (
    Set as AbstractSet,
)
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

from dinoserve.domain.assets import Asset, Filter, Metadata
from dinoserve.domain.paging import AssetQuery, Page
from dinoserve.domain.recipes import Recipe
from dinoserve.domain.vectors import Embedding, Vector
from dinoserve.ports.characters import CharacterStore
from dinoserve.ports.index import Space
from dinoserve.ports.jobs import JobStore
from dinoserve.ports.objects import ObjectStore
from dinoserve.ports.relations import RelationLog, RelationStore
from dinoserve.ports.traits import TraitStore
from dinoserve.ports.upkeep import Upkeep


@dataclass(frozen=True, slots=True)
class AssetChanges:
    """What to change; None leaves a field, `clear_subject` makes the subject None."""

    tags: tuple[str, ...] | None = None
    metadata: Metadata | None = None
    subject: str | None = None
    clear_subject: bool = False


class AssetStore(Protocol):
    """Records of assets, each with the embeddings stored for it."""

    async def add(self, asset: Asset, embedding: Embedding | None) -> bool:
        """Store asset and embedding together; return True if the asset is new.

        An asset that exists keeps its record; the embedding is stored all the same.
        Its bytes are no garbage from then on. `asset.embeddings` is ignored.

        Raises:
            UnavailableError: the bytes are claimed in `GarbageLog`; nothing is stored.
        """
        ...

    async def get(self, ids: Collection[str]) -> dict[str, Asset]:
        """Return the assets by id. Absent: left out."""
        ...

    async def find(self, query: AssetQuery) -> Page:
        """Return a page. Order: newest first, then by descending id."""
        ...

    async def ids(self, collection: str, where: Filter) -> AbstractSet[str]:
        """Return the ids of every asset of the collection that matches."""
        ...

    async def update(self, asset_id: str, changes: AssetChanges) -> Asset:
        """Return the asset after the change.

        Absent: AssetNotFoundError.
        """
        ...

    async def remove(self, asset_id: str) -> Asset:
        """Erase record and embeddings; return what was erased.

        If no other asset has the same bytes, they are marked in `GarbageLog` in the
        same transaction, as if long ago; a mark that is there stays as it is. Absent:
        AssetNotFoundError.
        """
        ...


class IndexEntry(NamedTuple):
    """One vector on its way into the index."""

    collection: str
    asset_id: str
    vector: Vector


class EmbeddingStore(Protocol):
    """Vectors by asset and recipe, and what the recipes are."""

    async def put(self, embedding: Embedding) -> None:
        """Store or replace. Absent asset: AssetNotFoundError."""
        ...

    async def vectors(self, ids: Collection[str], recipe: str) -> dict[str, Vector]:
        """Return float32 vectors by asset id. Absent: left out."""
        ...

    def scan(self, recipe: str) -> AsyncIterator[Sequence[IndexEntry]]:
        """Yield every vector of the recipe in batches of bounded size.

        Order: none promised. Vectors stored while it runs may be missing. A store that
        fails for a moment is asked again for what is still to come.
        """
        ...

    async def counts(
        self, collection: str | None = None, lacking: str | None = None
    ) -> dict[str, int]:
        """Return how many embeddings each recipe id has; none: left out.

        Only of this collection, and of assets that lack an embedding of `lacking`.
        """
        ...

    async def save_recipe(self, recipe: Recipe) -> None:
        """Keep the recipe's contents under its id; twice is the same as once."""
        ...

    async def recipes(self) -> list[Recipe]:
        """Return every recipe kept. Order: as first kept."""
        ...


CLAIM_S: Final = 60.0
"""For how long a claim of `GarbageLog` keeps others off: far longer than an erasure."""


class GarbageLog(Protocol):
    """Bytes that may belong to no asset, so that a crash leaves none behind.

    Bytes are marked before they are written and when their last asset goes; the mark
    is taken off by `AssetStore.add`. Who erases bytes claims their mark first and
    clears it afterwards. Several processes may do so: a mark that is younger than any
    upload lasts may be of bytes that another is writing. Ages are told by one clock.
    """

    async def mark(self, sha256: str) -> bool:
        """Note that bytes of this digest may soon exist without an asset.

        A mark that is there becomes as young as a new one.

        Returns:
            False: somebody claimed it within `CLAIM_S`, and nothing was marked.
        """
        ...

    async def condemn(self, sha256: str) -> None:
        """Mark bytes that were found to belong to nobody, as if long ago.

        A mark that is there stays as it is; of bytes that an asset has, none is made.
        """
        ...

    async def unreferenced(self, older_s: float = 0) -> list[str]:
        """Return the digests that were marked so long ago and that no asset has."""
        ...

    async def referenced(self, digests: Collection[str]) -> set[str]:
        """Return those of these digests that some asset has."""
        ...

    async def claim(self, sha256: str, older_s: float) -> bool:
        """Claim the mark, so that the bytes may be erased.

        Args:
            sha256: whose mark.
            older_s: how long ago it was marked at least; a claim of somebody else must
                be as old, or older than `CLAIM_S`.

        Returns:
            False: there is no such mark, or an asset has the bytes.
        """
        ...

    async def clear(self, sha256: str) -> None:
        """Take a claimed mark off, as the bytes are gone. Else nothing happens."""
        ...


class Reachable(Protocol):
    """A store that tells what it is."""

    async def ping(self) -> str:
        """Return name and version of the store; raise UnavailableError."""
        ...


class Change(NamedTuple):
    """What some process did to an asset: its record is not what it was.

    Attributes:
        asset_id: whose record was added, changed or erased.
        erased: the SHA-256 of its bytes, where the asset itself was erased.
        space: of the vector that was stored or erased; None: of no vector.
        vector: float32 (d,), as this change or a later one left it; None: it is gone.
    """

    asset_id: str
    erased: str | None = None
    space: Space | None = None
    vector: Vector | None = None


class ChangeFeed(Protocol):
    """What every process that uses the store does to its assets."""

    def changes(self) -> AsyncGenerator[Change | None]:
        """Yield changes in their order, for ever; this process's own are among them.

        Of an asset that is added, its vector comes after its record; of one that is
        erased, so do all its vectors. None comes first, once it listens, and again
        wherever changes may have been missed: read everything anew then.

        Raises:
            UnavailableError: at the first only, where the store tells of no changes.
        """
        ...


class Survey(NamedTuple):
    """What a look at a database told; it changed nothing.

    Attributes:
        about: name, version and schema; what else stands behind it.
        pending: what the next start would do to it, in order; empty: nothing.
    """

    about: str
    pending: list[str]


class DocumentStore(
    AssetStore, EmbeddingStore, GarbageLog, Upkeep, Reachable, Protocol
):
    """The roles that one database plays."""

    @property
    def jobs(self) -> JobStore:
        """Return the jobs, kept in the same database."""
        ...

    @property
    def characters(self) -> CharacterStore:
        """Return characters and checks of them, kept in the same database."""
        ...

    @property
    def traits(self) -> TraitStore:
        """Return what was measured of assets, kept in the same database."""
        ...

    @property
    def relations(self) -> RelationStore:
        """Return relations between assets and more, kept in the same database."""
        ...

    @property
    def relation_log(self) -> RelationLog:
        """Return what others have yet to be told of the relations."""
        ...


class Stores(NamedTuple):
    """Records with their vectors, and the bytes that belong to them."""

    documents: DocumentStore
    objects: ObjectStore
