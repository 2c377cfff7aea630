"""Character groups over HTTP: who may be who in pictures, and what was decided."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field

from dinoserve.domain.character_reviews import MAX_REVIEWED
from dinoserve.domain.groups import Group
from dinoserve.errors import (
    AssetNotFoundError,
    NotEmbeddedError,
    OverloadedError,
    RecipeMismatchError,
    StorageFullError,
    UnavailableError,
)
from dinoserve.services.calibrations import MAX_ASSETS
from dinoserve.services.character_groups import (
    CharacterGroups,
    Decision,
    GroupingRequest,
    Review,
)
from dinoserve.web.bodies import json_body, read_json
from dinoserve.web.deps import ServicesDep, unless_caller_leaves
from dinoserve.web.problems import responses
from dinoserve.web.schemas import AssetIdText, Body, CollectionText

router = APIRouter(prefix="/v1", tags=["characters"])


class CharacterGroupsBody(Body):
    """Which pictures are grouped, and how."""

    collection: CollectionText = "default"
    assets: list[AssetIdText] | None = Field(
        default=None,
        min_length=1,
        max_length=MAX_ASSETS,
        description="Some of the collection; else all of it.",
    )
    k: int = Field(default=3, ge=1, le=50, description="Nearest pictures of each.")
    min_score: float = Field(default=0.7, ge=-1, le=1)

    def to_domain(self) -> GroupingRequest:
        """Return the request."""
        assets = self.assets or ()
        return GroupingRequest(self.collection, assets, self.k, self.min_score)


class MemberView(BaseModel):
    """A picture of a group."""

    asset: str
    score: float = Field(description="Mean foreground cosine with the others.")
    outlier: bool = Field(description="It hardly fits: look at it first.")


class CharacterGroupView(BaseModel):
    """Pictures that may show one character; who stands for them comes first."""

    assets: list[MemberView]

    @classmethod
    def of(cls, found: CharacterGroups, group: Group) -> "CharacterGroupView":
        """Return the view of one of the groups that were found."""
        outliers = set(group.outliers.tolist())
        members = zip(
            found.names(group),
            group.members.tolist(),
            group.scores.tolist(),
            strict=True,
        )
        return cls(
            assets=[
                MemberView(asset=asset, score=score, outlier=at in outliers)
                for asset, at, score in members
            ]
        )


class CharacterGroupsAnswer(BaseModel):
    """Pictures in groups; every one is in just one, or ungrouped."""

    recipe: str
    groups: list[CharacterGroupView]
    ungrouped: list[str]
    without_vector: int

    @classmethod
    def of(cls, found: CharacterGroups, recipe: str) -> "CharacterGroupsAnswer":
        """Return the answer of what was found."""
        views = [CharacterGroupView.of(found, group) for group in found.groups]
        return cls(
            recipe=recipe,
            groups=views,
            ungrouped=found.ungrouped,
            without_vector=found.without_vector,
        )


class ReviewBody(Body):
    """What somebody decided of groups."""

    collection: CollectionText = "default"
    decision: Decision = Field(
        description="`accept`: the group shows one character; `merge`: the groups show"
        " the same one; `split`: each shows another one."
    )
    groups: list[Annotated[list[AssetIdText], Field(min_length=1)]] = Field(
        min_length=1, max_length=MAX_REVIEWED
    )

    def to_domain(self) -> Review:
        """Return the review."""
        return Review(self.collection, self.decision, self.groups)


class ReviewedView(BaseModel):
    """How many pairs of assets are labelled."""

    same: int
    different: int


class ReviewsQuery(Body):
    """Of which collection."""

    collection: CollectionText


@router.post(
    "/character-groups",
    openapi_extra=json_body(CharacterGroupsBody),
    responses=responses(
        AssetNotFoundError,
        NotEmbeddedError,
        RecipeMismatchError,
        OverloadedError,
        UnavailableError,
    ),
)
async def group_characters(
    request: Request, services: ServicesDep
) -> CharacterGroupsAnswer:
    """Group pictures by whom they may show; what was reviewed is kept to."""
    asked = (await read_json(request, CharacterGroupsBody)).to_domain()
    work = services.character_groups.group(asked)
    found = await unless_caller_leaves(request, work)
    return CharacterGroupsAnswer.of(found, services.embeddings.recipe.id)


@router.post(
    "/character-reviews",
    status_code=201,
    openapi_extra=json_body(ReviewBody),
    responses=responses(AssetNotFoundError, UnavailableError, StorageFullError),
)
async def review_characters(request: Request, services: ServicesDep) -> ReviewedView:
    """Remember who is who: for later groups, and as labelled pairs."""
    asked = (await read_json(request, ReviewBody)).to_domain()
    pairs = await services.character_groups.review(asked)
    same = sum(pair.same for pair in pairs)
    return ReviewedView(same=same, different=len(pairs) - same)


@router.get("/character-reviews", responses=responses(UnavailableError))
async def count_reviews(
    asked: Annotated[ReviewsQuery, Query()], services: ServicesDep
) -> ReviewedView:
    """Count the pairs of a collection that are remembered."""
    pairs = await services.character_groups.reviewed(asked.collection)
    same = sum(each.pair.same for each in pairs)
    return ReviewedView(same=same, different=len(pairs) - same)


@router.delete(
    "/character-reviews",
    status_code=204,
    response_class=Response,
    responses=responses(UnavailableError, StorageFullError),
)
async def forget_reviews(
    asked: Annotated[ReviewsQuery, Query()], services: ServicesDep
) -> None:
    """Forget what was decided of a collection."""
    await services.character_groups.forget(asked.collection)
