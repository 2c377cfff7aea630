"""Search: the nearest assets to an asset, an image or a vector."""

import time
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dinoserve.domain.assets import Asset, Filter, check_collection
from dinoserve.domain.similarity import Hit
from dinoserve.domain.vectors import Vector, normalise
from dinoserve.errors import InvalidInputError
from dinoserve.ports import DocumentStore, Space, VectorIndex
from dinoserve.services.embeddings import EmbeddingService
from dinoserve.services.sources import Encoded, Kept, Linked
from dinoserve.telemetry import Metrics


class Given(NamedTuple):
    """A vector the caller brings, and the recipe it says it has."""

    vector: NDArray[np.floating[Any]]
    recipe: str | None


Query: TypeAlias = Kept | Encoded | Linked | Given


@dataclass(frozen=True, slots=True)
class SearchRequest:
    """What to look for and where.

    Attributes:
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


class Found(NamedTuple):
    """An asset and its cosine to the query."""

    asset: Asset
    score: float


@dataclass(frozen=True, slots=True)
class SearchResult:
    """Hits, best first.

    Attributes:
        exact: every vector of the recipe was compared.
        not_searched: assets of the collection that have other recipes only.
    """

    recipe: str
    exact: bool
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
        total = 0
        async for batch in self.documents.scan(recipe):
            for collection in {entry.collection for entry in batch}:
                rows = [entry for entry in batch if entry.collection == collection]
                await self.index.upsert(
                    Space(collection, recipe),
                    [row.asset_id for row in rows],
                    np.stack([row.vector for row in rows]),
                )
            total += len(batch)
        return total

    async def search(self, request: SearchRequest) -> SearchResult:
        """Return the nearest assets; the query asset itself is left out.

        Raises:
            InvalidInputError: the query's image or vector cannot be used.
            AssetNotFoundError, NotEmbeddedError: the query asset has no vector.
            RecipeMismatchError: query or whole collection is of another recipe.
        """
        check_collection(request.collection)
        vector = await self._vector(request.query)
        space = Space(request.collection, self.embeddings.recipe.id)
        not_searched = await self._not_searched(space)
        start = time.perf_counter()
        with self.metrics.stage("search"):
            hits = await self._hits(request, space, vector)
            found = await self._found(hits, request)
        took_ms = (time.perf_counter() - start) * 1000
        return SearchResult(
            recipe=space.recipe,
            exact=request.exact or self.index.is_exact,
            took_ms=took_ms,
            not_searched=not_searched,
            hits=found,
        )

    async def _vector(self, query: Query) -> Vector:
        match query:
            case Given(vector, recipe):
                return self._check_given(vector, recipe)
            case Kept(asset_id):
                return (await self.embeddings.vectors_of([asset_id]))[asset_id]
            case _:
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

    async def _hits(
        self, request: SearchRequest, space: Space, vector: Vector
    ) -> list[Hit]:
        among: Collection[str] | None = None
        if request.where:
            among = await self.documents.ids(request.collection, request.where)
        # One more than asked for, because the query asset is its own best hit.
        k = request.k + 1
        return await self.index.search(space, vector, k, among, exact=request.exact)

    async def _found(self, hits: list[Hit], request: SearchRequest) -> list[Found]:
        own = request.query.asset_id if isinstance(request.query, Kept) else None
        kept = [
            hit
            for hit in hits
            if hit.asset_id != own and hit.score >= request.min_score
        ][: request.k]
        assets = await self.documents.get([hit.asset_id for hit in kept])
        return [
            Found(assets[hit.asset_id], hit.score)
            for hit in kept
            if hit.asset_id in assets
        ]
