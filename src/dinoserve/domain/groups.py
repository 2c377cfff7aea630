"""Groups among vectors: which are linked, who stands for a group, who hardly fits."""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dinoserve.domain.neighbours import NOBODY, Neighbours
from dinoserve.domain.vectors import Matrix

LONER: Final = -1
"""The label of what is in no group."""

Labels = NDArray[np.int32]
Places = NDArray[np.int32]

# Tukey's fences; so few members have no quartiles worth the name.
_FENCE, _FEWEST = 1.5, 5
# Cosines of equal vectors differ by their rounding.
_ROUNDING = 1e-6
# What is beyond them is rounding: equal vectors lie in one place.
_DECIMALS = 9


class Group(NamedTuple):
    """Members of a set that belong together.

    Attributes:
        members: int32 (m,): their places in the set, the medoid first: by falling
            `scores`, ties by place.
        scores: float64 (m,): mean cosine of each with the others, in [-1, 1]; 1 of
            one that is alone.
        outliers: int32 (o,): members whose score lies more than 1.5 times the distance
            of the quartiles below the lower one (Tukey 1977); none among fewer than 5.
    """

    members: Places
    scores: NDArray[np.float64]
    outliers: Places


def mutual(found: Neighbours) -> tuple[Places, Places]:
    """Return the pairs of which each is among the other's neighbours.

    Args:
        found: of every member of the set, in order.

    Returns:
        int32 (p,) twice: places, the left one less than the right.
    """
    count, k = found.indices.shape
    rows = np.repeat(np.arange(count, dtype=np.int64), k)
    others = found.indices.ravel().astype(np.int64)
    is_there = (others != NOBODY) & (others != rows)
    rows, others = rows[is_there], others[is_there]
    there, back = rows * count + others, others * count + rows
    is_mutual = np.isin(there, back) & (rows < others)
    return rows[is_mutual].astype(np.int32), others[is_mutual].astype(np.int32)


def components(count: int, left: Places, right: Places) -> Labels:
    """Return the connected component of every node: int32 (count,).

    A component is named by its least node.

    Args:
        count: nodes.
        left: int32 (p,): one end of every edge.
        right: int32 (p,): the other.

    Source:
        label propagation with shortcuts: Shiloach and Vishkin, "An O(log n) parallel
        connectivity algorithm" (1982).
    """
    labels = np.arange(count, dtype=np.int32)
    while True:
        ends = labels[left], labels[right]
        if np.array_equal(*ends):
            return labels
        least = np.minimum(*ends)
        for end in ends:
            np.minimum.at(labels, end, least)
        labels = _settled(labels)


def grouped(vectors: Matrix, labels: Labels, least: int = 2) -> list[Group]:
    """Return the groups, the largest first, ties by their first member.

    Args:
        vectors: float32 (n, d), of unit length.
        labels: int32 (n,): equal for what belongs together; `LONER`: to nothing.
        least: members that a group has at least.
    """
    order = np.argsort(labels, kind="stable").astype(np.int32)
    starts = np.flatnonzero(np.diff(labels[order])) + 1
    parts = [part for part in np.split(order, starts) if len(part) >= max(least, 1)]
    parts = [part for part in parts if labels[part[0]] != LONER]
    parts.sort(key=lambda part: (-len(part), int(part[0])))
    return [_group(vectors, part) for part in parts]


def loners(count: int, groups: Sequence[Group]) -> Places:
    """Return the places of a set of so many that are in no group, rising."""
    is_in = np.zeros(count, bool)
    for group in groups:
        is_in[group.members] = True
    return np.flatnonzero(~is_in).astype(np.int32)


def coordinates(vectors: Matrix, axes: int) -> NDArray[np.float64]:
    """Return where vectors lie along their principal axes.

    The greatest share of each axis is positive, so that the same vectors always give
    the same coordinates.

    Args:
        vectors: float32 (n, d), finite.
        axes: at least 1; those beyond the rank are 0.

    Returns:
        float64 (n, axes).

    Source:
        principal component analysis by the eigenvectors of the covariance.
    """
    count, width = vectors.shape
    found = np.zeros((count, axes))
    if not count:
        return found
    centred = vectors.astype(np.float64)
    centred -= centred.mean(axis=0)
    _, basis = np.linalg.eigh(centred.T @ centred)
    kept = basis[:, ::-1][:, : min(axes, width)]
    signs = np.sign(kept[np.abs(kept).argmax(axis=0), np.arange(kept.shape[1])])
    found[:, : kept.shape[1]] = (centred @ (kept * signs)).round(_DECIMALS)
    return found + 0.0  # which is what -0.0 becomes


def _settled(labels: Labels) -> Labels:
    while not np.array_equal(labels, jumped := labels[labels]):
        labels = jumped
    return labels


def _group(vectors: Matrix, members: Places) -> Group:
    count = len(members)
    rows = vectors[members].astype(np.float64)
    total = rows.sum(axis=0)
    scores = (rows @ total - (rows * rows).sum(axis=1)) / max(count - 1, 1)
    # Equal vectors are ties, whatever the order that their products were summed in.
    scores = np.clip(scores, -1.0, 1.0).round(_DECIMALS) if count > 1 else np.ones(1)
    order = np.lexsort((members, -scores))
    members, scores = members[order], scores[order]
    return Group(members, scores, members[_is_outlier(scores)])


def _is_outlier(scores: NDArray[np.float64]) -> NDArray[np.bool_]:
    if len(scores) < _FEWEST:
        return np.zeros(len(scores), bool)
    lower, upper = np.quantile(scores, (0.25, 0.75))
    return scores < lower - _FENCE * (upper - lower) - _ROUNDING
