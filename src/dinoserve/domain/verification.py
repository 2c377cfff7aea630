"""Telling pairs of the same from pairs of different ones by a score alone.

Scores are higher the more alike; `same` says of each pair what is true. Weights let a
pair count more than once, or not at all; without them each counts once.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dinoserve.errors import InvalidInputError

Numbers: TypeAlias = NDArray[np.float64]
Truths: TypeAlias = NDArray[np.bool_]
Identities: TypeAlias = NDArray[np.intp]

RESAMPLES: Final = 1000
"""Of the bootstrap: bounds of a 95 % interval then move by a tenth of its width."""

_SEED = 20_251
_TAILS = (2.5, 97.5)


class Estimate(NamedTuple):
    """A figure, and between which bounds it lies in 95 % of the resamples.

    Attributes:
        low: None where resampling says nothing, as with very few identities.
        high: as `low`.
    """

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Roc:
    """Receiver operating characteristic; rises from (0, 0) to (1, 1).

    Attributes:
        fpr: float64 (n + 1,): share of different pairs that score at least the
            threshold; never falls.
        tpr: float64 (n + 1,): share of same pairs that do; never falls.
        thresholds: float64 (n + 1,): infinity, then every distinct score, falling.
    """

    fpr: Numbers
    tpr: Numbers
    thresholds: Numbers


def roc(scores: Numbers, same: Truths, weights: Numbers | None = None) -> Roc:
    """Return the curve through every distinct score.

    Args:
        scores: float (n,), finite.
        same: bool (n,).
        weights: float (n,), at least 0.

    Raises:
        InvalidInputError: no same pair, or no different one.

    Source:
        Fawcett, An introduction to ROC analysis, 2006, algorithm 1.
    """
    weight = np.ones(len(scores)) if weights is None else weights
    order = np.argsort(-scores, kind="stable")
    falling, is_same, weight = scores[order], same[order], weight[order]
    trues, falses = np.cumsum(weight * is_same), np.cumsum(weight * ~is_same)
    if not (len(scores) and trues[-1] > 0 and falses[-1] > 0):
        raise InvalidInputError(
            "There must be pairs of the same and pairs of different ones.",
            field="pairs",
        )
    lasts = np.append(np.flatnonzero(np.diff(falling)), len(falling) - 1)
    return Roc(
        np.concatenate([[0.0], falses[lasts] / falses[-1]]),
        np.concatenate([[0.0], trues[lasts] / trues[-1]]),
        np.concatenate([[np.inf], falling[lasts]]),
    )


def area_under(curve: Roc) -> float:
    """Return ROC-AUC in [0, 1]: how often a same pair outscores a different one.

    Ties count half; 0.5 is chance. Trapezoids under the curve.

    Source:
        Hanley & McNeil, The meaning and use of the area under a ROC curve, 1982.
    """
    return float(np.trapezoid(curve.tpr, curve.fpr))


def equal_error_rate(curve: Roc) -> float:
    """Return the rate in [0, 1] at which both kinds of error are equally frequent.

    Where FPR = 1 - TPR, on the line between the two points around it.

    Source:
        ISO/IEC 19795-1, equal error rate of a detection error trade-off curve.
    """
    excess = curve.fpr - (1 - curve.tpr)
    after = int(np.searchsorted(excess, 0.0))
    before = after - 1
    share = -excess[before] / (excess[after] - excess[before])
    low, high = curve.fpr[before], curve.fpr[after]
    return float(low + share * (high - low))


def tpr_at(curve: Roc, max_fpr: float) -> float:
    """Return the highest TPR in [0, 1] of a threshold whose FPR is at most this.

    Nothing is interpolated: with fewer than 1 / max_fpr different pairs it is the TPR
    at no false match at all.
    """
    return float(curve.tpr[_last_within(curve, max_fpr)])


def threshold_at(curve: Roc, max_fpr: float) -> float:
    """Return the lowest score that may be accepted with FPR at most this.

    Finite: where the highest score is of a different pair, just above it.
    """
    at = _last_within(curve, max_fpr)
    above_all = np.nextafter(curve.thresholds[1], np.inf)
    return float(min(curve.thresholds[at], above_all))


def _last_within(curve: Roc, max_fpr: float) -> int:
    return int(np.searchsorted(curve.fpr, max_fpr, side="right")) - 1


def verification_figures(
    scores: Numbers, same: Truths, weights: Numbers | None = None
) -> dict[str, float]:
    """Return `roc_auc`, `eer`, `tpr_at_fpr_0.01` and `tpr_at_fpr_0.001`.

    Errors as `roc`.
    """
    curve = roc(scores, same, weights)
    return {
        "roc_auc": area_under(curve),
        "eer": equal_error_rate(curve),
        "tpr_at_fpr_0.01": tpr_at(curve, 0.01),
        "tpr_at_fpr_0.001": tpr_at(curve, 0.001),
    }


def with_intervals(
    measure: Callable[[Numbers], dict[str, float]],
    left: Identities,
    right: Identities,
    resamples: int = RESAMPLES,
) -> dict[str, Estimate]:
    """Return figures with 95 % intervals over identities, the same at every call.

    Identities are drawn with replacement, as many as there are. A pair of one identity
    counts as often as that was drawn; a pair of two, as often as the product. So pairs
    that share an identity are not taken for independent. The interval goes from the
    2.5th to the 97.5th percentile; there is none if every second resample is left out.

    Args:
        measure: weights float64 (n,) → figures; it may raise InvalidInputError where
            the weights leave nothing to measure: that resample is left out.
        left: int (n,): identity of each pair's left side, counted from 0.
        right: int (n,): of its right side.
        resamples: how often.

    Source:
        Efron & Tibshirani, An Introduction to the Bootstrap, 1993, section 13.3;
        Snijders & Borgatti, Non-parametric standard errors and tests for network
        statistics, 1999 (drawing vertices).
    """
    count = int(max(left.max(), right.max())) + 1
    rng = np.random.default_rng(_SEED)
    drawn: list[dict[str, float]] = []
    for _ in range(resamples):
        times = np.bincount(rng.integers(count, size=count), minlength=count)
        weights = times[left] * np.where(left == right, 1, times[right])
        try:
            drawn.append(measure(weights.astype(np.float64)))
        except InvalidInputError:
            continue
    whole = measure(np.ones(len(left)))
    if 2 * len(drawn) <= resamples:
        return {name: Estimate(value) for name, value in whole.items()}
    return {name: _estimate(name, value, drawn) for name, value in whole.items()}


def _estimate(name: str, value: float, drawn: list[dict[str, float]]) -> Estimate:
    low, high = np.percentile([figures[name] for figures in drawn], _TAILS)
    return Estimate(value, float(low), float(high))
