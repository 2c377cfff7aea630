"""Groups over HTTP."""

import asyncio
from typing import Annotated, Self

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field, model_validator
from pydantic_core import PydanticCustomError

from dinoserve.domain.groups import Group
from dinoserve.errors import (
    AssetNotFoundError,
    NotEmbeddedError,
    NotInstalledError,
    OverloadedError,
    RecipeMismatchError,
    UnavailableError,
)
from dinoserve.services.asset_choice import Choice
from dinoserve.services.groups import MAX_DIRECT, Grouped, Grouping
from dinoserve.web.bodies import json_body, read_json
from dinoserve.web.comparing import GroupingFields
from dinoserve.web.deps import ServicesDep, unless_caller_leaves
from dinoserve.web.problems import responses
from dinoserve.web.schemas import AssetIdText, Body, CollectionText

router = APIRouter(tags=["groups"])

_AssetIds = Annotated[list[AssetIdText], Field(min_length=1, max_length=MAX_DIRECT)]


class GroupsBody(Body, GroupingFields):
    """Assets to group: exactly one of `assets` and `collection`."""

    assets: _AssetIds | None = None
    collection: CollectionText | None = Field(
        default=None, description=f"With up to {MAX_DIRECT} assets."
    )

    @model_validator(mode="after")
    def _one_choice(self) -> Self:
        if (self.assets is None) == (self.collection is None):
            raise PydanticCustomError(
                "one_of", "give just one of `assets` and `collection`"
            )
        return self

    def to_domain(self) -> tuple[Choice, Grouping]:
        """Return which assets are meant, and how they are grouped."""
        how = Grouping(**self.model_dump(include=set(GroupingFields.model_fields)))
        collections = [self.collection] if self.collection else []
        return Choice(self.assets or (), collections, "collection"), how


class MemberView(BaseModel):
    """An asset, and its mean cosine with the others of its group, in [-1, 1]."""

    asset: str
    score: float


class GroupView(BaseModel):
    """What belongs together; the first member is the medoid."""

    assets: list[MemberView]
    representatives: list[str]
    outliers: list[str]


class PointView(BaseModel):
    """Where an asset lies on the map."""

    asset: str
    x: float
    y: float


class GroupsAnswer(BaseModel):
    """Every asset that has a vector is in just one group, or ungrouped."""

    recipe: str
    without_vector: int = Field(
        description="Assets of the collection without a vector of the recipe."
    )
    groups: list[GroupView] = Field(description="The largest first.")
    ungrouped: list[str]
    map: list[PointView] | None

    @classmethod
    def of(cls, grouped: Grouped, representatives: int) -> "GroupsAnswer":
        """Return the answer."""
        return cls(
            recipe=grouped.recipe,
            without_vector=grouped.without_vector,
            groups=[_view(grouped, each, representatives) for each in grouped.groups],
            ungrouped=grouped.names(grouped.ungrouped),
            map=None
            if grouped.points is None
            else [
                PointView(asset=key, x=x, y=y)
                for key, (x, y) in zip(
                    grouped.ids, grouped.points.tolist(), strict=True
                )
            ],
        )


@router.post(
    "/v1/groups",
    response_model=GroupsAnswer,
    openapi_extra=json_body(GroupsBody),
    responses=responses(
        AssetNotFoundError,
        NotEmbeddedError,
        RecipeMismatchError,
        NotInstalledError,
        OverloadedError,
        UnavailableError,
    ),
)
async def group_assets(request: Request, services: ServicesDep) -> Response:
    """Return what belongs together among a few assets."""
    body = await read_json(request, GroupsBody)
    choice, how = body.to_domain()
    work = services.groups.group(choice, how)
    grouped = await unless_caller_leaves(request, work)
    # A thousand members take longer than the event loop may be away.
    answer = await asyncio.to_thread(_json, grouped, how.representatives)
    return Response(answer, media_type="application/json")


def _json(grouped: Grouped, representatives: int) -> str:
    return GroupsAnswer.of(grouped, representatives).model_dump_json()


def _view(grouped: Grouped, group: Group, representatives: int) -> GroupView:
    members = grouped.names(group.members)
    scores = zip(members, group.scores.tolist(), strict=True)
    return GroupView(
        assets=[MemberView(asset=key, score=score) for key, score in scores],
        representatives=members[:representatives],
        outliers=grouped.names(group.outliers),
    )
