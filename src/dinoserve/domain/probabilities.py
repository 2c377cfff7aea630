"""From a score to the probability that a pair is of the same, and how honest it is.

Both maps are made from scores whose truth is known. The share of same pairs among
those is built into what they say.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from dinoserve.domain.verification import Numbers, Truths

_BINS = 10
_STEPS: Final = 100
_SMALLEST_STEP = 1e-10
# Keeps the second derivatives from vanishing, as in the reference.
_RIDGE = 1e-12


@dataclass(frozen=True, slots=True)
class Isotonic:
    """The rising map of least squared error, straight between its knots.

    Attributes:
        scores: rising; below the first and above the last the map is flat.
        probabilities: at these scores, in [0, 1]; never fall.
    """

    scores: tuple[float, ...]
    probabilities: tuple[float, ...]

    def probability(self, score: Numbers) -> Numbers:
        """Return float64 of the same shape, each in [0, 1]."""
        return np.interp(score, self.scores, self.probabilities)


@dataclass(frozen=True, slots=True)
class Platt:
    """A sigmoid: 1 / (1 + exp(-(slope * score + intercept))); slope is at least 0."""

    slope: float
    intercept: float

    def probability(self, score: Numbers) -> Numbers:
        """Return float64 of the same shape, each in [0, 1]."""
        return _sigmoid(self.slope * score + self.intercept)


def fit_isotonic(scores: Numbers, same: Truths) -> Isotonic:
    """Return the isotonic map by pool adjacent violators.

    Pairs of one score are one knot of their share of same ones; neighbours in the
    wrong order are pooled to their mean until none are.

    Args:
        scores: float (n,), finite; at least one.
        same: bool (n,).

    Source:
        Ayer et al., An empirical distribution function for sampling with incomplete
        information, 1955; as a probability: Zadrozny & Elkan, 2002.
    """
    places, at, sizes = np.unique(scores, return_inverse=True, return_counts=True)
    sums = np.bincount(at, weights=same.astype(np.float64))
    pools: list[tuple[float, int, int]] = []  # sum, pairs, scores
    for total, size in zip(sums.tolist(), sizes.tolist(), strict=True):
        pool = (total, size, 1)
        while pools and pools[-1][0] * pool[1] >= pool[0] * pools[-1][1]:
            last = pools.pop()
            pool = (last[0] + pool[0], last[1] + pool[1], last[2] + pool[2])
        pools.append(pool)
    means = np.array([total / size for total, size, _ in pools])
    values = np.repeat(means, [scores for *_, scores in pools])
    # Inside a pool the map is flat: its ends are enough.
    is_end = np.ones(len(values), np.bool_)
    is_end[1:-1] = (values[1:-1] != values[:-2]) | (values[1:-1] != values[2:])
    return Isotonic(tuple(places[is_end].tolist()), tuple(values[is_end].tolist()))


def fit_platt(scores: Numbers, same: Truths) -> Platt:
    """Return the sigmoid of greatest likelihood, for pairs too few for `fit_isotonic`.

    Truths are softened to (n + 1) / (n + 2) and 1 / (n + 2), n being the same and the
    different pairs, so that pairs which a threshold tells apart give a finite slope.
    Newton's method with step halving. Where the likeliest sigmoid would fall, it is
    level: as the likelihood has one peak, none that rises is likelier.

    Args:
        scores: float (n,), finite; both kinds of pairs.
        same: bool (n,).

    Source:
        Platt, Probabilistic outputs for support vector machines, 1999; Lin, Lin & Weng,
        A note on Platt's probabilistic outputs, 2007.
    """
    positives, negatives = int(same.sum()), int((~same).sum())
    target = np.where(same, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    # Around 0 and of one width, so that the two derivatives are of one size.
    centre, width = scores.mean(), scores.std() or 1.0
    inputs = np.stack([(scores - centre) / width, np.ones(len(scores))])
    at = np.array([0.0, np.log((positives + 1) / (negatives + 1))])
    for _ in range(_STEPS):
        step = _newton_step(at, inputs, target)
        at = at + step
        if np.abs(step).max() < _SMALLEST_STEP:
            break
    if at[0] < 0:
        share = float(target.mean())
        return Platt(0.0, float(np.log(share / (1 - share))))
    slope = at[0] / width
    return Platt(float(slope), float(at[1] - slope * centre))


def expected_calibration_error(
    probabilities: Numbers, same: Truths, bins: int = _BINS
) -> float:
    """Return how far probabilities are from what happened, in [0, 1]; 0 is best.

    Σ over bins of equal width: share of the pairs in it times |share of same pairs -
    mean probability|.

    Args:
        probabilities: float64 (n,) in [0, 1]; at least one.
        same: bool (n,).
        bins: how many.

    Source:
        Naeini, Cooper & Hauskrecht, Obtaining well calibrated probabilities using
        Bayesian binning, 2015; Guo et al., On calibration of modern neural networks,
        2017, equation 5.
    """
    edges = np.linspace(0, 1, bins + 1)[1:-1]
    at = np.searchsorted(edges, probabilities)
    told = np.bincount(at, weights=probabilities, minlength=bins)
    true = np.bincount(at, weights=same.astype(np.float64), minlength=bins)
    return float(np.abs(told - true).sum() / len(same))


def _newton_step(at: Numbers, inputs: Numbers, target: Numbers) -> Numbers:
    """Return the step of Newton's method, halved until it goes downhill."""
    told = _sigmoid(at @ inputs)
    gradient = inputs @ (told - target)
    curvature = (inputs * (told * (1 - told))) @ inputs.T + _RIDGE * np.eye(2)
    step = np.linalg.solve(curvature, -gradient).astype(np.float64)
    before = _loss(at, inputs, target)
    while np.abs(step).max() >= _SMALLEST_STEP:
        if _loss(at + step, inputs, target) <= before:
            break
        step /= 2
    return step


def _loss(at: Numbers, inputs: Numbers, target: Numbers) -> float:
    logits = at @ inputs
    return float(np.sum(np.logaddexp(0, logits) - target * logits))


def _sigmoid(logits: Numbers) -> Numbers:
    # By the hyperbolic tangent, which does not overflow.
    return 0.5 * (1 + np.tanh(0.5 * logits))
