"""`quality`: what is measured of many assets, as one file."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, cast

from dinoserve.domain.assets import Metadata
from dinoserve.domain.jobs import Chunk, Failure, Job, Outcome
from dinoserve.domain.paging import AssetQuery
from dinoserve.domain.quality import METHOD, Quality
from dinoserve.domain.quality_issues import IssueName, Thresholds, described
from dinoserve.errors import (
    ConflictError,
    InvalidInputError,
)
from dinoserve.services.job_kinds import Found
from dinoserve.services.job_results import JobResults
from dinoserve.services.kinds.chosen import those_there
from dinoserve.services.kinds.each import each
from dinoserve.services.kinds.pages import pages
from dinoserve.services.kinds.parameters import text, texts
from dinoserve.services.kinds.planned import parts
from dinoserve.services.originals import unless_lost
from dinoserve.services.quality import QualityService
from dinoserve.services.sources import Kept

_CHUNK: Final = 128
# One is read from the store while another is measured.
_AT_ONCE: Final = 4


@dataclass(frozen=True, slots=True)
class QualityKind:
    """Measures assets and tells their issues; items are asset ids.

    Parameters: `collection`, or `assets`, a list of ids; `thresholds` and `weights` by
    issue; `reference`, the collection that typicality is told of, and `k`.
    """

    quality: QualityService
    results: JobResults

    name: str = field(default="quality", init=False)
    chunk_items: int = field(default=_CHUNK, init=False)
    has_finish: bool = field(default=True, init=False)

    def items(self, parameters: Metadata) -> Sequence[str] | None:
        """Return the ids that were named."""
        return texts(parameters, "assets")

    async def plan(self, job: Job, cursor: str | None) -> AsyncGenerator[Found]:
        """Yield every asset of the collection, newest first."""
        documents = self.quality.embeddings.documents
        query = AssetQuery(text(job.parameters, "collection"), limit=_CHUNK)
        async for page, place in pages(documents, query, cursor):
            yield Found([asset.id for asset in page], place)

    async def work(self, job: Job, chunk: Chunk) -> Outcome:
        """Write a line for each; one that was erased meanwhile is a failure."""
        found = await self.quality.kept(chunk.items)
        missing = [key for key in chunk.items if key not in found]

        async def one(asset_id: str) -> None:
            found[asset_id] = await self._measured(asset_id)

        outcome = await each(missing, one, _AT_ONCE)
        reference = text(job.parameters, "reference")
        told: Mapping[str, Metadata] = {}
        failures: tuple[Failure, ...] = ()
        if reference:
            told, failures = await self._typicality(job, reference, [*found])
        lines = [
            self._line(job, key, found[key], told.get(key))
            for key in chunk.items
            if key in found and (key in told or not reference)
        ]
        await self.results.write(job.id, chunk.number, b"".join(lines))
        return Outcome(len(lines), (*outcome.failures, *failures))

    async def finish(self, job: Job) -> Metadata:
        """Return the file, and how many assets have which issue.

        What was erased meanwhile is in it no more.
        """
        counts: Counter[str] = Counter()
        told: list[str] = []
        file = await self.results.keep(
            job.id,
            "quality.ndjson",
            "application/x-ndjson",
            self._lines(job, counts, told),
        )
        return {
            "file": file.to_json(),
            "assets": len(told),
            "method": METHOD,
            "thresholds": dict(self._limits(job)),
            "issues": dict(counts),
        }

    async def _lines(
        self, job: Job, counts: Counter[str], told: list[str]
    ) -> AsyncGenerator[bytes]:
        documents = self.quality.embeddings.assets.documents
        async for chunk in parts(documents.jobs, job.id):
            kept = await those_there(documents, chunk.items)
            part = bytes(await self.results.load(job.id, chunk.number))
            lines, issues = await asyncio.to_thread(_of_those, part, frozenset(kept))
            counts.update(issues)
            told += lines
            yield b"".join(lines.values())

    async def _measured(self, asset_id: str) -> Quality:
        async with unless_lost(self.quality.embeddings.assets, asset_id):
            [found] = await self.quality.measure([Kept(asset_id)])
        return found

    async def _typicality(
        self, job: Job, name: str, ids: Sequence[str]
    ) -> tuple[Mapping[str, Metadata], tuple[Failure, ...]]:
        """Return the typicality of those that can have one, and why others cannot."""
        k = int(text(job.parameters, "k") or 10)
        try:
            reference = await self.quality.reference(name, k)
        except (ConflictError, InvalidInputError) as error:
            # Another try would meet the same reference.
            failed = (Failure(key, error.code, error.detail) for key in ids)
            return {}, tuple(failed)
        told: dict[str, Metadata] = {}

        async def one(asset_id: str) -> None:
            [found] = await self.quality.typicality([Kept(asset_id)], reference)
            told[asset_id] = found._asdict()

        outcome = await each(ids, one, _AT_ONCE)
        return told, outcome.failures

    def _limits(self, job: Job) -> Thresholds:
        asked = cast("Thresholds", job.parameters.get("thresholds") or {})
        return self.quality.limits(asked)

    def _line(
        self, job: Job, asset_id: str, quality: Quality, typicality: Metadata | None
    ) -> bytes:
        weights = cast(
            "Mapping[IssueName, float] | None", job.parameters.get("weights")
        )
        told = {"asset": asset_id, **described(quality, self._limits(job), weights)}
        if typicality:
            told["typicality"] = typicality
        return json.dumps(told).encode() + b"\n"


def _of_those(
    part: bytes, kept: Collection[str]
) -> tuple[dict[str, bytes], Counter[str]]:
    """Return the lines of these assets, and how many tell of which issue."""
    lines: dict[str, bytes] = {}
    counts: Counter[str] = Counter()
    for line in part.splitlines(keepends=True):
        told = json.loads(line)
        if told["asset"] in kept:
            lines[told["asset"]] = line
            counts.update(issue["issue"] for issue in told["issues"])
    return lines, counts
