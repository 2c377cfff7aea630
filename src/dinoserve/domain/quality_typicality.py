"""Typicality: how near a picture is to a reference set, by vectors. Not quality."""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dinoserve.domain.vectors import Matrix, Vector

MAX_MEMBERS: Final = 10_000
"""Members of a reference that a picture is compared with; of more, those with the
least ids, which are as good as drawn by lot."""

MAX_PEERS: Final = 1_000
"""Members whose own distances a picture's is ranked among."""

MAX_NEIGHBOURS: Final = 100
"""The greatest `k`."""

_STEP: Final = 256


class Typicality(NamedTuple):
    """How a picture lies to a reference.

    Attributes:
        distance: mean cosine distance, in [0, 2], to its k nearest of the reference;
            its own vector left out, if it is a member.
        percentile: how many of a hundred members are nearer to theirs: 0 very typical,
            100 farther off than every member.
    """

    distance: float
    percentile: float


class Reference:
    """A set of vectors that pictures are compared with.

    Args:
        ids: of the members, rising.
        vectors: float32 (n, d), of unit length; n at least 2.
        k: nearest members that count; fewer where there are no more.
    """

    def __init__(self, ids: list[str], vectors: Matrix, k: int) -> None:
        self._vectors = vectors
        self._places = {key: place for place, key in enumerate(ids)}
        self.size = len(ids)
        self.k = min(k, self.size - 1)
        peers = np.arange(min(self.size, MAX_PEERS))
        distances = [
            self._distances(vectors[some], some)
            for some in np.array_split(peers, -(-len(peers) // _STEP))
        ]
        self._peers = np.sort(np.concatenate(distances))

    def typicality(self, vector: Vector, asset_id: str | None = None) -> Typicality:
        """Return how the picture lies to the members.

        Args:
            vector: float32 (d,), of unit length.
            asset_id: whose it is, so that it is not its own neighbour.
        """
        own = -1 if asset_id is None else self._places.get(asset_id, -1)
        distance = float(self._distances(vector[None], np.array([own]))[0])
        nearer = int(np.searchsorted(self._peers, distance))
        return Typicality(distance, 100.0 * nearer / len(self._peers))

    def _distances(self, rows: Matrix, own: NDArray[np.intp]) -> NDArray[np.float32]:
        """Return float32 (rows,): mean distances to the k nearest but themselves."""
        cosines = rows @ self._vectors.T
        is_member = own >= 0
        cosines[is_member, own[is_member]] = -np.inf
        nearest = np.partition(cosines, self.size - self.k, axis=1)[:, -self.k :]
        return np.clip(1 - nearest.mean(1), 0, 2)
