"""Duplicates over HTTP."""

import asyncio
from typing import Annotated, Self

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from dinoserve.errors import (
    AssetNotFoundError,
    OverloadedError,
    StorageFullError,
    UnavailableError,
)
from dinoserve.services.asset_choice import Choice
from dinoserve.services.duplicates import MAX_DIRECT, Compared, Sought
from dinoserve.web.bodies import json_body, read_json
from dinoserve.web.comparing import SoughtFields
from dinoserve.web.deps import ServicesDep, unless_caller_leaves
from dinoserve.web.problems import responses
from dinoserve.web.schemas import AssetIdText, Body, CollectionText

router = APIRouter(tags=["duplicates"])

_AssetIds = Annotated[list[AssetIdText], Field(min_length=1, max_length=MAX_DIRECT)]
_Collections = Annotated[list[CollectionText], Field(min_length=1, max_length=20)]


class DuplicatesBody(Body, SoughtFields):
    """Assets to compare: one of `assets`, `collection` and `collections`."""

    assets: _AssetIds | None = None
    collection: CollectionText | None = Field(
        default=None, description=f"With up to {MAX_DIRECT} assets."
    )
    collections: _Collections | None = Field(
        default=None, description=f"With up to {MAX_DIRECT} assets together."
    )
    relate: bool = Field(
        default=False, description="Keep findings as relations of the graph."
    )

    @model_validator(mode="after")
    def _one_choice(self) -> Self:
        given = (self.assets, self.collection, self.collections)
        if sum(each is not None for each in given) != 1:
            raise PydanticCustomError(
                "one_of", "give just one of `assets`, `collection` and `collections`"
            )
        return self

    def to_domain(self) -> tuple[Choice, Sought]:
        """Return which assets are meant, and what is sought."""
        sought = Sought(**self.model_dump(include=set(SoughtFields.model_fields)))
        if self.collection is not None:
            return Choice((), [self.collection], "collection"), sought
        return Choice(self.assets or (), self.collections or ()), sought


class _View(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class BestView(_View):
    """Which asset of a group to keep, and why, in words."""

    asset: str
    reasons: list[str]


class SameView(_View):
    """Assets with one digest: of their bytes, or of their decoded pixels."""

    digest: str
    assets: list[str]
    keep: BestView


class NearPairView(_View):
    """Two assets whose perceptual hashes are near."""

    left: str
    right: str
    distance: int = Field(description="Bits of 64 that differ.")
    turn: str = Field(description="Makes the right picture lie as the left one.")
    patch_share: float | None = Field(
        description="Of patches that agree, in [0, 1]; null: not compared."
    )
    patch_cosine: float | None = Field(description="Of these, on average.")


class NearView(_View):
    """Assets that near pairs link."""

    assets: list[str]
    pairs: list[NearPairView]
    keep: BestView


class AlikeView(_View):
    """Two assets whose vectors are close; that makes them no duplicates."""

    left: str
    right: str
    score: float


class DuplicatesAnswer(_View):
    """Four lists, each with its own evidence; a pair stands in the first it fits."""

    recipe: str
    assets: int
    without_fingerprint: int
    without_vector: int
    related: int | None = Field(
        default=None, description="Relations of the findings; null: not asked for."
    )
    exact: list[SameView]
    same_pixels: list[SameView]
    near: list[NearView]
    unconfirmed: list[NearPairView] = Field(
        description="Near hashes whose patches do not agree."
    )
    look_alike: list[AlikeView]

    @classmethod
    def of(cls, compared: Compared) -> "DuplicatesAnswer":
        """Return the answer."""
        found = compared.found
        return cls(
            recipe=compared.recipe,
            assets=compared.assets,
            without_fingerprint=compared.without_fingerprint,
            without_vector=compared.without_vector,
            related=compared.related,
            exact=[SameView.model_validate(each) for each in found.exact],
            same_pixels=[SameView.model_validate(each) for each in found.same_pixels],
            near=[NearView.model_validate(each) for each in found.near],
            unconfirmed=[NearPairView.model_validate(p) for p in found.unconfirmed],
            look_alike=[AlikeView.model_validate(each) for each in found.look_alike],
        )


@router.post(
    "/v1/duplicates",
    response_model=DuplicatesAnswer,
    openapi_extra=json_body(DuplicatesBody),
    responses=responses(
        AssetNotFoundError, OverloadedError, UnavailableError, StorageFullError
    ),
)
async def find_duplicates(request: Request, services: ServicesDep) -> Response:
    """Return what is the same, nearly the same, or alike among a few assets."""
    body = await read_json(request, DuplicatesBody)
    work = services.duplicates.find(*body.to_domain(), relate=body.relate)
    compared = await unless_caller_leaves(request, work)
    # Thousands of pairs take longer than the event loop may be away.
    answer = await asyncio.to_thread(_json, compared)
    return Response(answer, media_type="application/json")


def _json(compared: Compared) -> str:
    return DuplicatesAnswer.of(compared).model_dump_json()
