"""Clusters that take a library: what belongs together, and where it lies on a map."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from dinoserve.domain.groups import Labels, Places
from dinoserve.domain.vectors import Matrix


class Clustering(Protocol):
    """Finds clusters; the same vectors in the same order always give the same.

    Raises:
        OverloadedError: at once, when too many sets wait (every coroutine).
    """

    async def hdbscan(
        self, points: NDArray[np.float64], least: int
    ) -> NDArray[np.int32]:
        """Return int32 (n,): the cluster of each point by density; -1: of none.

        Args:
            points: float64 (n, d), finite; the distance is Euclidean.
            least: points of the smallest cluster, at least 2.
        """
        ...

    async def kmeans(self, vectors: Matrix, count: int) -> NDArray[np.int32]:
        """Return int32 (n,): the nearest of so many centres to each vector.

        Args:
            vectors: float32 (n, d), of unit length.
            count: of clusters, 1 to n; a cluster of equal vectors may stay empty.
        """
        ...

    def check_umap(self) -> None:
        """Pass if `umap` can be asked for.

        Raises:
            NotInstalledError: the library is not there.
        """
        ...

    async def umap(self, vectors: Matrix) -> NDArray[np.float64]:
        """Return float64 (n, 2): a map on which near vectors lie near each other.

        Args:
            vectors: float32 (n, d), of unit length.

        Raises:
            NotInstalledError: the library is not there.
        """
        ...

    async def leiden(
        self, count: int, edges: tuple[Places, Places], weight: NDArray[np.float64]
    ) -> tuple[Labels, float]:
        """Return the communities of a graph, and their modularity, at most 1.

        Args:
            count: nodes.
            edges: int32 (n,) twice: two different nodes each; no two edges have the
                same.
            weight: float64 (n,), more than 0.

        Returns:
            int32 (count,), equal for nodes of one community. A node without an edge is
            a community of its own.

        Source:
            Traag, Waltman and van Eck, "From Louvain to Leiden" (2019).
        """
        ...
