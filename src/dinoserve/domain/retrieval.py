"""How well the nearest of a set have the label of what was asked for.

Every measure takes cosines, or other scores that are higher the nearer: float (q, g),
one row a query. -inf says that a member is no candidate for that query. Labels are
integers: (g,) of the gallery and (q,) of the queries. Ties go by place in the gallery,
so its order should be random; average precision has none of them.
"""

from collections import Counter
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dinoserve.errors import InvalidInputError

Scores: TypeAlias = NDArray[np.floating[Any]]
Labels: TypeAlias = NDArray[np.integer[Any]]


def leave_one_out(scores: Scores) -> Scores:
    """Return the scores of a set with itself, nobody being a candidate of itself.

    Args:
        scores: float (n, n).
    """
    out = scores.copy()
    np.fill_diagonal(out, -np.inf)
    return out


def knn_accuracy(scores: Scores, gallery: Labels, queries: Labels, k: int) -> float:
    """Return the share of queries that get their label by vote, in [0, 1].

    The k nearest have one vote each; a draw goes to the label whose nearest member is
    nearest. Fewer than k candidates all vote.

    Raises:
        InvalidInputError: k is below 1, or there is no query.

    Source:
        Cover & Hart, Nearest neighbor pattern classification, 1967.
    """
    near = _nearest(scores, k)
    can_vote = np.isfinite(np.take_along_axis(scores, near, axis=1))
    rows = zip(gallery[near], can_vote, queries.tolist(), strict=True)
    return float(np.mean([_winner(row[can]) == truth for row, can, truth in rows]))


def recall_at(scores: Scores, gallery: Labels, queries: Labels, k: int) -> float:
    """Return the share of queries with one of their label among the k nearest.

    Queries that nobody in the gallery shares the label of are left out.

    Returns:
        in [0, 1]: mean of [any of the k nearest has the label].

    Raises:
        InvalidInputError: k is below 1, or no query has anything to find.

    Source:
        Song et al., Deep metric learning via lifted structured feature embedding,
        2016, section 5.
    """
    relevant = _relevant(scores, gallery, queries)
    can_find: NDArray[np.bool_] = np.any(relevant, axis=1)
    _check_any(can_find)
    nearest = np.take_along_axis(relevant, _nearest(scores, k), axis=1)
    found: NDArray[np.bool_] = np.any(nearest, axis=1)
    return float(found[can_find].mean())


def mean_average_precision(scores: Scores, gallery: Labels, queries: Labels) -> float:
    """Return the mean of the queries' average precision, in [0, 1].

    AP = Σ (R_n - R_{n-1}) P_n over the distinct scores in falling order, P_n and R_n
    being precision and recall of all that score at least as high. Queries that nobody
    in the gallery shares the label of are left out.

    Raises:
        InvalidInputError: no query has anything to find.

    Source:
        Manning, Raghavan & Schütze, Introduction to Information Retrieval, 2008,
        section 8.4; ties as in scikit-learn's average_precision_score.
    """
    relevant = _relevant(scores, gallery, queries)
    can_find: NDArray[np.bool_] = np.any(relevant, axis=1)
    _check_any(can_find)
    found = zip(scores[can_find], relevant[can_find], strict=True)
    return float(np.mean([_average_precision(*one) for one in found]))


def _winner(votes: Labels) -> int | None:
    counts: Counter[int] = Counter(votes.tolist())
    # Those of equal count come in the order in which they were met: nearest first.
    return counts.most_common(1)[0][0] if counts else None


def _average_precision(scores: Scores, relevant: NDArray[np.bool_]) -> float:
    is_candidate = np.isfinite(scores)
    scores, relevant = scores[is_candidate], relevant[is_candidate]
    order = np.argsort(-scores, kind="stable")
    lasts = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
    hits = np.cumsum(relevant[order])[lasts]
    precision = hits / (lasts + 1)
    return float(np.sum(np.diff(hits, prepend=0) * precision) / hits[-1])


def _relevant(scores: Scores, gallery: Labels, queries: Labels) -> NDArray[np.bool_]:
    return (gallery[None, :] == queries[:, None]) & np.isfinite(scores)


def _nearest(scores: Scores, k: int) -> NDArray[np.intp]:
    if k < 1:
        raise InvalidInputError("k is at least 1.", field="k", limit=1, value=k)
    _check_any(np.ones(len(scores), np.bool_))
    return np.argsort(-scores, axis=1, kind="stable")[:, :k]


def _check_any(can_find: NDArray[np.bool_]) -> None:
    if not can_find.any():
        raise InvalidInputError(
            "There is nothing to find: no query, or no label that both a query and"
            " another picture have.",
            field="labels",
        )
