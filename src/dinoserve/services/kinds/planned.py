"""What a job's plan settled for good, and what its chunks did."""

from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import NamedTuple

from dinoserve.domain.jobs import FINISH, Chunk
from dinoserve.domain.recipes import Recipe
from dinoserve.ports import ChunkQuery, JobStore

_PAGE = 100


class Settled(NamedTuple):
    """What must be the same for every chunk, whichever worker does it.

    It stands in the plan's cursor: of two workers at one plan, one settles it.

    Attributes:
        recipe: id of the recipe that vectors have.
        dimension: numbers in each.
        part: number of the part that the plan made, if it made one.
    """

    recipe: str
    dimension: int
    part: int = 0

    @classmethod
    def by(cls, recipe: Recipe, part: int = 0) -> "Settled":
        """Return what is settled where this recipe is loaded."""
        return cls(recipe.id, recipe.dimension, part)

    def cursor(self, place: str = "") -> str:
        """Return the cursor of a plan that has come to this place."""
        return f"{self.recipe} {self.dimension} {self.part} {place}"

    @classmethod
    def read(cls, cursor: str) -> tuple["Settled", str]:
        """Return what a cursor says: what is settled, and the place."""
        recipe, dimension, part, place = cursor.split(" ", 3)
        return cls(recipe, int(dimension), int(part)), place


async def settled(jobs: JobStore, job_id: str) -> Settled:
    """Return what the plan of a job settled, once it has."""
    states = ("waiting", "running", "done", "buried")
    first = ChunkQuery(states, job_id, after=(job_id, FINISH), limit=1)
    [plan] = await jobs.chunks(first)
    return Settled.read(plan.cursor or "")[0]


async def parts(jobs: JobStore, job_id: str) -> AsyncGenerator[Chunk]:
    """Yield the chunks of which something was done, by number.

    Those whose items were given up altogether are passed over.
    """
    query = ChunkQuery(("done",), job_id, after=(job_id, 0), limit=_PAGE)
    while page := await jobs.chunks(query):
        for chunk in page:
            if chunk.done:
                yield chunk
        query = replace(query, after=(job_id, page[-1].number))
