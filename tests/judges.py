"""scikit-learn and scipy as judges of our own measures; they ship no types."""

from collections.abc import Callable
from importlib import import_module
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Numbers: TypeAlias = NDArray[np.float64]
Truths: TypeAlias = NDArray[np.bool_]
Labels: TypeAlias = NDArray[np.int64]

_calibration: Any = import_module("sklearn.calibration")
_isotonic: Any = import_module("sklearn.isotonic")
_linear: Any = import_module("sklearn.linear_model")
_metrics: Any = import_module("sklearn.metrics")
_neighbours: Any = import_module("sklearn.neighbors")
_optimize: Any = import_module("scipy.optimize")


def vote_accuracy(distances: Numbers, gallery: Labels, truths: Labels, k: int) -> float:
    """k nearest by majority: distances (q, g)."""
    voter = _neighbours.KNeighborsClassifier(n_neighbors=k, metric="precomputed")
    voter.fit(np.zeros((len(gallery), len(gallery))), gallery)
    return float(voter.score(distances, truths))


def average_precision(relevant: Truths, scores: Numbers) -> float:
    return float(_metrics.average_precision_score(relevant, scores))


def roc_points(
    same: Truths, scores: Numbers, weights: Numbers | None = None
) -> tuple[Numbers, Numbers, Numbers]:
    """FPR, TPR, thresholds; no point left out."""
    return _metrics.roc_curve(
        same, scores, sample_weight=weights, drop_intermediate=False
    )


def roc_area(same: Truths, scores: Numbers, weights: Numbers | None = None) -> float:
    return float(_metrics.roc_auc_score(same, scores, sample_weight=weights))


def root(function: Callable[[float], float], low: float, high: float) -> float:
    return float(_optimize.brentq(function, low, high, xtol=1e-14))


def isotonic(scores: Numbers, same: Truths, asked: Numbers) -> Numbers:
    """Probabilities of the asked scores by the isotonic map of the others."""
    curve = _isotonic.IsotonicRegression(out_of_bounds="clip").fit(scores, same)
    return curve.predict(asked)


def logistic(scores: Numbers, targets: Numbers, asked: Numbers) -> Numbers:
    """Probabilities by logistic regression on truths between 0 and 1."""
    model = _linear.LogisticRegression(C=1e12, tol=1e-12, max_iter=10_000)
    model.fit(
        np.tile(scores, 2)[:, None],
        np.repeat([1, 0], len(scores)),
        sample_weight=np.concatenate([targets, 1 - targets]),
    )
    return model.predict_proba(asked[:, None])[:, 1]


def reliability(same: Truths, told: Numbers) -> tuple[Numbers, Numbers]:
    """Share of same pairs and mean probability of each of ten bins that has any."""
    return _calibration.calibration_curve(same, told, n_bins=10)
