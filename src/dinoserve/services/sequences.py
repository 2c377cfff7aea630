"""Sequences: shots in order, compared with a character or the first of them."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from dinoserve.domain.character_checks import (
    DRIFTED_BELOW,
    Score,
    Subject,
    best_of,
    compare,
    found_and_drifted,
)
from dinoserve.domain.characters import Reference, check_each_once
from dinoserve.domain.kept_calibrations import KeptCalibration, judge
from dinoserve.domain.sequences import Shot, drifted_share, near
from dinoserve.errors import InvalidInputError, NoReferencesError
from dinoserve.services.calibrations import CalibrationService
from dinoserve.services.characters import CharacterService, numbered
from dinoserve.services.subjects import SubjectService

MAX_SHOTS: Final = 500
"""Shots of one sequence."""

_KEPT_PARTS = 8


@dataclass(frozen=True, slots=True)
class SequenceRequest:
    """Which shots are compared, and with what.

    Attributes:
        collection: of all of them, and of the character.
        shots: 2 to `MAX_SHOTS` assets in order, each once, and where the subject is.
        character_id: whose references they are compared with; None: the first shot.
        drifted_below: as in `CheckRequest`.
    """

    collection: str
    shots: Sequence[Reference]
    character_id: str | None = None
    drifted_below: float = DRIFTED_BELOW


@dataclass(frozen=True, slots=True)
class SequenceService:
    """Measures shots of a sequence under the loaded recipe."""

    characters: CharacterService
    subjects: SubjectService
    calibrations: CalibrationService

    async def check(self, request: SequenceRequest) -> None:
        """Pass if the shots can be compared with what is asked for.

        Raises:
            CharacterNotFoundError, NoReferencesError: there is nothing to compare with.
            AssetNotFoundError: a shot does not exist.
            InvalidInputError: a shot is of another collection or named twice, or its
                box lies outside the picture; or the character is of another one.
        """
        check_each_once(request.shots, "parameters.shots", MAX_SHOTS)
        shown = numbered("parameters.shots", request.shots)
        await self.characters.check_shown(shown, request.collection)
        await self.references(request)

    async def references(self, request: SequenceRequest) -> Sequence[Reference]:
        """Return what the shots are compared with; errors as `check`."""
        if request.character_id is None:
            return request.shots[:1]
        character = await self.characters.get(request.character_id)
        if character.collection != request.collection:
            raise InvalidInputError(
                f"The character is of collection {character.collection}, not of"
                f" {request.collection}.",
                field="parameters.character",
                limit=request.collection,
                value=character.collection,
            )
        if not character.references:
            raise NoReferencesError(
                f"The character {character.id} has no references.", value=character.id
            )
        return character.references

    async def masters(self, request: SequenceRequest) -> dict[str, Subject]:
        """Return the subjects of the references by asset id; errors as `check`."""
        shown = numbered("references", await self.references(request))
        looked = await self.subjects.look(shown)
        return {shown[name].asset_id: one.subject for name, one in looked.items()}

    async def subject(self, shot: Reference) -> Subject:
        """Return what a shot shows; errors as `SubjectService.look`."""
        looked = await self.subjects.look({"shot": shot})
        return looked["shot"].subject

    async def measured(
        self,
        request: SequenceRequest,
        masters: Mapping[str, Subject],
        seen: Mapping[str, Subject],
        positions: Sequence[int],
    ) -> list[Shot]:
        """Return what was measured of the shots at these positions, if seen.

        Args:
            request: of the sequence.
            masters: references by asset id.
            seen: shots by asset id, with the first and those before as far as seen.
            positions: in the sequence.
        """
        known = await self.calibrations.newest(request.collection)
        return await asyncio.to_thread(
            lambda: [
                _shot(request, at, masters, seen, known)
                for at in positions
                if request.shots[at].asset_id in seen
            ]
        )


def _shot(
    request: SequenceRequest,
    at: int,
    masters: Mapping[str, Subject],
    seen: Mapping[str, Subject],
    known: Mapping[Score, KeptCalibration],
) -> Shot:
    ids = [shot.asset_id for shot in request.shots]
    own = seen[ids[at]]
    comparisons = [compare(master, own) for master in masters.values()]
    best = best_of(comparisons)
    reference_id, reference = list(masters.items())[best]
    below, comparison = request.drifted_below, comparisons[best]
    _, drifted = found_and_drifted(comparison, reference, below)
    first, before = seen.get(ids[0]), seen.get(ids[at - 1]) if at else None
    return Shot(
        asset_id=ids[at],
        position=at,
        reference_id=reference_id,
        likeness=comparison.likeness,
        first=first and near(first, own),
        previous=before and near(before, own),
        drifted_share=drifted_share(comparison, reference, below),
        drifted=[part.told() for part in drifted[:_KEPT_PARTS]],
        judgements=[one._asdict() for one in judge(comparison.likeness, known)],
    )
