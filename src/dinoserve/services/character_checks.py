"""Character checks: how alike a character looks in its references and in assets."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

from dinoserve.domain.character_checks import (
    DRIFTED_BELOW,
    Comparison,
    Likeness,
    Part,
    Subject,
    best_of,
    colours_of,
    compare,
    found_and_drifted,
)
from dinoserve.domain.characters import Character, Check, Reference, check_each_once
from dinoserve.domain.framing import Framing
from dinoserve.domain.kept_calibrations import Judgement, judge
from dinoserve.errors import NoReferencesError
from dinoserve.ports import Painted, Renderer
from dinoserve.services.calibrations import CalibrationService
from dinoserve.services.characters import CharacterService, numbered
from dinoserve.services.embeddings import EmbeddingService
from dinoserve.services.subjects import Looked, SubjectService

MAX_CHECKED: Final = 32
"""Assets of one check."""
MAX_OVERLAYS: Final = 4
"""Assets of one check that is drawn."""

_KEPT_PARTS = 32


@dataclass(frozen=True, slots=True)
class CheckRequest:
    """What to check, and how.

    Attributes:
        shown: assets, each with where the subject is; 1 to `MAX_CHECKED`.
        framing: size and fit of the features; None is what embeddings are made with.
        drifted_below: cosine in [-1, 1] below which a patch of a reference is told as
            drifted.
        overlay: draw each best reference beside its asset.
    """

    character_id: str
    shown: Sequence[Reference]
    framing: Framing | None = None
    drifted_below: float = DRIFTED_BELOW
    overlay: bool = False


@dataclass(frozen=True, slots=True)
class Checked:
    """What the check of an asset found.

    Attributes:
        likenesses: by reference, the best first.
        reference: the best reference.
        asset: the subject as it was compared.
        found: parts of the best reference's foreground that the asset shows.
        drifted: those that it does not.
        judgements: by reference: what calibrations say of its likeness.
        png: the overlay, where it was asked for.
    """

    asset_id: str
    likenesses: Mapping[str, Likeness]
    reference: Subject
    asset: Subject
    found: Sequence[Part]
    drifted: Sequence[Part]
    judgements: Mapping[str, Sequence[Judgement]]
    png: bytes | None = field(default=None, repr=False)

    @property
    def best(self) -> str:
        """The asset of the best reference: the greatest foreground cosine."""
        return next(iter(self.likenesses))


class _Pair(NamedTuple):
    """An asset and its best reference."""

    checked: Checked
    comparison: Comparison


@dataclass(frozen=True, slots=True)
class CharacterCheckService:
    """Compares assets with the references of a character, and keeps what it found."""

    characters: CharacterService
    subjects: SubjectService
    calibrations: CalibrationService
    renderer: Renderer

    @property
    def embeddings(self) -> EmbeddingService:
        """What assets are seen by."""
        return self.subjects.embeddings

    async def check(self, request: CheckRequest) -> list[Checked]:
        """Return what each asset's check found, in order; all of them or an error.

        Raises:
            CharacterNotFoundError, NoReferencesError: there is nothing to compare with.
            AssetNotFoundError, NotEmbeddedError, RecipeMismatchError: an asset or a
                reference cannot be compared.
            InvalidInputError: assets, regions or framing cannot be used.
            OverloadedError, UnavailableError: see `Embedder.features`.
        """
        character = await self.characters.get(request.character_id)
        self._check(request, character)
        references = numbered("references", character.references)
        assets = numbered("assets", request.shown)
        await self.characters.check_shown(assets, character.collection)
        looked = await self.subjects.look(references | assets, request.framing)
        subjects = [each.subject for each in looked.values()]
        count = len(references)
        pairs = await asyncio.to_thread(
            _compared, character, subjects[:count], subjects[count:], request
        )
        pairs = await self._judged(character, pairs, request)
        await self._keep(character, pairs, request)
        by_id = _by_id(references | assets, looked)
        return [await self._drawn(pair, by_id, request) for pair in pairs]

    def _check(self, request: CheckRequest, character: Character) -> None:
        if not character.references:
            raise NoReferencesError(
                f"The character {character.id} has no references.", value=character.id
            )
        limit = MAX_OVERLAYS if request.overlay else MAX_CHECKED
        check_each_once(request.shown, "assets", limit)

    async def _judged(
        self, character: Character, pairs: Sequence[_Pair], request: CheckRequest
    ) -> list[_Pair]:
        """Return the pairs with what calibrations say, as far as there are any."""
        known = await self.calibrations.newest(character.collection, request.framing)
        return [
            pair._replace(
                checked=replace(
                    pair.checked,
                    judgements={
                        key: judge(likeness, known)
                        for key, likeness in pair.checked.likenesses.items()
                    },
                )
            )
            for pair in pairs
        ]

    async def _keep(
        self, character: Character, pairs: Sequence[_Pair], request: CheckRequest
    ) -> None:
        recipe, now = self.embeddings.recipe.id, self.characters.now()
        checks = [
            Check(
                character.id,
                checked.asset_id,
                recipe,
                checked.best,
                now,
                _findings(checked, request),
            )
            for checked, _ in pairs
        ]
        self.characters.evidence.owe(character.id)
        await self.characters.documents.characters.keep(checks)
        await self.characters.evidence.checked(character.id, checks)

    async def _drawn(
        self, pair: _Pair, looked: Mapping[str, Looked], request: CheckRequest
    ) -> Checked:
        checked, comparison = pair
        if not request.overlay:
            return checked
        sides = (
            (checked.best, checked.reference, comparison.reference_scores),
            (checked.asset_id, checked.asset, comparison.asset_scores),
        )
        left, right = (
            Painted(
                colours_of(scores, shown.mask, request.drifted_below),
                shown.geometry,
                looked[key].image,
            )
            for key, shown, scores in sides
        )
        return replace(checked, png=await self.renderer.beside(left, right))


def _by_id(
    shown: Mapping[str, Reference], looked: Mapping[str, Looked]
) -> dict[str, Looked]:
    return {each.asset_id: looked[name] for name, each in shown.items()}


def _compared(
    character: Character,
    references: Sequence[Subject],
    assets: Sequence[Subject],
    request: CheckRequest,
) -> list[_Pair]:
    ids = [each.asset_id for each in character.references]
    pairs: list[_Pair] = []
    for shown, asset in zip(request.shown, assets, strict=True):
        comparisons = [compare(reference, asset) for reference in references]
        best = best_of(comparisons)
        order = [best, *(at for at in range(len(ids)) if at != best)]
        found, drifted = found_and_drifted(
            comparisons[best], references[best], request.drifted_below
        )
        checked = Checked(
            shown.asset_id,
            {ids[at]: comparisons[at].likeness for at in order},
            references[best],
            asset,
            found,
            drifted,
            judgements={},
        )
        pairs.append(_Pair(checked, comparisons[best]))
    return pairs


def _findings(checked: Checked, request: CheckRequest) -> dict[str, object]:
    return {
        "appearance_similarity": checked.likenesses[checked.best]._asdict(),
        "judgements": [each._asdict() for each in checked.judgements[checked.best]],
        "foreground": {
            "reference": checked.reference.origin,
            "asset": checked.asset.origin,
        },
        "drifted_below": request.drifted_below,
        "found": [part.told() for part in checked.found[:_KEPT_PARTS]],
        "drifted": [part.told() for part in checked.drifted[:_KEPT_PARTS]],
    }
