"""How assets are compared: fields that requests and jobs share."""

from typing import Annotated

from pydantic import BaseModel, Field

from dinoserve.domain.duplicates import LISTS, List
from dinoserve.services.groups import Map, Method


class SoughtFields(BaseModel):
    """What is taken for a duplicate."""

    lists: Annotated[list[List], Field(min_length=1, max_length=len(LISTS))] = Field(
        default=list(LISTS)
    )
    max_distance: int = Field(
        default=12, ge=0, le=20, description="Bits of 64 between hashes of near pairs."
    )
    confirm: bool = Field(
        default=True, description="Compare the patches of near pairs as well."
    )
    min_patch_share: float = Field(
        default=0.05, ge=0, le=1, description="Of patches that agree in a near pair."
    )
    min_score: float = Field(
        default=0.95, ge=-1, le=1, description="Cosine of assets that look alike."
    )


class GroupingFields(BaseModel):
    """How assets are grouped."""

    method: Method = "neighbours"
    k: int = Field(default=15, ge=1, le=100, description="Neighbours of each asset.")
    min_score: float = Field(
        default=0.7, ge=-1, le=1, description="Least cosine that links neighbours."
    )
    min_size: int = Field(
        default=2, ge=2, le=1000, description="Of groups of neighbours and hdbscan."
    )
    clusters: int = Field(default=8, ge=1, le=1000, description="Of kmeans.")
    representatives: int = Field(default=3, ge=1, le=20)
    map: Map | None = Field(
        default=None, description="Where each asset lies in two dimensions."
    )
