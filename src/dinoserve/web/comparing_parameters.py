"""What jobs take that compare, group or measure."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from dinoserve.domain.character_checks import DRIFTED_BELOW
from dinoserve.domain.quality_typicality import MAX_NEIGHBOURS
from dinoserve.services.sequences import MAX_SHOTS
from dinoserve.web.character_requests import BoxList, CharacterIdText
from dinoserve.web.comparing import GroupingFields, SoughtFields
from dinoserve.web.parameter_fields import AssetIds, ChosenAssets, Once, Parameters
from dinoserve.web.quality_requests import ThresholdsBody, WeightsBody
from dinoserve.web.schemas import AssetIdText, CollectionText


class SimilarityParameters(ChosenAssets):
    """Which assets are compared, each with each."""

    mode: Literal["matrix", "neighbours"] = "neighbours"
    k: int = Field(default=10, ge=1, le=1000, description="Neighbours of each asset.")
    min_score: float | None = Field(default=None, ge=-1, le=1)
    format: Literal["ndjson", "npz"] | None = Field(
        default=None, description="Default: ndjson of neighbours, npz of a matrix."
    )

    @model_validator(mode="after")
    def _writable(self) -> Self:
        if self.mode == "matrix" and self.format == "ndjson":
            raise PydanticCustomError("format", "a matrix is written as npz only")
        return self


class NetworkParameters(ChosenAssets):
    """Which assets are related to those that look most like them."""

    assets: AssetIds | None = Field(
        default=None, description="Only these are related, and to each other."
    )
    k: int = Field(default=10, ge=1, le=100, description="Relations of each asset.")
    min_score: float = Field(
        default=0.5, gt=0, le=1, description="Least cosine of a relation."
    )
    mutual: bool = Field(
        default=False, description="Only where each is among the other's nearest."
    )
    full: bool = Field(
        default=False, description="Compare every asset anew, not only what changed."
    )
    remove_old: bool = Field(
        default=False, description="Also erase what networks of other recipes found."
    )


class DuplicatesParameters(Parameters, SoughtFields):
    """Among which assets duplicates are sought, and what is taken for one."""

    assets: AssetIds | None = None
    collection: CollectionText | None = None
    collections: (
        Annotated[list[CollectionText], Field(min_length=1, max_length=20), Once] | None
    ) = None
    relate: bool = Field(default=False, description="Keep findings as relations.")

    @model_validator(mode="after")
    def _one_choice(self) -> Self:
        self.need_one("assets", "collection", "collections")
        return self


class GroupsParameters(ChosenAssets, GroupingFields):
    """Which assets are grouped, and how."""


class QualityParameters(ChosenAssets):
    """Which assets are measured, and where issues begin."""

    thresholds: ThresholdsBody = Field(default={})
    weights: WeightsBody | None = None
    reference: CollectionText | None = Field(
        default=None, description="The collection that typicality is told of."
    )
    k: int = Field(default=10, ge=1, le=MAX_NEIGHBOURS)


class ShotParameters(Parameters):
    """A shot, and the box that its subject is in."""

    asset: AssetIdText
    box: BoxList | None = Field(
        default=None, description="Left, top, right, bottom in upright pixels."
    )


class SequenceParameters(Parameters):
    """Shots in order, and what they are compared with."""

    shots: list[AssetIdText | ShotParameters] = Field(
        min_length=2, max_length=MAX_SHOTS
    )
    collection: CollectionText = Field(
        default="default", description="Of all shots, and of the character."
    )
    character: CharacterIdText | None = Field(
        default=None, description="Default: the first shot is the reference."
    )
    drifted_below: float = Field(default=DRIFTED_BELOW, ge=-1, le=1)
