"""Search and similarity over HTTP."""

import asyncio
from typing import Annotated

import numpy as np
from fastapi import APIRouter, Request
from pydantic import BaseModel, Field, FiniteFloat

from dinoserve.errors import (
    AssetNotFoundError,
    InvalidInputError,
    NotEmbeddedError,
    OverloadedError,
    RecipeMismatchError,
    UnavailableError,
)
from dinoserve.services.search import Given, Query, SearchRequest
from dinoserve.services.sources import Kept
from dinoserve.web.bodies import json_body, read_json
from dinoserve.web.deps import ServicesDep, unless_caller_leaves
from dinoserve.web.problems import IMAGE_FAULTS, responses
from dinoserve.web.schemas import (
    AssetIdText,
    AssetView,
    Body,
    CollectionText,
    FilterBody,
)
from dinoserve.web.sources import source_of

router = APIRouter(tags=["search"])

AssetIdList = Annotated[list[AssetIdText], Field(min_length=1, max_length=1000)]


class QueryBody(Body):
    """What to search by: exactly one of `asset`, `image`, `vector`."""

    asset: AssetIdText | None = None
    image: str | None = Field(default=None, description="Data URI or https URL.")
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

    def to_domain(self) -> Query:
        """Return the query, its base64 decoded."""
        given = [self.asset, self.image, self.vector]
        if sum(item is not None for item in given) != 1:
            raise InvalidInputError(
                "Give exactly one of `asset`, `image` and `vector`.", field="query"
            )
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


class SearchBody(Body):
    """What to look for and where."""

    query: QueryBody
    collection: CollectionText = "default"
    k: int = Field(default=10, ge=1, le=1000)
    filter: FilterBody = Field(default=FilterBody())
    min_score: float = Field(default=-1.0, ge=-1, le=1)
    exact: bool = Field(
        default=False,
        description="Compare with every vector; the answer tells whether it was done.",
    )


class HitView(BaseModel):
    """An asset and its cosine to the query, in [-1, 1]."""

    asset: AssetView
    score: float


class SearchAnswer(BaseModel):
    """Hits, best first; the query asset itself is left out."""

    recipe: str
    exact: bool
    took_ms: float
    not_searched: int = Field(
        description="Assets of the collection whose vectors are of other recipes."
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
        NotEmbeddedError,
        RecipeMismatchError,
        *IMAGE_FAULTS,
        OverloadedError,
        UnavailableError,
    ),
)
async def search_assets(request: Request, services: ServicesDep) -> SearchAnswer:
    """Return the assets most similar to an asset, an image or a vector."""
    body = await read_json(request, SearchBody)
    # Base64 of an image takes longer than the event loop may be away.
    query = await asyncio.to_thread(body.query.to_domain)
    wanted = SearchRequest(
        query,
        body.collection,
        body.k,
        body.filter.to_domain(),
        body.min_score,
        body.exact,
    )
    result = await unless_caller_leaves(request, services.search.search(wanted))
    return SearchAnswer(
        recipe=result.recipe,
        exact=result.exact,
        took_ms=round(result.took_ms, 3),
        not_searched=result.not_searched,
        hits=[
            HitView(asset=AssetView.of(hit.asset), score=hit.score)
            for hit in result.hits
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
