"""Measures of retrieval, against scikit-learn and against counting."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from dinoserve.domain.retrieval import (
    knn_accuracy,
    leave_one_out,
    mean_average_precision,
    recall_at,
)
from dinoserve.errors import InvalidInputError
from judges import average_precision, vote_accuracy


def labels_of(count: int, kinds: int, seed: int) -> NDArray[np.int64]:
    return np.random.default_rng(seed).integers(kinds, size=count)


def scores_of(queries: int, gallery: int, seed: int) -> NDArray[np.float64]:
    return np.random.default_rng(seed).uniform(-1, 1, (queries, gallery))


def has_draw(votes: list[int]) -> bool:
    counts = sorted(votes.count(vote) for vote in set(votes))
    return len(counts) > 1 and counts[-1] == counts[-2]


@given(seed=st.integers(0, 10_000), k=st.integers(1, 40), kinds=st.integers(1, 6))
def test_the_vote_of_the_nearest_is_that_of_scikit_learn(
    seed: int, k: int, kinds: int
) -> None:
    gallery, queries = labels_of(40, kinds, seed), labels_of(30, kinds, seed + 1)
    scores = scores_of(30, 40, seed)
    near = np.argsort(-scores, axis=1)[:, :k]
    # Its draws go to the smallest label, ours to the nearest.
    clear = [at for at in range(30) if not has_draw(gallery[near[at]].tolist())]
    if not clear:
        return
    truths = queries[clear]
    theirs = vote_accuracy(1 - scores[clear], gallery, truths, k)
    assert knn_accuracy(scores[clear], gallery, truths, k) == pytest.approx(theirs)


def test_a_draw_goes_to_the_label_of_the_nearest() -> None:
    scores = np.array([[0.9, 0.8, 0.7, 0.6]])
    gallery = np.array([3, 1, 1, 3])
    assert knn_accuracy(scores, gallery, np.array([3]), k=4) == 1.0
    assert knn_accuracy(scores, gallery, np.array([1]), k=4) == 0.0
    assert knn_accuracy(scores, gallery, np.array([1]), k=3) == 1.0


@given(
    seed=st.integers(0, 10_000),
    kinds=st.integers(1, 6),
    levels=st.sampled_from([3, 20, 1_000_000]),
)
def test_average_precision_is_that_of_scikit_learn_whatever_ties(
    seed: int, kinds: int, levels: int
) -> None:
    gallery, queries = labels_of(25, kinds, seed), labels_of(12, kinds, seed + 1)
    scores = np.round(scores_of(12, 25, seed) * levels) / levels
    can_find = [at for at in range(12) if queries[at] in gallery]
    if not can_find:
        return

    ours = mean_average_precision(scores, gallery, queries)

    theirs = [average_precision(gallery == queries[at], scores[at]) for at in can_find]
    assert ours == pytest.approx(np.mean(theirs))


@given(seed=st.integers(0, 10_000), k=st.integers(1, 30), kinds=st.integers(1, 9))
def test_recall_counts_the_queries_that_find_one_of_their_label(
    seed: int, k: int, kinds: int
) -> None:
    labels = labels_of(20, kinds, seed)
    scores = scores_of(20, 20, seed)
    found: list[bool] = []
    for at in range(20):
        others = [other for other in range(20) if other != at]
        others.sort(key=lambda other: -scores[at, other])
        if any(labels[other] == labels[at] for other in others):
            found.append(any(labels[other] == labels[at] for other in others[:k]))
    if not found:
        return
    assert recall_at(leave_one_out(scores), labels, labels, k) == pytest.approx(
        np.mean(found)
    )


def test_leaving_one_out_hides_everybody_from_themselves_only() -> None:
    scores = np.eye(3)
    left = leave_one_out(scores)
    assert np.isneginf(np.diag(left)).all()
    assert np.isfinite(left).sum() == 6
    assert (np.diag(scores) == 1).all()


def test_who_is_no_candidate_has_no_vote_and_counts_for_nothing() -> None:
    scores = leave_one_out(np.array([[1.0, 0.1, 0.2], [0.1, 1.0, 0.3], [0.2, 0.3, 1]]))
    labels = np.array([0, 0, 1])
    assert knn_accuracy(scores, labels, labels, k=9) == pytest.approx(0.0)
    assert mean_average_precision(scores, labels, labels) == pytest.approx(0.5)


def test_any_number_of_members_may_be_no_candidates() -> None:
    scores = np.array([[0.3, -np.inf, 0.2, -np.inf, 0.4]])
    labels = np.array([1, 1, 1, 0, 0])
    precision = mean_average_precision(scores, labels, np.array([1]))
    assert precision == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert recall_at(scores, labels, np.array([1]), k=5) == 1


def test_queries_without_anything_to_find_are_left_out() -> None:
    scores = np.array([[0.9, 0.1], [0.5, 0.4]])
    gallery, queries = np.array([0, 1]), np.array([0, 7])
    assert recall_at(scores, gallery, queries, k=1) == 1.0
    assert mean_average_precision(scores, gallery, queries) == 1.0


def test_nothing_to_find_and_a_k_of_none_are_refused() -> None:
    scores, labels = np.array([[0.9, 0.1]]), np.array([0, 1])
    with pytest.raises(InvalidInputError, match="nothing to find"):
        recall_at(scores, labels, np.array([7]), k=1)
    with pytest.raises(InvalidInputError, match="nothing to find"):
        mean_average_precision(scores, labels, np.array([7]))
    with pytest.raises(InvalidInputError, match="at least 1"):
        knn_accuracy(scores, labels, np.array([0]), k=0)
    with pytest.raises(InvalidInputError, match="nothing to find"):
        knn_accuracy(scores[:0], labels, labels[:0], k=1)
