"""`erase`: assets with everything derived, as one request of somebody's."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field

from dinoserve.domain.assets import Asset, Filter, Metadata
from dinoserve.domain.jobs import Chunk, Job, Outcome
from dinoserve.domain.paging import MAX_PAGE, AssetQuery
from dinoserve.domain.relations import Node
from dinoserve.errors import AssetNotFoundError
from dinoserve.ports import DocumentStore
from dinoserve.services.assets import AssetService
from dinoserve.services.job_kinds import Found
from dinoserve.services.kinds.each import each
from dinoserve.services.kinds.pages import pages
from dinoserve.services.kinds.parameters import text, texts

_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class EraseKind:
    """Erases assets; items are asset ids.

    Parameters: `assets`, a list of ids; or what they have in common, at least one of
    `collection`, `subject`, `tags` (a list; all must be there).
    """

    documents: DocumentStore
    assets: AssetService

    name: str = field(default="erase", init=False)
    chunk_items: int = field(default=256, init=False)
    has_finish: bool = field(default=True, init=False)

    def items(self, parameters: Metadata) -> Sequence[str] | None:
        """Return the ids that were named."""
        return texts(parameters, "assets")

    async def plan(self, job: Job, cursor: str | None) -> AsyncGenerator[Found]:
        """Yield the assets that are meant, newest first."""
        meant = job.parameters
        where = Filter(tags=frozenset(texts(meant, "tags") or ()))
        query = AssetQuery(text(meant, "collection"), where, limit=MAX_PAGE)
        async for page, place in pages(self.documents, query, cursor):
            yield Found([asset.id for asset in page if _is_of(asset, meant)], place)

    async def work(self, job: Job, chunk: Chunk) -> Outcome:
        """Erase these; one that is gone already is done."""
        del job
        return await each(chunk.items, self._erase, _AT_ONCE)

    async def finish(self, job: Job) -> Metadata:
        """Return nothing: that they are gone is the result.

        Of a whole collection, relations of the collection itself go as well: last, so
        that nothing of it has its name any more.
        """
        meant = job.parameters
        is_part = any(meant.get(name) for name in ("assets", "tags", "subject"))
        collection = text(meant, "collection")
        if collection and not is_part:
            node = str(Node("collection", collection))
            await self.documents.relations.remove(nodes=[node])
        return {}

    async def _erase(self, asset_id: str) -> None:
        try:
            await self.assets.remove(asset_id)
        except AssetNotFoundError:
            return


def _is_of(asset: Asset, meant: Metadata) -> bool:
    subject = text(meant, "subject")
    return subject is None or asset.subject == subject
