"""Search and similarity over HTTP."""

import asyncio
from collections.abc import Sequence
from typing import Annotated, Literal

import numpy as np
from fastapi import APIRouter, Request
from pydantic import BaseModel, Field, FiniteFloat

from dinoserve.errors import (
    AssetNotFoundError,
    CharacterNotFoundError,
    InvalidInputError,
    NotEmbeddedError,
    OverloadedError,
    RecipeMismatchError,
    UnavailableError,
)
from dinoserve.ports import SearchPath
from dinoserve.services.regions import RegionFound, RegionQuery, RegionResult
from dinoserve.services.search import (
    Given,
    Query,
    SearchRequest,
    SearchResult,
    Several,
)
from dinoserve.services.sources import Kept
from dinoserve.web.bodies import json_body, read_json
from dinoserve.web.deps import ServicesDep, unless_caller_leaves
from dinoserve.web.filter_requests import FilterBody
from dinoserve.web.problems import IMAGE_FAULTS, responses
from dinoserve.web.region_requests import RegionBody
from dinoserve.web.schemas import (
    AssetIdText,
    AssetView,
    Body,
    CollectionText,
)
from dinoserve.web.sources import source_of

router = APIRouter(tags=["search"])

AssetIdList = Annotated[list[AssetIdText], Field(min_length=1, max_length=1000)]
# Each may be a search of its own.
QueryAssets = Annotated[list[AssetIdText], Field(min_length=1, max_length=100)]


class QueryBody(Body):
    """What to search by: just one of asset, assets, image, vector and region."""

    asset: AssetIdText | None = None
    assets: QueryAssets | None = Field(
        default=None, description="Several assets, combined as `combine` says."
    )
    combine: Literal["mean", "any"] = Field(
        default="mean",
        description="Of `assets`. `mean`: by the mean of their vectors; `any`: by each,"
        " and a hit has the greatest of its cosines.",
    )
    unlike: QueryAssets | None = Field(
        default=None,
        description="Assets to lead away from: half the mean of their vectors is taken"
        " off the query's.",
    )
    image: str | None = Field(default=None, description="Data URI or https URL.")
    region: RegionBody | None = Field(
        default=None, description="A part of an asset or an image."
    )
    vector: list[FiniteFloat] | None = Field(
        default=None,
        min_length=1,
        max_length=65_536,
        description="Need not have unit length.",
    )
    recipe: str | None = Field(
        default=None,
        description="The recipe of `vector`; refused if it is not the loaded one.",
    )

    async def read(self) -> Query | RegionQuery:
        """Return the query, its base64 decoded. Not just one: InvalidInputError."""
        if self.image is None and self.region is None:
            return self._to_domain()
        # Base64 of an image takes longer than the event loop may be away.
        return await asyncio.to_thread(self._to_domain)

    def _to_domain(self) -> Query | RegionQuery:
        given = [self.asset, self.assets, self.image, self.vector, self.region]
        if sum(item is not None for item in given) != 1:
            raise InvalidInputError(
                "Give exactly one of `asset`, `assets`, `image`, `vector` and"
                " `region`.",
                field="query",
            )
        if self.region is not None:
            return self._of_region(self.region)
        if self.assets is not None:
            return Several(tuple(self.assets), self.combine)
        if self.vector is not None:
            return Given(np.asarray(self.vector, np.float64), self.recipe)
        if self.asset is not None:
            return Kept(self.asset)
        source = source_of(self.image or "", "query.image")
        if isinstance(source, Kept):
            raise InvalidInputError(
                "An asset id belongs into `query.asset`.", field="query.image"
            )
        return source

    def _of_region(self, region: RegionBody) -> RegionQuery:
        if self.unlike and region.against == "regions":
            raise InvalidInputError(
                "Regions are not led away from; leave `unlike` out.",
                field="query.unlike",
            )
        return region.to_domain()


class SearchBody(Body):
    """What to look for and where."""

    query: QueryBody
    collection: CollectionText = "default"
    k: int = Field(default=10, ge=1, le=1000)
    filter: FilterBody = Field(default=FilterBody())
    min_score: float = Field(default=-1.0, ge=-1, le=1)
    exact: bool = Field(
        default=False,
        description="Compare with every vector that the filter leaves; the answer tells"
        " whether it was done.",
    )


class HitView(BaseModel):
    """An asset and its cosine to the query, in [-1, 1]."""

    asset: AssetView
    score: float
    box: list[float] | None = Field(
        default=None,
        description="Where the stored region lies that matched: left, top, right,"
        " bottom in upright pixels.",
    )


class SearchAnswer(BaseModel):
    """Hits, best first; the assets of the query are left out."""

    recipe: str
    exact: bool = Field(description="Every vector that is meant was compared.")
    path: SearchPath = Field(
        description="What served it: every vector compared, a graph, or a server."
    )
    took_ms: float
    not_searched: int = Field(
        description="Assets of the collection whose vectors are of other recipes."
    )
    without_regions: int = Field(
        default=0,
        description="Assets that were not compared because no regions are stored.",
    )
    hits: list[HitView]


class SimilarityBody(Body):
    """Assets to compare; without `right`: every one of `left` with each other."""

    left: AssetIdList
    right: AssetIdList | None = None


class SimilarityAnswer(BaseModel):
    """Cosines: a row per left asset, a column per right one."""

    recipe: str
    scores: list[list[float]]


@router.post(
    "/v1/search",
    openapi_extra=json_body(SearchBody),
    responses=responses(
        AssetNotFoundError,
        CharacterNotFoundError,
        NotEmbeddedError,
        RecipeMismatchError,
        *IMAGE_FAULTS,
        OverloadedError,
        UnavailableError,
    ),
)
async def search_assets(request: Request, services: ServicesDep) -> SearchAnswer:
    """Return the assets most similar to assets, a picture, its part, or a vector."""
    body = await read_json(request, SearchBody)
    query = await body.query.read()
    wanted = SearchRequest(
        query.source if isinstance(query, RegionQuery) else query,
        body.collection,
        body.k,
        body.filter.to_domain(),
        body.min_score,
        body.exact,
        tuple(body.query.unlike or ()),
        body.filter.shows,
    )
    if isinstance(query, RegionQuery):
        region = services.regions.find(query, wanted)
        return _of_regions(await unless_caller_leaves(request, region))
    result = await unless_caller_leaves(request, services.search.search(wanted))
    return _answer(result, [RegionFound(hit, None) for hit in result.hits], 0)


def _of_regions(result: RegionResult) -> SearchAnswer:
    return _answer(result.search, result.hits, result.without_regions)


def _answer(
    result: SearchResult, hits: Sequence[RegionFound], without_regions: int
) -> SearchAnswer:
    return SearchAnswer(
        recipe=result.recipe,
        exact=result.exact,
        path=result.path,
        took_ms=round(result.took_ms, 3),
        not_searched=result.not_searched,
        without_regions=without_regions,
        hits=[
            HitView(
                asset=AssetView.of(hit.asset),
                score=hit.score,
                box=None if box is None else list(box),
            )
            for hit, box in hits
        ],
    )


@router.post(
    "/v1/similarity",
    openapi_extra=json_body(SimilarityBody),
    responses=responses(
        AssetNotFoundError, NotEmbeddedError, RecipeMismatchError, UnavailableError
    ),
)
async def compare_assets(request: Request, services: ServicesDep) -> SimilarityAnswer:
    """Return the cosine of every left asset with every right one."""
    body = await read_json(request, SimilarityBody)
    result = await services.similarity.compare(body.left, body.right or body.left)
    return SimilarityAnswer(recipe=result.recipe, scores=result.scores.tolist())
