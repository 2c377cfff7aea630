"""`sequence`: shots in order, how consistent they are, and what to make again first."""

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, cast

from dinoserve.domain.assets import Asset, Metadata
from dinoserve.domain.character_checks import DRIFTED_BELOW, Subject
from dinoserve.domain.characters import Reference, Region
from dinoserve.domain.geometry import Box
from dinoserve.domain.jobs import Chunk, Failure, Job, Outcome
from dinoserve.domain.sequences import (
    Limits,
    Shot,
    consistency,
    drift,
    misfits,
    without_gone,
)
from dinoserve.errors import ConflictError, NotFoundError
from dinoserve.services.job_kinds import Found
from dinoserve.services.job_results import JobResults
from dinoserve.services.kinds.each import each
from dinoserve.services.kinds.parameters import text
from dinoserve.services.kinds.planned import parts
from dinoserve.services.kinds.sequence_report import SequenceReport, Summary
from dinoserve.services.renditions import RenditionService
from dinoserve.services.sequences import SequenceRequest, SequenceService

# One is read from the store while another is computed.
_AT_ONCE: Final = 4


@dataclass(frozen=True, slots=True)
class SequenceKind:
    """Compares shots with a character or the first of them; items are asset ids.

    Parameters: `shots`, a list of asset ids or of `{"asset", "box"}`, in order;
    `collection`; `character`, an id; `drifted_below`.
    """

    sequences: SequenceService
    renditions: RenditionService
    results: JobResults

    name: str = field(default="sequence", init=False)
    chunk_items: int = field(default=16, init=False)
    has_finish: bool = field(default=True, init=False)

    def items(self, parameters: Metadata) -> Sequence[str] | None:
        """Return None: a plan checks them first."""
        del parameters

    async def plan(self, job: Job, cursor: str | None) -> AsyncGenerator[Found]:
        """Yield all shots at once, in order; errors as `SequenceService.check`."""
        if cursor is None:
            request = _request(job.parameters)
            await self.sequences.check(request)
            yield Found([shot.asset_id for shot in request.shots], "all")

    async def work(self, job: Job, chunk: Chunk) -> Outcome:
        """Write a line for each; one that cannot be compared is a failure."""
        request = _request(job.parameters)
        try:
            masters = await self.sequences.masters(request)
        except (NotFoundError, ConflictError) as error:
            told = f"There is nothing to compare with: {error.detail}"
            gone = (Failure(key, error.code, told) for key in chunk.items)
            return Outcome(0, tuple(gone))
        ids = [shot.asset_id for shot in request.shots]
        positions = [ids.index(key) for key in chunk.items]
        seen, failures = await self._seen(request, positions)
        shots = await self.sequences.measured(request, masters, seen, positions)
        lines = await asyncio.to_thread(_lines, shots)
        await self.results.write(job.id, chunk.number, lines)
        own = tuple(one for one in failures if one.item in set(chunk.items))
        return Outcome(len(shots), own)

    async def finish(self, job: Job) -> Metadata:
        """Return the report's file, and what it tells; what is gone is left out."""
        measured = await self._measured(job)
        ids = {key for one in measured for key in (one.asset_id, one.reference_id)}
        there = await self.sequences.characters.documents.get(ids)
        shots = without_gone([one for one in measured if _is_there(one, there)])
        summary = await asyncio.to_thread(_summary, job.parameters, shots)
        report = SequenceReport(self.renditions, there, summary)
        name, media_type = "report.html", "text/html; charset=utf-8"
        file = await self.results.keep(job.id, name, media_type, report.pieces())
        return {"file": file.to_json(), **summary.as_json()}

    async def _seen(
        self, request: SequenceRequest, positions: Sequence[int]
    ) -> tuple[Mapping[str, Subject], Sequence[Failure]]:
        """Return these shots, those before them, and the first, by asset id."""
        needed = {0, *positions, *(max(at - 1, 0) for at in positions)}
        shown = {request.shots[at].asset_id: request.shots[at] for at in needed}
        seen: dict[str, Subject] = {}

        async def one(asset_id: str) -> None:
            seen[asset_id] = await self.sequences.subject(shown[asset_id])

        outcome = await each(list(shown), one, _AT_ONCE)
        return seen, outcome.failures

    async def _measured(self, job: Job) -> list[Shot]:
        jobs = self.sequences.characters.documents.jobs
        shots: list[Shot] = []
        async for chunk in parts(jobs, job.id):
            part = await self.results.load(job.id, chunk.number)
            shots += await asyncio.to_thread(_shots, bytes(part))
        return shots


def _request(parameters: Metadata) -> SequenceRequest:
    below = cast("float | None", parameters.get("drifted_below"))
    return SequenceRequest(
        text(parameters, "collection") or "default",
        [_reference(shot) for shot in cast("list[Any]", parameters["shots"])],
        text(parameters, "character"),
        DRIFTED_BELOW if below is None else below,
    )


def _reference(shot: str | dict[str, Any]) -> Reference:
    if isinstance(shot, str):
        return Reference(shot)
    box = shot.get("box")
    return Reference(shot["asset"], Region(box and Box(*box)))


def _summary(parameters: Metadata, shots: Sequence[Shot]) -> Summary:
    # A shot is wholly like itself: that is no measurement.
    alike = [
        (one.position, one.likeness.foreground)
        for one in shots
        if one.asset_id != one.reference_id
    ]
    firsts = [
        (one.position, one.first.foreground)
        for one in shots
        if one.first and one.position
    ]
    return Summary(
        text(parameters, "character"),
        shots,
        Limits.of(shots),
        consistency(shots),
        drift(alike),
        drift(firsts),
        misfits(shots),
    )


def _is_there(shot: Shot, there: Mapping[str, Asset]) -> bool:
    return shot.asset_id in there and shot.reference_id in there


def _lines(shots: Sequence[Shot]) -> bytes:
    return "".join(json.dumps(shot.as_json()) + "\n" for shot in shots).encode()


def _shots(lines: bytes) -> list[Shot]:
    return [Shot.from_json(json.loads(line)) for line in lines.splitlines()]
