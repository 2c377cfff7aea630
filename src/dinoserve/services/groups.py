"""Groups: what belongs together among assets, by their vectors."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dinoserve.domain.groups import (
    Group,
    Labels,
    components,
    coordinates,
    grouped,
    loners,
    mutual,
)
from dinoserve.domain.neighbours import nearest_others
from dinoserve.domain.vectors import Matrix, Vector
from dinoserve.errors import InvalidInputError
from dinoserve.ports import Clustering
from dinoserve.services.asset_choice import Choice
from dinoserve.services.embeddings import EmbeddingService

Method: TypeAlias = Literal["neighbours", "hdbscan", "kmeans"]
Map: TypeAlias = Literal["pca", "umap"]

MAX_DIRECT: Final = 1000
"""Assets that are grouped while the caller waits."""

MAX_SET: Final = 100_000
"""Assets that one job groups."""

MAX_HDBSCAN: Final = 20_000
"""Assets that HDBSCAN groups: its time grows with their square."""

BY_JOB: Final = 'Ask for a job of kind "groups".'

# More axes make HDBSCAN slower by far, and its groups no better.
_AXES = 30
_FEWEST_FOR_UMAP = 4


@dataclass(frozen=True, slots=True)
class Grouping:
    """How assets are grouped.

    Attributes:
        method: `neighbours`: connected components of the graph in which two assets
            are linked if each is among the other's `k` nearest with a cosine of
            `min_score` or more; `hdbscan`: clusters by density; `kmeans`: `clusters`
            centres.
        min_size: members of the smallest group of `neighbours` and `hdbscan`.
        representatives: of each group, at most.
        map: where every asset lies in two dimensions; None: nowhere.
    """

    method: Method = "neighbours"
    k: int = 15
    min_score: float = 0.7
    min_size: int = 2
    clusters: int = 8
    representatives: int = 3
    map: Map | None = None


@dataclass(frozen=True, slots=True)
class Grouped:
    """Assets in groups; every one is in just one group, or ungrouped.

    Attributes:
        ids: of all that have a vector, rising.
        without_vector: how many of a collection have no vector of the recipe.
        groups: of places in `ids`, the largest first.
        ungrouped: places in `ids`, rising.
        points: float64 (n, 2), if a map was asked for.
    """

    recipe: str
    ids: Sequence[str]
    without_vector: int
    groups: Sequence[Group]
    ungrouped: NDArray[np.int32]
    points: NDArray[np.float64] | None

    def names(self, places: NDArray[np.int32]) -> list[str]:
        """Return the ids at these places."""
        return [self.ids[int(at)] for at in places]


@dataclass(frozen=True, slots=True)
class GroupService:
    """Groups assets under the loaded recipe."""

    embeddings: EmbeddingService
    clustering: Clustering

    async def group(self, choice: Choice, how: Grouping) -> Grouped:
        """Return the groups of a few assets.

        Raises:
            InvalidInputError: they are too many or none, or fewer than `clusters`.
            NotInstalledError: the map takes a library.
            OverloadedError: too many sets wait to be clustered.
            AssetNotFoundError, NotEmbeddedError, RecipeMismatchError: of assets that
                were named.
        """
        self.check(how)
        ids = await choice.ids(self.embeddings.documents, MAX_DIRECT, BY_JOB)
        if choice.assets:
            return await self.among(ids, await self.embeddings.vectors_of(ids), how)
        if not ids:
            raise InvalidInputError(
                "There are no assets in this collection.",
                field=choice.field,
                value=[*choice.collections],
            )
        return await self.among(ids, await self.embeddings.stored(ids), how)

    def check(self, how: Grouping) -> None:
        """Pass if the server can group so; else NotInstalledError."""
        if how.map == "umap":
            self.clustering.check_umap()

    async def among(
        self, ids: Sequence[str], vectors: Mapping[str, Vector], how: Grouping
    ) -> Grouped:
        """Return the groups of those assets that have a vector; errors as `group`."""
        held = sorted(key for key in ids if key in vectors)
        rows = await asyncio.to_thread(_rows, held, vectors, self._dimension)
        labels = await self._labels(rows, how)
        least = 1 if how.method == "kmeans" else how.min_size
        groups = await asyncio.to_thread(grouped, rows, labels, least)
        return Grouped(
            recipe=self.embeddings.recipe.id,
            ids=held,
            without_vector=len(ids) - len(held),
            groups=groups,
            ungrouped=loners(len(held), groups),
            points=await self._points(rows, how),
        )

    @property
    def _dimension(self) -> int:
        return self.embeddings.recipe.dimension

    async def _labels(self, rows: Matrix, how: Grouping) -> Labels:
        match how.method:
            case "neighbours":
                return await asyncio.to_thread(_linked, rows, how)
            case "hdbscan":
                _check_count(len(rows), MAX_HDBSCAN)
                points = await asyncio.to_thread(coordinates, rows, _AXES)
                return await self.clustering.hdbscan(points, how.min_size)
            case "kmeans":
                _check_clusters(how.clusters, len(rows))
                return await self.clustering.kmeans(rows, how.clusters)

    async def _points(self, rows: Matrix, how: Grouping) -> NDArray[np.float64] | None:
        if how.map is None:
            return None
        if how.map == "umap" and len(rows) >= _FEWEST_FOR_UMAP:
            return await self.clustering.umap(rows)
        return await asyncio.to_thread(coordinates, rows, 2)


def _rows(ids: Sequence[str], vectors: Mapping[str, Vector], width: int) -> Matrix:
    if not ids:
        return np.empty((0, width), np.float32)
    return np.stack([vectors[key] for key in ids])


def _linked(rows: Matrix, how: Grouping) -> Labels:
    everyone = np.arange(len(rows), dtype=np.int32)
    found = nearest_others(rows, everyone, how.k, how.min_score)
    return components(len(rows), *mutual(found))


def _check_count(count: int, limit: int) -> None:
    if count > limit:
        raise InvalidInputError(
            f"HDBSCAN groups {limit} assets; these are {count}. `neighbours` and"
            " `kmeans` take more.",
            field="method",
            limit=limit,
            value=count,
        )


def _check_clusters(clusters: int, count: int) -> None:
    if clusters > count:
        raise InvalidInputError(
            f"{count} assets cannot make {clusters} clusters.",
            field="clusters",
            limit=count,
            value=clusters,
        )
