"""Calibrations: what a score of checks means, as far as labelled pairs tell."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Final, get_args

from dinoserve.domain.assets import check_collection
from dinoserve.domain.calibration import CalibrationFor, calibrate
from dinoserve.domain.character_checks import Score, cosine
from dinoserve.domain.characters import Reference, check_each_once
from dinoserve.domain.framing import Framing
from dinoserve.domain.kept_calibrations import KeptCalibration
from dinoserve.domain.labelled_pairs import LabelledPair, divide
from dinoserve.domain.matching import mutual_nearest
from dinoserve.domain.vectors import Matrix
from dinoserve.errors import CalibrationNotFoundError, InvalidInputError
from dinoserve.ports import CalibrationPage, CalibrationQuery, CalibrationStore
from dinoserve.services.characters import CharacterService
from dinoserve.services.subjects import SubjectService

MAX_PAIRS: Final = 10_000
"""Pairs of one calibration."""
MAX_ASSETS: Final = 256
"""Assets that the pairs of one calibration are of."""

# As many as a check takes at a time; and some tens of milliseconds of matching.
_ASSETS_AT_ONCE = 32
_PAIRS_AT_ONCE = 64


@dataclass(frozen=True, slots=True)
class CalibrationRequest:
    """Labelled pairs, and what they are to tell.

    Attributes:
        pairs: up to `MAX_PAIRS`, of `MAX_ASSETS` assets of the collection; empty: those
            that reviews of the collection decided.
        score: which part of the likeness is calibrated.
        target_fpr: share of different pairs that may be called a match, in (0, 1).
        identities: who or what an asset shows, by asset id, as far as known.
        regions: where the subject is in some of the assets; in others it is found.
    """

    collection: str
    pairs: Sequence[LabelledPair]
    score: Score
    target_fpr: float = 0.01
    identities: Mapping[str, str] = field(default_factory=dict[str, str])
    regions: Sequence[Reference] = ()


@dataclass(frozen=True, slots=True)
class CalibrationService:
    """Makes calibrations from labelled pairs, and keeps, shows and erases them."""

    characters: CharacterService
    subjects: SubjectService

    async def create(self, request: CalibrationRequest) -> KeptCalibration:
        """Return the calibration, durable; the same for the same pairs.

        Raises:
            InvalidInputError: the reason why these pairs tell nothing, see
                `domain.calibration.calibrate`; or they cannot be compared.
            AssetNotFoundError, NotEmbeddedError, RecipeMismatchError: an asset cannot
                be compared.
            OverloadedError, UnavailableError: see `Embedder.features`.
        """
        check_collection(request.collection)
        if not request.pairs:
            request = replace(request, pairs=await self._reviewed(request.collection))
        shown = _shown(request)
        # Labels that tell nothing are refused before anything is computed.
        await asyncio.to_thread(divide, request.pairs, request.identities)
        await self.characters.check_shown(shown, request.collection)
        scores = await self._scores(request, shown)
        recipe = self.subjects.embeddings.recipe.id
        made_for = CalibrationFor(recipe, request.score, request.target_fpr)
        calibration = await asyncio.to_thread(
            calibrate, request.pairs, scores, made_for, request.identities
        )
        kept = KeptCalibration(request.collection, self.characters.now(), calibration)
        await self._store.put(kept)
        return kept

    async def get(self, calibration_id: str) -> KeptCalibration:
        """Return the calibration. Absent: CalibrationNotFoundError."""
        if found := await self._store.get(calibration_id):
            return found
        raise _absent(calibration_id)

    async def find(self, query: CalibrationQuery) -> CalibrationPage:
        """Return a page of calibrations, newest first."""
        return await self._store.find(query)

    async def remove(self, calibration_id: str) -> None:
        """Erase the calibration. Absent: CalibrationNotFoundError."""
        if not await self._store.remove(calibration_id):
            raise _absent(calibration_id)

    async def newest(
        self, collection: str, framing: Framing | None = None
    ) -> dict[Score, KeptCalibration]:
        """Return the newest calibration of each score under the loaded recipe.

        Args:
            collection: of what is compared.
            framing: of its features; of patches that embeddings are not made with, no
                score but `whole_image` was calibrated.
        """
        recipe = self.subjects.embeddings.recipe.id
        found: dict[Score, KeptCalibration] = {}
        scores: tuple[Score, ...] = get_args(Score)
        for score in scores if framing is None else scores[:1]:
            query = CalibrationQuery(collection, recipe, score, limit=1)
            for kept in (await self._store.find(query)).calibrations:
                found[score] = kept
        return found

    @property
    def _store(self) -> CalibrationStore:
        return self.characters.documents.characters.calibrations

    async def _reviewed(self, collection: str) -> list[LabelledPair]:
        reviews = self.characters.documents.characters.reviews
        return [each.pair for each in await reviews.get(collection)]

    async def _scores(
        self, request: CalibrationRequest, shown: Mapping[str, Reference]
    ) -> list[float]:
        compared = await self._compared(shown, request.score)
        scores: list[float] = []
        waiting = iter(request.pairs)
        # In steps, so that a caller who leaves ends it.
        while some := list(islice(waiting, _PAIRS_AT_ONCE)):
            pairs = [(compared[pair.left], compared[pair.right]) for pair in some]
            scores += await asyncio.to_thread(_measured, pairs)
        return scores

    async def _compared(
        self, shown: Mapping[str, Reference], score: Score
    ) -> Mapping[str, Matrix]:
        """Return by asset id what the score compares: one vector, or patches."""
        ids = [each.asset_id for each in shown.values()]
        if score == "whole_image":
            return await self.subjects.embeddings.vectors_of(ids)
        found: dict[str, Matrix] = {}
        waiting = iter(shown.items())
        while some := dict(islice(waiting, _ASSETS_AT_ONCE)):
            for name, (subject, _) in (await self.subjects.look(some)).items():
                is_mean = score == "foreground"
                key = some[name].asset_id
                found[key] = subject.mean if is_mean else subject.patches
        return found


def _shown(request: CalibrationRequest) -> dict[str, Reference]:
    """Return every asset once, by the place where it is first named."""
    check_each_once(request.regions, "regions", MAX_ASSETS)
    places: dict[str, str] = {}
    for at, pair in enumerate(request.pairs):
        places.setdefault(pair.left, f"pairs[{at}].left")
        places.setdefault(pair.right, f"pairs[{at}].right")
    if len(places) > MAX_ASSETS:
        raise InvalidInputError(
            f"The pairs of a calibration may be of {MAX_ASSETS} assets; these are of"
            f" {len(places)}.",
            field="pairs",
            limit=MAX_ASSETS,
            value=len(places),
        )
    regions = {each.asset_id: each for each in request.regions}
    _check_named(places, request.identities, "identities")
    _check_named(places, regions, "regions")
    for at, each in enumerate(request.regions):
        places[each.asset_id] = f"regions[{at}]"
    return {name: regions.get(key, Reference(key)) for key, name in places.items()}


def _check_named(known: Mapping[str, str], named: Iterable[str], field: str) -> None:
    for asset_id in named:
        if asset_id not in known:
            raise InvalidInputError(
                "This asset is in none of the pairs.", field=field, value=asset_id
            )


def _measured(pairs: Sequence[tuple[Matrix, Matrix]]) -> list[float]:
    """Return the score of each pair, as `character_checks.compare` does."""
    return [
        cosine(left, right)
        if left.ndim == 1
        else mutual_nearest(left, right).mean_cosine
        for left, right in pairs
    ]


def _absent(calibration_id: str) -> CalibrationNotFoundError:
    return CalibrationNotFoundError(
        f"No calibration has the id {calibration_id}.", value=calibration_id
    )
