"""Clusters by libraries, and maps by umap-learn where it is installed."""

import asyncio
import importlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from importlib.util import find_spec
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from dinoserve.domain.groups import Labels, Places
from dinoserve.domain.vectors import Matrix
from dinoserve.errors import NotInstalledError, OverloadedError

_T = TypeVar("_T")

_SEED: Final = 20_251
# The best of four starts; of more distances than these a single one takes minutes.
_STARTS: Final = 4
_MANY: Final = 500_000
# What a point's neighbours are looked for among: UMAP's own default.
_NEIGHBOURS: Final = 15
# A thousand vectors take a second on a free core.
_MOST: Final = 16
_RETRY_S: Final = 5


class LearnedClustering:
    """Implements `ports.Clustering`. The libraries are imported when first used.

    It has one thread of its own, so one set is clustered at a time: nothing stops what
    a library began, and in the threads that everybody shares it would keep all others
    waiting. What has not begun is dropped when its caller leaves.
    """

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(1, "clustering")
        self._asked = 0

    async def hdbscan(
        self, points: NDArray[np.float64], least: int
    ) -> NDArray[np.int32]:
        """Return the cluster of each point; see `ports.Clustering.hdbscan`."""
        if len(points) <= least:  # so few that the library refuses, or have no density
            return np.full(len(points), -1, np.int32)
        return await self._made(lambda: _hdbscan(points, least))

    async def kmeans(self, vectors: Matrix, count: int) -> NDArray[np.int32]:
        """Return the nearest centre of each; see `ports.Clustering.kmeans`."""
        return await self._made(lambda: _kmeans(vectors, count))

    def check_umap(self) -> None:
        """Pass if umap-learn is installed; see `ports.Clustering.check_umap`."""
        if find_spec("umap") is None:
            raise NotInstalledError(
                "A map by UMAP takes the library umap-learn on the server"
                " (`pip install umap-learn`); `pca` takes nothing.",
                field="map",
                value="umap",
            )

    async def umap(self, vectors: Matrix) -> NDArray[np.float64]:
        """Return a map; see `ports.Clustering.umap`."""
        self.check_umap()
        return await self._made(lambda: _umap(vectors))

    async def leiden(
        self, count: int, edges: tuple[Places, Places], weight: NDArray[np.float64]
    ) -> tuple[Labels, float]:
        """Return the community of each node; see `ports.Clustering.leiden`."""
        return await self._made(lambda: _leiden(count, edges, weight))

    async def _made(self, make: Callable[[], _T]) -> _T:
        if self._asked >= _MOST:
            raise OverloadedError(
                f"{self._asked} sets are being clustered or wait for it.",
                retry_after_s=_RETRY_S,
            )
        self._asked += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, make)
        finally:
            self._asked -= 1


def _hdbscan(points: NDArray[np.float64], least: int) -> NDArray[np.int32]:
    # Here, because importing it takes a second that most servers never need.
    cluster: Any = importlib.import_module("sklearn.cluster")
    model = cluster.HDBSCAN(min_cluster_size=least, copy=True)
    return np.asarray(model.fit_predict(points), np.int32)


def _kmeans(vectors: Matrix, count: int) -> NDArray[np.int32]:
    count = min(count, len(np.unique(vectors, axis=0)))  # more would be a warning
    cluster: Any = importlib.import_module("sklearn.cluster")
    starts = _STARTS if len(vectors) * count <= _MANY else 1
    model = cluster.KMeans(count, n_init=starts, random_state=_SEED)
    with _one_core():
        return np.asarray(model.fit_predict(vectors), np.int32)


def _leiden(
    count: int, edges: tuple[Places, Places], weight: NDArray[np.float64]
) -> tuple[Labels, float]:
    labels = np.arange(count, dtype=np.int32)  # of those that have no edge
    if not len(weight):
        return labels, 0.0
    library: Any = importlib.import_module("graspologic_native")
    names = [str(node) for node in range(count)]
    left, right = (ends.tolist() for ends in edges)
    columns: Any = zip(left, right, weight.tolist(), strict=True)
    rows: list[Any] = [(names[one], names[two], each) for one, two, each in columns]
    modularity, found = library.leiden(rows, seed=_SEED)
    for name, label in found.items():
        labels[int(name)] = count + label
    return labels, float(modularity)


def _one_core() -> AbstractContextManager[object]:
    """Keep BLAS and OpenMP from starting threads meanwhile.

    They wait for each other by spinning: beside other work on the same cores k-means
    took thirty times as long. The limit is the process's; two such blocks at once might
    leave it behind, which is why one set is clustered at a time.
    """
    library: Any = importlib.import_module("threadpoolctl")
    return library.threadpool_limits(1)


def _umap(vectors: Matrix) -> NDArray[np.float64]:
    library: Any = importlib.import_module("umap")
    near = min(_NEIGHBOURS, len(vectors) - 1)
    # One job, because only so the same seed gives the same map.
    model = library.UMAP(
        n_neighbors=near, metric="cosine", random_state=_SEED, n_jobs=1
    )
    return np.asarray(model.fit_transform(vectors), np.float64)
