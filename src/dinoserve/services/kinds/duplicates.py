"""`duplicates`: what is the same, nearly the same, or alike in whole collections."""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Final

from dinoserve.domain.assets import Asset, Metadata
from dinoserve.domain.duplicates import Duplicates
from dinoserve.domain.fingerprints import Fingerprint
from dinoserve.domain.jobs import Chunk, Job, Outcome
from dinoserve.domain.tables import json_lines
from dinoserve.domain.urgency import priority
from dinoserve.errors import AssetNotFoundError
from dinoserve.services.asset_choice import records_of
from dinoserve.services.duplicates import MAX_SET, DuplicateService, Sought
from dinoserve.services.job_kinds import Found
from dinoserve.services.job_results import JobResults
from dinoserve.services.kinds.chosen import chosen_ids, done_items, those_there
from dinoserve.services.kinds.each import each
from dinoserve.services.kinds.parameters import named_fields

# Decoded pictures in memory: of 12 megapixels each has 36 MB.
_AT_ONCE: Final = 4
_BATCH: Final = 1000


@dataclass(frozen=True, slots=True)
class DuplicatesKind:
    """Finds duplicates; items are asset ids, of which each gets its fingerprint.

    Parameters: `assets`, a list of ids, or `collection`, or `collections`; the fields
    of `Sought`; and `relate`.
    """

    duplicates: DuplicateService
    results: JobResults

    name: str = field(default="duplicates", init=False)
    chunk_items: int = field(default=256, init=False)
    has_finish: bool = field(default=True, init=False)

    def items(self, parameters: Metadata) -> Sequence[str] | None:
        """Return None: a plan finds them."""
        del parameters

    async def plan(self, job: Job, cursor: str | None) -> AsyncGenerator[Found]:
        """Yield all assets at once, by id.

        Raises:
            InvalidInputError: they are too many.
        """
        if cursor is None:
            documents = self.duplicates.documents
            yield Found(await chosen_ids(documents, job.parameters, MAX_SET), "all")

    async def work(self, job: Job, chunk: Chunk) -> Outcome:
        """See that these have fingerprints, where lists want them."""
        prints = self.duplicates.fingerprints
        assets = await self.duplicates.documents.get(chunk.items)
        wants = named_fields(Sought, job.parameters).takes_pixels
        known = await prints.known(chunk.items) if wants else assets

        async def one(asset_id: str) -> None:
            if asset_id not in assets:
                raise AssetNotFoundError(f"No asset has the id {asset_id}.")
            if asset_id not in known:
                await prints.make_or_give_up(assets[asset_id])

        return await each(chunk.items, one, _AT_ONCE)

    async def finish(self, job: Job) -> Metadata:
        """Return the file, and how many findings it has; what is gone is in none."""
        truth = self.duplicates.embeddings.assets.documents
        ids = sorted(await those_there(truth, await done_items(truth.jobs, job.id)))
        assets = await records_of(self.duplicates.documents, ids)
        sought = named_fields(Sought, job.parameters)
        prints = await self._prints(assets) if sought.takes_pixels else {}
        token = priority.set("bulk")
        try:
            compared = await self.duplicates.among(assets, prints, sought)
        finally:
            priority.reset(token)
        if job.parameters.get("relate"):
            compared = await self.duplicates.related(
                assets, compared, sought.lists, f"job:{job.id}"
            )
        found = compared.found
        lines = _lines(found)
        name, media_type = "duplicates.ndjson", "application/x-ndjson"
        file = await self.results.keep(job.id, name, media_type, lines)
        return {
            "file": file.to_json(),
            "recipe": compared.recipe,
            "assets": compared.assets,
            "without_fingerprint": compared.without_fingerprint,
            "without_vector": compared.without_vector,
            **({} if compared.related is None else {"related": compared.related}),
            **{name: len(rows) for name, rows in _lists(found)},
        }

    async def _prints(self, assets: Mapping[str, Asset]) -> dict[str, Fingerprint]:
        found: dict[str, Fingerprint] = {}
        ids = list(assets)
        for start in range(0, len(ids), _BATCH):
            found |= await self.duplicates.fingerprints.known(
                ids[start : start + _BATCH]
            )
        return found


def _lists(found: Duplicates) -> list[tuple[str, Sequence[Any]]]:
    return [(each.name, getattr(found, each.name)) for each in fields(found)]


async def _lines(found: Duplicates) -> AsyncGenerator[bytes]:
    """Yield NDJSON: a line for each finding, with the list that it is in."""
    for name, rows in _lists(found):
        for start in range(0, len(rows), _BATCH):
            some = rows[start : start + _BATCH]
            yield await asyncio.to_thread(_text, name, some)


def _text(name: str, rows: Sequence[Any]) -> bytes:
    return json_lines(_finding(name, row) for row in rows)


def _finding(name: str, row: Any) -> dict[str, Any]:
    values = asdict(row)
    if "keep" in values:
        values["keep"] = values["keep"]._asdict()
    return {"list": name, **values}
