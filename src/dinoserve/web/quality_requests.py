"""What is asked of quality: thresholds, weights, a reference, a map."""

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, FiniteFloat
from pydantic_core import PydanticCustomError

from dinoserve.domain.quality import Quality
from dinoserve.domain.quality_issues import (
    RULES,
    IssueName,
    check_threshold,
    read_thresholds,
)
from dinoserve.domain.quality_typicality import MAX_NEIGHBOURS
from dinoserve.errors import InvalidInputError
from dinoserve.web.inputs import ImagesBody, images_body
from dinoserve.web.schemas import CollectionText

_EXAMPLE = "dark=0.4,greyscale=off"


def _within(
    thresholds: dict[IssueName, float | None],
) -> dict[IssueName, float | None]:
    for name, value in thresholds.items():
        try:
            if value is not None:
                check_threshold(name, value)
        except InvalidInputError as error:
            raise PydanticCustomError(
                "threshold", "{told}", {"told": error.detail, **error.extra}
            ) from None
    return thresholds


ThresholdsBody = Annotated[
    dict[IssueName, FiniteFloat | None],
    AfterValidator(_within),
    Field(description="Where issues begin, if not as usual; null: never."),
]
Weight = Annotated[FiniteFloat, Field(gt=0, le=1_000_000)]
WeightsBody = Annotated[
    dict[IssueName, Weight],
    Field(min_length=1, description="Of an overall number; by default there is none."),
]


class QualityRequest(ImagesBody):
    """Which images are measured, and where issues begin."""

    model_config = ConfigDict(extra="forbid")

    thresholds: ThresholdsBody = Field(default={})
    weights: WeightsBody | None = None
    reference: CollectionText | None = Field(
        default=None, description="The collection that typicality is told of."
    )
    k: int = Field(
        default=10,
        ge=1,
        le=MAX_NEIGHBOURS,
        description="Nearest of the reference that count.",
    )

    @classmethod
    def from_text(cls, fields: Mapping[str, object]) -> Self:
        """Return what the fields of a form or query say."""
        said = dict(fields)
        for name in ("thresholds", "weights"):
            if isinstance(text := said.get(name), str):
                said[name] = _numbers(text, name)
        return super().from_text(said)


class BlurMapRequest(ImagesBody):
    """Which image is told cell by cell, and how."""

    model_config = ConfigDict(extra="forbid")

    format: Literal["json", "png"] = "json"


class IssueView(BaseModel):
    """A value beyond its threshold."""

    issue: IssueName
    measure: str
    value: float
    threshold: float
    beyond: Literal["below", "above"]


class TypicalityView(BaseModel):
    """How the image lies to the reference: not quality."""

    distance: float = Field(description="Mean cosine distance to the k nearest.")
    percentile: float = Field(description="Of the members' own distances, 0 to 100.")


class QualityView(BaseModel):
    """What is told of one image."""

    measures: Quality
    issues: list[IssueView]
    overall: float | None = Field(default=None, description="In [0, 1].")
    typicality: TypicalityView | None = None


class ReferenceView(BaseModel):
    """What typicality is told of."""

    collection: str
    recipe: str
    k: int
    size: int = Field(description="Members that were compared with.")


class QualityAnswer(BaseModel):
    """Images in the order of the input."""

    method: str
    thresholds: dict[str, float | None]
    overall_formula: str | None = None
    reference: ReferenceView | None = None
    images: list[QualityView]


class BlurMapAnswer(BaseModel):
    """Blur of every cell: 0 sharp, 1 blurred; null: the cell is flat."""

    values: list[list[float | None]]
    cell: list[float] = Field(description="Width and height in upright pixels.")
    image_width: int
    image_height: int


OVERALL_FORMULA = (
    "sum(w * s) / sum(w); s = 1 without the issue, else value / threshold where it"
    " lies below, threshold / value where it lies above"
)
"""How `overall` is made of the weights."""


def _numbers(text: str, field: str) -> dict[IssueName, float | None]:
    try:
        return read_thresholds(text)
    except InvalidInputError as error:
        raise error.at(field) from error


_TEXT = {
    "type": "string",
    "description": f"Such as `{_EXAMPLE}`; issues are {', '.join(RULES)}.",
}
QUALITY_BODY = images_body(
    QualityRequest,
    {
        "thresholds": _TEXT,
        "weights": {"type": "string", "description": "Such as `dark=1,blurry=2`."},
        "reference": {"type": "string"},
        "k": {
            "type": "integer",
            "minimum": 1,
            "maximum": MAX_NEIGHBOURS,
            "default": 10,
        },
    },
)
BLUR_MAP_BODY = images_body(BlurMapRequest, {"format": {"enum": ["json", "png"]}})
