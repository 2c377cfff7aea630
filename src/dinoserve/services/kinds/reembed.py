"""`reembed`: assets move from other recipes to the loaded one, and leave nothing."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field

from dinoserve.domain.assets import Metadata
from dinoserve.domain.jobs import FINISH, Chunk, Job, Outcome
from dinoserve.errors import InvalidInputError, UnavailableError
from dinoserve.ports import DocumentStore
from dinoserve.services.embeddings import EmbeddingService
from dinoserve.services.job_kinds import Found
from dinoserve.services.kinds.embed import EmbedKind
from dinoserve.services.kinds.parameters import text
from dinoserve.services.kinds.removing import remove_vectors


@dataclass(frozen=True, slots=True)
class ReembedKind:
    """Embeds what lacks the recipe, then removes other recipes' vectors; asset ids.

    Every vector stays until all assets that can be moved are: until then a server
    with the old model finds everything, and going back to it loses nothing.

    Parameters: `recipe`, to which one (that of whoever accepts the job: a worker with
    another model must not take its own for the new one); `collection` (absent: every
    one); `remove_old` (absent: true).
    """

    documents: DocumentStore
    embeddings: EmbeddingService

    name: str = field(default="reembed", init=False)
    chunk_items: int = field(default=256, init=False)
    has_finish: bool = field(default=True, init=False)

    def items(self, parameters: Metadata) -> Sequence[str] | None:
        """Return None: the plan finds them.

        Raises:
            InvalidInputError: `recipe` is not the loaded one.
        """
        loaded, wanted = self.embeddings.recipe.id, text(parameters, "recipe")
        if wanted != loaded:
            raise InvalidInputError(
                f"Assets move to the recipe of the loaded model, {loaded}; give this"
                " one, or load the other model first (GET /v1/models lists recipes).",
                field="parameters.recipe",
                limit=loaded,
                value=wanted,
            )
        return None

    async def plan(self, job: Job, cursor: str | None) -> AsyncGenerator[Found]:
        """Yield the assets without a vector of the recipe, newest first."""
        self._require_recipe(job)
        async for found in self._embed().plan(job, cursor):
            yield found

    async def work(self, job: Job, chunk: Chunk) -> Outcome:
        """Embed these; one that was erased meanwhile is done."""
        self._require_recipe(job)
        return await self._embed().work(job, chunk)

    async def finish(self, job: Job) -> Metadata:
        """Embed what came meanwhile, then remove what is old.

        Returns:
            `recipe`; `left`, vectors of other recipes whose assets could not be
            embedded; `removed`, vectors.
        """
        recipe = self._require_recipe(job)
        await self._embed_late(job)
        removed = 0
        if job.parameters.get("remove_old") is not False:
            removed = await self._remove_old(job, recipe)
        return {"recipe": recipe, "left": await self._left(job), "removed": removed}

    async def _embed_late(self, job: Job) -> None:
        """Embed what a server with the old model stored behind the plan's back."""
        if await self._left(job) == 0:
            return
        async for found in self._embed().plan(job, None):
            late = Chunk(job.id, FINISH, job.created_at, items=tuple(found.items))
            await self._embed().work(job, late)

    async def _remove_old(self, job: Job, recipe: str) -> int:
        collection = text(job.parameters, "collection")
        others = (await self.documents.counts(collection)).keys() - {recipe}
        removed = [
            await remove_vectors(self.documents, other, recipe, collection)
            for other in sorted(others)
        ]
        return sum(removed)

    async def _left(self, job: Job) -> int:
        """Return how many vectors of others belong to assets that lack the recipe."""
        collection = text(job.parameters, "collection")
        recipe = self.embeddings.recipe.id
        return sum((await self.documents.counts(collection, lacking=recipe)).values())

    def _embed(self) -> EmbedKind:
        return EmbedKind(self.documents, self.embeddings)

    def _require_recipe(self, job: Job) -> str:
        """Return the recipe that assets move to.

        Raises:
            UnavailableError: another model is loaded here.
        """
        wanted, loaded = text(job.parameters, "recipe"), self.embeddings.recipe.id
        if wanted == loaded:
            return loaded
        raise UnavailableError(
            f"This worker computes recipe {loaded}, and the job moves assets to"
            f" {wanted}: it waits for a worker with that model.",
            port="embedder",
        )
