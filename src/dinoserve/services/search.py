"""Search: the nearest assets to assets, an image or a vector."""

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dinoserve.domain.assets import Asset, Filter, check_collection
from dinoserve.domain.character_members import Membership
from dinoserve.domain.similarity import Hit, away_from
from dinoserve.domain.vectors import Vector, normalise
from dinoserve.errors import InvalidInputError
from dinoserve.ports import DocumentStore, Nearest, SearchPath, Space, VectorIndex
from dinoserve.services.character_members import members
from dinoserve.services.embeddings import EmbeddingService
from dinoserve.services.rebuilding import give_all
from dinoserve.services.sources import Encoded, Kept, Linked
from dinoserve.telemetry import Metrics


class Given(NamedTuple):
    """A vector the caller brings, and the recipe it says it has."""

    vector: NDArray[np.floating[Any]]
    recipe: str | None


class Several(NamedTuple):
    """Assets that are searched by together.

    Attributes:
        asset_ids: at least one.
        combine: `mean`: one search by the unit vector of their mean; `any`: one by
            each, and a hit has the greatest of its cosines.
    """

    asset_ids: tuple[str, ...]
    combine: Literal["mean", "any"] = "mean"


Query: TypeAlias = Kept | Several | Encoded | Linked | Given


@dataclass(frozen=True, slots=True)
class SearchRequest:
    """What to look for and where.

    Attributes:
        unlike: assets whose vectors lead away, see `away_from`; left out of the hits.
        shows: only assets that show this character, see `members`.
        k: hits wanted, at least 1.
        min_score: only cosines at least this great.
        exact: compare with every vector.
    """

    query: Query
    collection: str = "default"
    k: int = 10
    where: Filter = field(default_factory=Filter)
    min_score: float = -1.0
    exact: bool = False
    unlike: tuple[str, ...] = ()
    shows: Membership | None = None


class Found(NamedTuple):
    """An asset and its cosine to the query."""

    asset: Asset
    score: float


@dataclass(frozen=True, slots=True)
class SearchResult:
    """Hits, best first.

    Attributes:
        exact: every vector of the recipe that the filter leaves was compared.
        path: what served it.
        not_searched: assets of the collection that have other recipes only.
    """

    recipe: str
    exact: bool
    path: SearchPath
    took_ms: float
    not_searched: int
    hits: list[Found]


@dataclass(frozen=True, slots=True)
class SearchService:
    """Finds the nearest assets under the loaded recipe."""

    documents: DocumentStore
    index: VectorIndex
    embeddings: EmbeddingService
    metrics: Metrics

    async def fill(self) -> int:
        """Read every vector of the loaded recipe into the index; return how many.

        Nothing is read for an index that knows them by itself.
        """
        recipe = self.embeddings.recipe.id
        if self.index.reads_store:
            return (await self.documents.counts()).get(recipe, 0)
        kept = await give_all(self.documents, self.index, recipe)
        return sum(map(len, kept.values()))

    async def begin(self) -> int:
        """Fill the index, and take out what the store does not have; return as `fill`.

        Before anything else changes the index: what outlived an earlier process may
        be of assets that were erased since.
        """
        recipe = self.embeddings.recipe.id
        if self.index.reads_store:
            return await self.fill()
        kept = await give_all(self.documents, self.index, recipe)
        await self.index.retain(recipe, kept)
        return sum(map(len, kept.values()))

    async def search(self, request: SearchRequest) -> SearchResult:
        """Return the nearest assets; the assets of the query are left out.

        Raises:
            InvalidInputError: the query's image or vector cannot be used.
            AssetNotFoundError, NotEmbeddedError: the query asset has no vector.
            RecipeMismatchError: query or whole collection is of another recipe.
            CharacterNotFoundError: there is no such character.
        """
        check_collection(request.collection)
        queries = await self._queries(request)
        space = Space(request.collection, self.embeddings.recipe.id)
        not_searched = await self._not_searched(space)
        start = time.perf_counter()
        with self.metrics.stage("search"):
            nearest = await self._nearest(request, space, queries)
            found = await self._found(nearest.hits, request)
        self.metrics.searches.labels(nearest.path).inc()
        took_ms = (time.perf_counter() - start) * 1000
        return SearchResult(
            recipe=space.recipe,
            exact=nearest.is_exact,
            path=nearest.path,
            took_ms=took_ms,
            not_searched=not_searched,
            hits=found,
        )

    async def _queries(self, request: SearchRequest) -> list[Vector]:
        """Return the vectors to search by, of unit length."""
        like = await self._vectors(request.query)
        if not request.unlike:
            return like
        unlike = await self._kept(request.unlike)
        return [away_from(vector, unlike) for vector in like]

    async def _vectors(self, query: Query) -> list[Vector]:
        match query:
            case Given(vector, recipe):
                return [self._check_given(vector, recipe)]
            case Kept(asset_id):
                return await self._kept([asset_id])
            case Several(asset_ids, "any"):
                return await self._kept(asset_ids)
            case Several(asset_ids):
                return [normalise(np.mean(await self._kept(asset_ids), axis=0))]
            case _:
                return [await self._embedded(query)]

    async def _kept(self, asset_ids: Sequence[str]) -> list[Vector]:
        vectors = await self.embeddings.vectors_of(asset_ids)
        return [vectors[asset_id] for asset_id in asset_ids]

    async def _embedded(self, query: Encoded | Linked) -> Vector:
        try:
            [computed] = await self.embeddings.embed([query])
        except InvalidInputError as error:
            raise error.at("query.image") from error
        return computed.vector

    def _check_given(
        self, vector: NDArray[np.floating[Any]], recipe: str | None
    ) -> Vector:
        wanted = self.embeddings.recipe
        if recipe is not None and recipe != wanted.id:
            raise self.embeddings.mismatch(recipe)
        if len(vector) != wanted.dimension:
            raise InvalidInputError(
                f"Recipe {wanted.id} has vectors of {wanted.dimension} numbers;"
                f" this one has {len(vector)}.",
                field="query.vector",
                limit=wanted.dimension,
                value=len(vector),
            )
        return normalise(vector)

    async def _not_searched(self, space: Space) -> int:
        """Return how many assets have other recipes only; refuse if all have."""
        if len(await self.documents.recipes()) == 1:
            return 0
        others = await self.documents.counts(space.collection, lacking=space.recipe)
        if others and not await self.index.count(space):
            whose = f"Every asset of collection {space.collection} has"
            raise self.embeddings.mismatch(max(others, key=others.__getitem__), whose)
        return sum(others.values())

    async def _nearest(
        self, request: SearchRequest, space: Space, queries: list[Vector]
    ) -> Nearest:
        among = await self._meant(request, space)
        # More than asked for, because assets of the query are their own best hits.
        k = request.k + len(_own(request))
        found = [
            await self.index.search(space, vector, k, among, exact=request.exact)
            for vector in queries
        ]
        return _best_of_each(found)

    async def _meant(
        self, request: SearchRequest, space: Space
    ) -> Collection[str] | None:
        """Return which assets the filter leaves; None: all."""
        shown: frozenset[str] | None = None
        if request.shows:
            characters = self.documents.characters
            shown = await members(characters, request.shows, space)
        if not request.where:
            return shown
        fitting = await self.documents.ids(request.collection, request.where)
        return fitting if shown is None else shown.intersection(fitting)

    async def _found(self, hits: list[Hit], request: SearchRequest) -> list[Found]:
        own = _own(request)
        kept = [
            hit
            for hit in hits
            if hit.asset_id not in own and hit.score >= request.min_score
        ][: request.k]
        assets = await self.documents.get([hit.asset_id for hit in kept])
        return [
            Found(assets[hit.asset_id], hit.score)
            for hit in kept
            if hit.asset_id in assets
        ]


def _own(request: SearchRequest) -> frozenset[str]:
    """Return the assets that a request searches by."""
    match request.query:
        case Kept(asset_id):
            return frozenset({asset_id, *request.unlike})
        case Several(asset_ids):
            return frozenset({*asset_ids, *request.unlike})
        case _:
            return frozenset(request.unlike)


def _best_of_each(found: Sequence[Nearest]) -> Nearest:
    """Return every hit once, with its greatest cosine, best first."""
    if len(found) == 1:
        return found[0]
    scores: dict[str, float] = {}
    for hit in (hit for each in found for hit in each.hits):
        scores[hit.asset_id] = max(hit.score, scores.get(hit.asset_id, hit.score))
    hits = [Hit(*pair) for pair in scores.items()]
    hits.sort(key=lambda hit: (-hit.score, hit.asset_id))
    # One that was not exact decides for all.
    least = min(found, key=lambda each: each.is_exact)
    return Nearest(hits, least.path, least.is_exact)
