"""What is measured on a labelled set."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dinoserve.domain.labelled_sets import (
    Labelled,
    LabelledSet,
    Plan,
    Sight,
    check_set,
)
from dinoserve.domain.retrieval import (
    Scores,
    knn_accuracy,
    leave_one_out,
    mean_average_precision,
    recall_at,
)
from dinoserve.domain.vectors import Vector
from dinoserve.domain.verification import (
    Estimate,
    Numbers,
    verification_figures,
    with_intervals,
)
from dinoserve.errors import InvalidInputError

RECALLS: Final = (1, 5)

_Numbers: TypeAlias = NDArray[np.intp]
_VERIFICATION = {
    "roc_auc": "ROC-AUC",
    "eer": "EER",
    "tpr_at_fpr_0.01": "TPR at 1 % FPR",
    "tpr_at_fpr_0.001": "TPR at 0.1 % FPR",
}

Looks: TypeAlias = Mapping[Sight, Mapping[str, Vector]]
"""Vectors of what could be read, by method; products of two are scores in [-1, 1]."""


class Row(NamedTuple):
    """One measure.

    Attributes:
        measure: its name, e.g. `mAP`.
        asked: what was looked up, how many, and among what.
        values: by method.
    """

    measure: str
    asked: str
    values: Mapping[str, Estimate]


def measure(planned: Plan, looks: Looks) -> list[Row]:
    """Return every measure that the set allows, of the pictures that could be read.

    Takes seconds where there are thousands of pairs.

    Args:
        planned: what was to be looked at.
        looks: what was seen; all of the same methods.

    Raises:
        InvalidInputError: too little could be read to measure anything.
    """
    taken = _seen(planned.taken, looks)
    rows = [*_knn_rows(taken, looks, planned.k), *_retrieval_rows(taken, looks)]
    if taken.is_flat:
        rows += _verification_rows(taken.queries, looks)
    if taken.iconic:
        rows += _iconic_rows(taken, looks)
    return rows + list(_duplicate_rows(planned, looks))


def _seen(taken: LabelledSet, looks: Looks) -> LabelledSet:
    """Return what could be read of a set, if it still is one of the same kind."""
    gallery, queries, iconic = (
        [one for one in part if Sight(one.path) in looks]
        for part in (taken.gallery, taken.queries, taken.iconic)
    )
    if taken.gallery and not gallery:
        raise InvalidInputError(
            f"{taken.name}: no picture to look among could be read.", field=taken.name
        )
    known = {one.label for one in gallery}
    iconic = [one for one in iconic if one.label in known]
    seen = LabelledSet(taken.name, gallery, queries, iconic)
    check_set(seen)
    return seen


def _knn_rows(taken: LabelledSet, looks: Looks, k: int) -> Iterator[Row]:
    gallery, queries = taken.gallery or taken.queries, taken.queries
    truths, known = _numbers([queries, gallery])
    values = {
        method: Estimate(knn_accuracy(scores, known, truths, k))
        for method, scores in _scores(queries, gallery, looks)
    }
    where = "test in train" if taken.gallery else "each among the others"
    asked = f"{where}: {len(queries)} in {len(gallery)}"
    yield Row(f"kNN accuracy, k={k}", asked, values)


def _retrieval_rows(taken: LabelledSet, looks: Looks) -> Iterator[Row]:
    queries = taken.queries
    truths, _ = _numbers([queries, queries])
    scored = dict(_scores(queries, queries, looks))
    asked = f"each among the others: {len(queries)}"
    for k in RECALLS:
        yield _recall_row(asked, scored, (truths, truths), k)
    yield _precision_row(asked, scored, (truths, truths))


def _iconic_rows(taken: LabelledSet, looks: Looks) -> Iterator[Row]:
    truths, known = _numbers([taken.iconic, taken.gallery])
    scored = dict(_scores(taken.iconic, taken.gallery, looks))
    asked = f"iconic in train: {len(taken.iconic)} in {len(taken.gallery)}"
    yield _recall_row(asked, scored, (known, truths), 1)
    yield _precision_row(asked, scored, (known, truths))


def _recall_row(
    asked: str, scored: Mapping[str, Scores], labels: tuple[_Numbers, _Numbers], k: int
) -> Row:
    recalls = {
        method: Estimate(recall_at(scores, *labels, k))
        for method, scores in scored.items()
    }
    return Row(f"R@{k}", asked, recalls)


def _precision_row(
    asked: str, scored: Mapping[str, Scores], labels: tuple[_Numbers, _Numbers]
) -> Row:
    precisions = {
        method: Estimate(mean_average_precision(scores, *labels))
        for method, scores in scored.items()
    }
    return Row("mAP", asked, precisions)


def _verification_rows(queries: Sequence[Labelled], looks: Looks) -> Iterator[Row]:
    truths, _ = _numbers([queries, queries])
    left, right = np.triu_indices(len(queries), 1)
    same = truths[left] == truths[right]
    found = {
        method: _verified(scores[left, right].astype(np.float64), truths, left, right)
        for method, scores in _scores(queries, queries, looks)
    }
    asked = f"pairs: {same.sum()} same, {(~same).sum()} different"
    for figure, name in _VERIFICATION.items():
        values = {method: figures[figure] for method, figures in found.items()}
        yield Row(name, asked, values)


def _verified(
    scores: Numbers,
    truths: _Numbers,
    left: _Numbers,
    right: _Numbers,
) -> dict[str, Estimate]:
    sides = truths[left], truths[right]
    same = sides[0] == sides[1]

    def figures(weights: Numbers) -> dict[str, float]:
        return verification_figures(scores, same, weights)

    return with_intervals(figures, *sides)


def _duplicate_rows(planned: Plan, looks: Looks) -> Iterator[Row]:
    among = [Sight(path) for path in planned.among if Sight(path) in looks]
    places = {sight.path: at for at, sight in enumerate(among)}
    for how in planned.distortions:
        edited = [Sight(path, how) for path in planned.edited if path in places]
        edited = [sight for sight in edited if sight in looks]
        if not edited:
            continue
        truths = np.array([places[sight.path] for sight in edited])
        values = {
            method: Estimate(recall_at(scores, np.arange(len(among)), truths, 1))
            for method, scores in _products(edited, among, looks)
        }
        asked = f"distorted in originals: {len(edited)} in {len(among)}"
        yield Row(f"R@1 {how}", asked, values)


def _scores(
    queries: Sequence[Labelled], gallery: Sequence[Labelled], looks: Looks
) -> Iterator[tuple[str, Scores]]:
    sides = [[Sight(one.path) for one in part] for part in (queries, gallery)]
    for method, scores in _products(sides[0], sides[1], looks):
        yield method, leave_one_out(scores) if queries is gallery else scores


def _products(
    queries: Sequence[Sight], gallery: Sequence[Sight], looks: Looks
) -> Iterator[tuple[str, Scores]]:
    for method in looks[gallery[0]]:
        left, right = (
            np.stack([looks[sight][method] for sight in side])
            for side in (queries, gallery)
        )
        yield method, left @ right.T


def _numbers(parts: Iterable[Sequence[Labelled]]) -> list[_Numbers]:
    parts = list(parts)
    labels = sorted({one.label for part in parts for one in part})
    number = {label: at for at, label in enumerate(labels)}
    return [np.array([number[one.label] for one in part], np.intp) for part in parts]
