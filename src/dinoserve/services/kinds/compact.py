"""`compact`: what is of no use any more goes, and its space is given back."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from dinoserve.domain.assets import Metadata
from dinoserve.domain.jobs import Chunk, Job, Outcome
from dinoserve.errors import InvalidInputError
from dinoserve.ports import DocumentStore
from dinoserve.services.embeddings import EmbeddingService
from dinoserve.services.forgetting import forget_old
from dinoserve.services.job_kinds import Found
from dinoserve.services.job_results import JobResults
from dinoserve.services.kinds.parameters import texts
from dinoserve.services.kinds.removing import REST_S, remove_vectors


@dataclass(frozen=True, slots=True)
class CompactKind:
    """Makes the database small; it has no items, all is done at its end.

    Parameters: `remove_recipes`, ids of recipes whose vectors go, never the loaded
    one; `older_than_days`, jobs that have been over for so many days go.
    """

    documents: DocumentStore
    embeddings: EmbeddingService
    results: JobResults
    now: Callable[[], datetime]

    name: str = field(default="compact", init=False)
    chunk_items: int = field(default=1, init=False)
    has_finish: bool = field(default=True, init=False)

    def items(self, parameters: Metadata) -> Sequence[str] | None:
        """Return none.

        Raises:
            InvalidInputError: `remove_recipes` has the loaded one, or
                `older_than_days` is no number of days.
        """
        self._recipes(parameters)
        _days(parameters)
        return []

    async def plan(self, job: Job, cursor: str | None) -> AsyncGenerator[Found]:
        """Yield nothing."""
        del job, cursor
        for found in ():
            yield found

    async def work(self, job: Job, chunk: Chunk) -> Outcome:
        """Do nothing."""
        del job
        return Outcome(len(chunk.items))

    async def finish(self, job: Job) -> Metadata:
        """Remove, forget, give back; all of it may be done again.

        Returns:
            `removed`, vectors; `kept`, vectors of these recipes whose assets have none
            of the loaded one; `forgotten`, jobs; `bytes_before` and `bytes_after` of
            the database, null where it keeps its space by itself. A job whose worker
            died counts what its last one did.
        """
        recipes = self._recipes(job.parameters)
        size = await self.documents.size()
        removed = [await self._remove(recipe) for recipe in recipes]
        forgotten = await self._forget(_days(job.parameters))
        while await self.documents.shrink():  # noqa: ASYNC110 - each look does some work
            await asyncio.sleep(REST_S)
        counts = await self.documents.counts()
        return {
            "removed": sum(removed),
            "kept": sum(counts.get(recipe, 0) for recipe in recipes),
            "forgotten": forgotten,
            "bytes_before": size,
            "bytes_after": await self.documents.size(),
        }

    async def _remove(self, recipe: str) -> int:
        loaded = self.embeddings.recipe.id
        return await remove_vectors(self.documents, recipe, loaded, None)

    async def _forget(self, days: float | None) -> int:
        if days is None:
            return 0
        before = self.now() - timedelta(days=days)
        forgotten = 0
        while count := await forget_old(self.documents.jobs, self.results, before):
            forgotten += count
        return forgotten

    def _recipes(self, parameters: Metadata) -> list[str]:
        recipes = texts(parameters, "remove_recipes") or []
        loaded = self.embeddings.recipe.id
        if loaded in recipes:
            raise InvalidInputError(
                f"Recipe {loaded} is the one that is loaded: its vectors stay.",
                field="parameters.remove_recipes",
                value=loaded,
            )
        return list(dict.fromkeys(recipes))


# As many as timedelta takes, and far more than anybody keeps jobs.
_MAX_DAYS = 36_500


def _days(parameters: Metadata) -> float | None:
    days = parameters.get("older_than_days")
    if days is None:
        return None
    match days:
        case bool():
            pass
        case int() | float() if 0 <= days <= _MAX_DAYS:
            return days
        case _:
            pass
    raise InvalidInputError(
        f"A number of days is 0 to {_MAX_DAYS}.",
        field="parameters.older_than_days",
        limit=_MAX_DAYS,
        value=str(days)[:80],
    )
