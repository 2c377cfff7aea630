"""Calibrations over HTTP: what a score of checks means, told from labelled pairs."""

import asyncio
from datetime import UTC, datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel, Field

from dinoserve.domain.character_checks import Score
from dinoserve.domain.characters import MAX_PAGE
from dinoserve.domain.kept_calibrations import (
    CALIBRATION_ID_PATTERN,
    KeptCalibration,
)
from dinoserve.domain.labelled_pairs import LabelledPair
from dinoserve.domain.paging import Cursor
from dinoserve.errors import (
    AssetNotFoundError,
    CalibrationNotFoundError,
    ImageDamagedError,
    ImageTooLargeError,
    ImageUnsupportedError,
    NotEmbeddedError,
    OverloadedError,
    RecipeMismatchError,
    StorageFullError,
    UnavailableError,
)
from dinoserve.ports import CalibrationQuery
from dinoserve.services.calibrations import (
    MAX_ASSETS,
    MAX_PAIRS,
    CalibrationRequest,
)
from dinoserve.web.bodies import json_body, read_json
from dinoserve.web.character_requests import Shown, shown_of
from dinoserve.web.deps import ServicesDep, unless_caller_leaves
from dinoserve.web.problems import responses
from dinoserve.web.schemas import AssetIdText, Body, CollectionText, SubjectText

router = APIRouter(prefix="/v1/calibrations", tags=["characters"])

CalibrationIdPath = Annotated[str, Path(pattern=CALIBRATION_ID_PATTERN)]


class PairBody(Body):
    """Two assets, and whether they show the same."""

    left: AssetIdText
    right: AssetIdText
    same: bool


class CalibrationBody(Body):
    """Labelled pairs, and what they are to tell."""

    collection: CollectionText = "default"
    pairs: list[PairBody] | None = Field(
        default=None,
        min_length=1,
        max_length=MAX_PAIRS,
        description="Default: those that reviews of the collection decided.",
    )
    score: Score = Field(
        default="foreground", description="Which part of the likeness is calibrated."
    )
    target_fpr: float = Field(
        default=0.01,
        gt=0,
        lt=1,
        description="Share of different pairs that may be called a match.",
    )
    identities: dict[AssetIdText, SubjectText] = Field(
        default={},
        max_length=MAX_ASSETS,
        description="Who or what an asset shows, by asset id, as far as known.",
    )
    regions: list[Shown] = Field(
        default=[],
        max_length=MAX_ASSETS,
        description="Where the subject is in assets of the pairs; else it is found.",
    )

    def to_domain(self) -> CalibrationRequest:
        """Return the request; errors of the masks."""
        return CalibrationRequest(
            self.collection,
            [
                LabelledPair(pair.left, pair.right, pair.same)
                for pair in self.pairs or ()
            ],
            self.score,
            self.target_fpr,
            self.identities,
            shown_of(self.regions, "regions"),
        )


class CalibrationsQuery(Body):
    """Which calibrations to list."""

    collection: CollectionText | None = None
    score: Score | None = None
    cursor: str | None = Field(default=None, max_length=200)
    limit: int = Field(default=50, ge=1, le=MAX_PAGE)

    def to_domain(self) -> CalibrationQuery:
        """Return the query, its cursor read."""
        after = Cursor.decode(self.cursor) if self.cursor else None
        return CalibrationQuery(self.collection, None, self.score, after, self.limit)


class EstimateView(BaseModel):
    """A figure of the test half."""

    value: float
    low: float | None = Field(description="Of the 95 % interval over identities.")
    high: float | None


class IsotonicView(BaseModel):
    """A probability for each of some scores: straight between, flat outside."""

    kind: Literal["isotonic"]
    scores: list[float]
    probabilities: list[float]


class PlattView(BaseModel):
    """The probability is 1 / (1 + exp(-(slope * score + intercept)))."""

    kind: Literal["platt"]
    slope: float
    intercept: float


class CountsView(BaseModel):
    """Pairs by half and kind, and how many identities they show."""

    identities: int
    validation_same: int
    validation_different: int
    test_same: int
    test_different: int
    crossing: int = Field(description="With one identity in each half: not used.")


class CalibrationView(BaseModel):
    """A calibration as it is shown."""

    id: str
    collection: str
    recipe: str
    score: str
    target_fpr: float
    threshold: float = Field(description="The lowest score that is a match.")
    figures: dict[str, EstimateView]
    curve: IsotonicView | PlattView = Field(discriminator="kind")
    counts: CountsView
    created_at: datetime

    @classmethod
    def of(cls, kept: KeptCalibration) -> "CalibrationView":
        """Return the view of a calibration."""
        return cls(
            id=kept.id,
            collection=kept.collection,
            created_at=kept.created_at.astimezone(UTC),
            **kept.calibration.as_json(),
        )


class CalibrationsPage(BaseModel):
    """Some calibrations, newest first."""

    calibrations: list[CalibrationView]
    next_cursor: str | None


@router.post(
    "",
    status_code=201,
    openapi_extra=json_body(CalibrationBody),
    responses=responses(
        ImageDamagedError,
        ImageTooLargeError,
        ImageUnsupportedError,
        AssetNotFoundError,
        NotEmbeddedError,
        RecipeMismatchError,
        OverloadedError,
        UnavailableError,
        StorageFullError,
    ),
)
async def create_calibration(
    request: Request, response: Response, services: ServicesDep
) -> CalibrationView:
    """Tell from labelled pairs what a score of checks means; later checks use it.

    Identities, not pairs, are divided into two halves: threshold and curve are fitted
    on one, the figures measured on the other.
    """
    body = await read_json(request, CalibrationBody)
    asked = await asyncio.to_thread(body.to_domain)
    work = services.calibrations.create(asked)
    kept = await unless_caller_leaves(request, work)
    response.headers["location"] = f"{router.prefix}/{kept.id}"
    return CalibrationView.of(kept)


@router.get("", responses=responses(UnavailableError))
async def list_calibrations(
    asked: Annotated[CalibrationsQuery, Query()], services: ServicesDep
) -> CalibrationsPage:
    """List calibrations, newest first."""
    page = await services.calibrations.find(asked.to_domain())
    return CalibrationsPage(
        calibrations=[CalibrationView.of(each) for each in page.calibrations],
        next_cursor=page.next.encode() if page.next else None,
    )


@router.get(
    "/{calibration_id}",
    responses=responses(CalibrationNotFoundError, UnavailableError),
)
async def get_calibration(
    calibration_id: CalibrationIdPath, services: ServicesDep
) -> CalibrationView:
    """Show one calibration."""
    return CalibrationView.of(await services.calibrations.get(calibration_id))


@router.delete(
    "/{calibration_id}",
    status_code=204,
    response_class=Response,
    responses=responses(CalibrationNotFoundError, UnavailableError, StorageFullError),
)
async def erase_calibration(
    calibration_id: CalibrationIdPath, services: ServicesDep
) -> None:
    """Erase the calibration; checks made later have no judgement by it."""
    await services.calibrations.remove(calibration_id)
