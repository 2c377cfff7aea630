"""`regions`: what parts of assets look like, so that parts can be searched."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from dinoserve.domain.assets import Metadata
from dinoserve.domain.jobs import Chunk, Job, Outcome
from dinoserve.domain.paging import MAX_PAGE, AssetQuery
from dinoserve.errors import AssetNotFoundError
from dinoserve.services.job_kinds import Found
from dinoserve.services.kinds.each import each
from dinoserve.services.kinds.pages import pages
from dinoserve.services.kinds.parameters import text, texts
from dinoserve.services.originals import unless_lost
from dinoserve.services.regions import RegionService

# Two batches: one computes while the images of the next are read and decoded.
_AT_ONCE = 32


@dataclass(frozen=True, slots=True)
class RegionsKind:
    """Stores the regions of assets under the loaded recipe; items are asset ids.

    Parameters: `collection`, or `assets`, a list of ids. What has them is passed over.
    """

    regions: RegionService

    name: str = field(default="regions", init=False)
    chunk_items: int = field(default=128, init=False)
    has_finish: bool = field(default=False, init=False)

    def items(self, parameters: Metadata) -> Sequence[str] | None:
        """Return the ids that were named."""
        return texts(parameters, "assets")

    async def plan(self, job: Job, cursor: str | None) -> AsyncGenerator[Found]:
        """Yield every asset of the collection, newest first."""
        documents = self.regions.embeddings.documents
        query = AssetQuery(text(job.parameters, "collection"), limit=MAX_PAGE)
        async for page, place in pages(documents, query, cursor):
            yield Found([asset.id for asset in page], place)

    async def work(self, job: Job, chunk: Chunk) -> Outcome:
        """Store regions of these; one that was erased meanwhile is done."""
        del job
        return await each(chunk.items, self._keep, _AT_ONCE)

    async def finish(self, job: Job) -> Metadata:
        """Return nothing: the regions are the result."""
        del job
        return {}

    async def _keep(self, asset_id: str) -> None:
        with suppress(AssetNotFoundError):
            async with unless_lost(self.regions.embeddings.assets, asset_id):
                await self.regions.keep(asset_id)
