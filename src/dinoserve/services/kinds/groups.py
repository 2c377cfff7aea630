"""`groups`: what belongs together in a collection, as one file."""

import asyncio
from collections.abc import AsyncGenerator, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final

from dinoserve.domain.assets import Metadata
from dinoserve.domain.jobs import Chunk, Job, Outcome
from dinoserve.domain.tables import json_lines
from dinoserve.services.groups import MAX_SET, Grouped, Grouping, GroupService
from dinoserve.services.job_kinds import Found
from dinoserve.services.job_results import JobResults
from dinoserve.services.kinds.chosen import chosen_ids, done_items, those_there
from dinoserve.services.kinds.lacking import why_lacking
from dinoserve.services.kinds.parameters import named_fields

_BATCH: Final = 1000


@dataclass(frozen=True, slots=True)
class GroupsKind:
    """Groups assets; items are asset ids.

    Parameters: `assets`, a list of ids, or `collection`; and the fields of `Grouping`.
    """

    groups: GroupService
    results: JobResults

    name: str = field(default="groups", init=False)
    chunk_items: int = field(default=1000, init=False)
    has_finish: bool = field(default=True, init=False)

    def items(self, parameters: Metadata) -> Sequence[str] | None:
        """Return None: a plan finds them."""
        del parameters

    async def plan(self, job: Job, cursor: str | None) -> AsyncGenerator[Found]:
        """Yield all assets at once, by id.

        Raises:
            InvalidInputError: they are too many.
            NotInstalledError: the map takes a library.
        """
        if cursor is None:
            self.groups.check(named_fields(Grouping, job.parameters))
            documents = self.groups.embeddings.documents
            yield Found(await chosen_ids(documents, job.parameters, MAX_SET), "all")

    async def work(self, job: Job, chunk: Chunk) -> Outcome:
        """Tell which of these have no vector to be grouped by."""
        del job
        vectors = await self.groups.embeddings.stored(chunk.items)
        lacking = [key for key in chunk.items if key not in vectors]
        found = await self.groups.embeddings.documents.get(lacking)
        recipe = self.groups.embeddings.recipe.id
        failures = (why_lacking(key, found.get(key), recipe) for key in lacking)
        return Outcome(len(vectors), tuple(failures))

    async def finish(self, job: Job) -> Metadata:
        """Return the file, and how many groups it has; what is gone is in none."""
        truth = self.groups.embeddings.assets.documents
        ids = sorted(await those_there(truth, await done_items(truth.jobs, job.id)))
        how = named_fields(Grouping, job.parameters)
        vectors = await self.groups.embeddings.stored(ids)
        grouped = await self.groups.among(ids, vectors, how)
        lines = _lines(grouped, how.representatives)
        name, media_type = "groups.ndjson", "application/x-ndjson"
        file = await self.results.keep(job.id, name, media_type, lines)
        return {
            "file": file.to_json(),
            "recipe": grouped.recipe,
            "assets": len(grouped.ids),
            "groups": len(grouped.groups),
            "ungrouped": len(grouped.ungrouped),
        }


async def _lines(grouped: Grouped, representatives: int) -> AsyncGenerator[bytes]:
    """Yield NDJSON: a line for each asset, group by group, the ungrouped last."""
    rows = iter(_rows(grouped, representatives))
    while text := await asyncio.to_thread(_text, rows):
        yield text


def _text(rows: Iterable[dict[str, Any]]) -> bytes:
    return json_lines(islice(rows, _BATCH))


def _rows(grouped: Grouped, representatives: int) -> Iterable[dict[str, Any]]:
    for number, group in enumerate(grouped.groups):
        outliers = set(group.outliers.tolist())
        members = zip(group.members.tolist(), group.scores.tolist(), strict=True)
        for rank, (at, score) in enumerate(members):
            yield {
                "asset": grouped.ids[at],
                "group": number,
                "score": score,
                "representative": rank < representatives,
                "outlier": at in outliers,
                **_point(grouped, at),
            }
    for at in grouped.ungrouped.tolist():
        yield {"asset": grouped.ids[at], "group": None, **_point(grouped, at)}


def _point(grouped: Grouped, at: int) -> dict[str, float]:
    if grouped.points is None:
        return {}
    x, y = grouped.points[at].tolist()
    return {"x": x, "y": y}
