"""`embed`: vectors of the loaded recipe for assets that lack one."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from dinoserve.domain.assets import Metadata
from dinoserve.domain.jobs import Chunk, Job, Outcome
from dinoserve.domain.paging import MAX_PAGE, AssetQuery
from dinoserve.errors import AssetNotFoundError
from dinoserve.ports import DocumentStore
from dinoserve.services.embeddings import EmbeddingService
from dinoserve.services.job_kinds import Found
from dinoserve.services.kinds.each import each
from dinoserve.services.kinds.pages import pages
from dinoserve.services.kinds.parameters import text, texts
from dinoserve.services.originals import unless_lost
from dinoserve.services.sources import Kept

# Two batches: one computes while the images of the next are read and decoded.
_AT_ONCE = 32


@dataclass(frozen=True, slots=True)
class EmbedKind:
    """Embeds assets; items are asset ids.

    Parameters: `collection` (absent: every one), or `assets`, a list of ids.
    """

    documents: DocumentStore
    embeddings: EmbeddingService

    name: str = field(default="embed", init=False)
    chunk_items: int = field(default=256, init=False)
    has_finish: bool = field(default=False, init=False)

    def items(self, parameters: Metadata) -> Sequence[str] | None:
        """Return the ids that were named."""
        return texts(parameters, "assets")

    async def plan(self, job: Job, cursor: str | None) -> AsyncGenerator[Found]:
        """Yield the assets without a vector of the loaded recipe, newest first."""
        query = AssetQuery(text(job.parameters, "collection"), limit=MAX_PAGE)
        recipe = self.embeddings.recipe.id
        async for page, place in pages(self.documents, query, cursor):
            yield Found(
                [asset.id for asset in page if not asset.has_recipe(recipe)], place
            )

    async def work(self, job: Job, chunk: Chunk) -> Outcome:
        """Embed these; one that was erased meanwhile is done."""
        del job
        return await each(chunk.items, self._embed, _AT_ONCE)

    async def finish(self, job: Job) -> Metadata:
        """Return nothing: the vectors are the result."""
        del job
        return {}

    async def _embed(self, asset_id: str) -> None:
        with suppress(AssetNotFoundError):
            async with unless_lost(self.embeddings.assets, asset_id):
                await self.embeddings.embed([Kept(asset_id)])
