"""What is told of characters and of checks against them."""

import base64
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import BaseModel, Field

from dinoserve.domain.character_checks import (
    Likeness,
    Origin,
    Part,
    Subject,
    box_around,
)
from dinoserve.domain.characters import Character, Check
from dinoserve.domain.kept_calibrations import Judgement
from dinoserve.services.character_checks import Checked


class ReferenceView(BaseModel):
    """A reference as it is shown."""

    asset: str
    box: list[float] | None
    has_mask: bool


class CharacterView(BaseModel):
    """A character as it is shown."""

    id: str
    collection: str
    name: str
    references: list[ReferenceView]
    attributes: dict[str, Any]
    created_at: datetime

    @classmethod
    def of(cls, character: Character) -> "CharacterView":
        """Return the view of a character."""
        return cls(
            id=character.id,
            collection=character.collection,
            name=character.name,
            references=[
                ReferenceView(
                    asset=each.asset_id,
                    box=None if each.region.box is None else list(each.region.box),
                    has_mask=each.region.mask is not None,
                )
                for each in character.references
            ],
            attributes=dict(character.attributes),
            created_at=character.created_at.astimezone(UTC),
        )


class CharactersPage(BaseModel):
    """Some characters, newest first."""

    characters: list[CharacterView]
    next_cursor: str | None


class LikenessView(BaseModel):
    """How alike two subjects look, in parts that are never made one number."""

    whole_image: float = Field(description="Cosine of the embeddings.")
    foreground: float = Field(description="Cosine of the foregrounds' mean patches.")
    pairs: int = Field(description="Patches that are each other's nearest.")
    reference_share: float = Field(description="Share of the reference's, 0 to 1.")
    asset_share: float = Field(description="Share of the asset's, 0 to 1.")
    pair_mean: float = Field(description="Mean cosine of the pairs.")
    reference_mean: float = Field(
        description="Mean of the greatest cosine of each patch of the reference."
    )
    asset_mean: float = Field(description="The same of each patch of the asset.")

    @classmethod
    def of(cls, likeness: Likeness) -> "LikenessView":
        """Return the view of a likeness."""
        return cls(**likeness._asdict())


class JudgementView(BaseModel):
    """What a calibration says of one score."""

    calibration: str = Field(description="Its id.")
    score: str = Field(description="Which part of the likeness it judges.")
    probability: float = Field(description="That both show the same, 0 to 1.")
    threshold: float = Field(description="The lowest score that is a match.")
    verdict: Literal["match", "no_match"]

    @classmethod
    def of(cls, judgement: Judgement) -> "JudgementView":
        """Return the view of a judgement."""
        return cls.model_validate(judgement._asdict())


class ForegroundView(BaseModel):
    """Which patches were compared."""

    origin: Origin = Field(description="Who said so; `found`: nobody.")
    box: list[float] = Field(description="Around it, in upright pixels.")
    mask: list[str] = Field(description="A text per row of patches; `1`: compared.")

    @classmethod
    def of(cls, subject: Subject) -> "ForegroundView":
        """Return the view of a subject's foreground."""
        rows, columns = subject.mask.nonzero()
        cells = list(zip(rows.tolist(), columns.tolist(), strict=True))
        return cls(
            origin=subject.origin,
            box=list(box_around(cells, subject.geometry)),
            mask=["".join("01"[cell] for cell in row) for row in subject.mask.tolist()],
        )


class PartView(BaseModel):
    """Patches of the reference that hang together."""

    box: list[float] = Field(description="In upright pixels of the reference.")
    patches: int
    similarity: float = Field(description="Mean of their greatest cosines.")

    @classmethod
    def of(cls, part: Part) -> "PartView":
        """Return the view of a part."""
        return cls.model_validate(part.told())


class ReferenceLikeness(BaseModel):
    """How alike the asset is to one reference."""

    asset: str
    appearance_similarity: LikenessView
    judgements: list[JudgementView]


class CheckedView(BaseModel):
    """What the check of one asset found; regions are those of the best reference."""

    asset: str
    best_reference: str
    appearance_similarity: LikenessView
    judgements: list[JudgementView] = Field(
        description="Of the best reference, by calibrations of this collection."
    )
    references: list[ReferenceLikeness] = Field(description="Every one, best first.")
    reference_foreground: ForegroundView
    foreground: ForegroundView
    found: list[PartView]
    drifted: list[PartView]
    overlay: str | None = Field(description="A PNG in base64, where it was asked for.")

    @classmethod
    def of(cls, checked: Checked) -> "CheckedView":
        """Return the view of what was found."""
        views = [
            ReferenceLikeness(
                asset=key,
                appearance_similarity=LikenessView.of(value),
                judgements=[JudgementView.of(each) for each in checked.judgements[key]],
            )
            for key, value in checked.likenesses.items()
        ]
        return cls(
            asset=checked.asset_id,
            best_reference=checked.best,
            appearance_similarity=views[0].appearance_similarity,
            judgements=views[0].judgements,
            references=views,
            reference_foreground=ForegroundView.of(checked.reference),
            foreground=ForegroundView.of(checked.asset),
            found=[PartView.of(part) for part in checked.found],
            drifted=[PartView.of(part) for part in checked.drifted],
            overlay=base64.b64encode(checked.png).decode() if checked.png else None,
        )


class CheckAnswer(BaseModel):
    """What the check found, in the order of the assets."""

    character: str
    recipe: str
    drifted_below: float
    assets: list[CheckedView]


class KeptCheckView(BaseModel):
    """What the newest check of an asset found, as it is kept."""

    asset: str
    best_reference: str
    recipe: str
    checked_at: datetime
    findings: dict[str, Any]

    @classmethod
    def of(cls, check: Check) -> "KeptCheckView":
        """Return the view of a check."""
        return cls(
            asset=check.asset_id,
            best_reference=check.reference_id,
            recipe=check.recipe,
            checked_at=check.checked_at.astimezone(UTC),
            findings=dict(check.findings),
        )


class ChecksPage(BaseModel):
    """Some checks of one character, newest first."""

    checks: list[KeptCheckView]
    next_cursor: str | None
