"""Maps from score to probability, against scikit-learn."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dinoserve.domain.probabilities import (
    Platt,
    expected_calibration_error,
    fit_isotonic,
    fit_platt,
)
from dinoserve.domain.verification import Numbers, Truths
from judges import isotonic, logistic, reliability

seeds = st.integers(0, 100_000)


def pairs_of(seed: int, levels: int = 1_000_000) -> tuple[Numbers, Truths]:
    rng = np.random.default_rng(seed)
    count = int(rng.integers(2, 300))
    same = rng.random(count) < rng.uniform(0.1, 0.9)
    same[:2] = (True, False)
    scores = 0.2 * rng.normal(size=count) + same * rng.uniform(-0.1, 1)
    return np.round(scores * levels) / levels, same


@given(seed=seeds, levels=st.sampled_from([1, 5, 1_000_000]))
def test_the_isotonic_map_is_that_of_scikit_learn(seed: int, levels: int) -> None:
    scores, same = pairs_of(seed, levels)
    asked = np.concatenate([scores, np.linspace(-2, 3, 101)])
    ours = fit_isotonic(scores, same).probability(asked)
    assert np.allclose(ours, isotonic(scores, same, asked), atol=1e-9)


@given(seed=seeds, levels=st.sampled_from([5, 1_000_000]))
def test_a_higher_score_is_never_less_probable(seed: int, levels: int) -> None:
    curve = fit_isotonic(*pairs_of(seed, levels))
    told = curve.probability(np.linspace(-2, 3, 201))
    assert (np.diff(told) >= 0).all()
    assert ((told >= 0) & (told <= 1)).all()


@given(seed=seeds)
def test_the_sigmoid_is_that_of_scikit_learn_for_softened_truths(seed: int) -> None:
    scores, same = pairs_of(seed)
    positives, negatives = int(same.sum()), int((~same).sum())
    high, low = (positives + 1) / (positives + 2), 1 / (negatives + 2)
    target = np.array([high if one else low for one in same])
    asked = np.linspace(float(scores.min()), float(scores.max()), 20)
    told = fit_platt(scores, same).probability(asked)
    expected = logistic(scores, target, asked)
    if expected[-1] < expected[0]:  # a likeness that tells against itself tells nothing
        expected = np.full(20, target.mean())
    assert np.allclose(told, expected, atol=2e-3)


@given(seed=seeds)
def test_a_higher_score_is_never_less_probable_by_the_sigmoid(seed: int) -> None:
    scores, same = pairs_of(seed)
    curve = fit_platt(-scores, same)  # the same pairs score lower
    told = curve.probability(np.linspace(-3, 3, 201))
    assert (np.diff(told) >= 0).all()


def test_the_sigmoid_of_pairs_that_are_told_apart_is_finite_and_rises() -> None:
    scores = np.array([0.9, 0.8, 0.2, 0.1])
    curve = fit_platt(scores, np.array([True, True, False, False]))
    assert isinstance(curve, Platt)
    assert np.isfinite([curve.slope, curve.intercept]).all()
    assert curve.slope > 0
    told = curve.probability(np.array([-1e6, 0.5, 1e6]))
    assert told.tolist() == pytest.approx([0, 0.5, 1], abs=1e-6)


def test_the_sigmoid_of_equal_scores_tells_the_share_of_same_pairs() -> None:
    curve = fit_platt(np.full(8, 0.5), np.array([True] * 2 + [False] * 6))
    # (2 * 3/4 + 6 * 1/8) / 8, by the softened truths.
    assert curve.probability(np.array([0.5]))[0] == pytest.approx(0.28125, abs=1e-6)


@given(seed=seeds)
def test_the_calibration_error_is_that_of_scikit_learns_bins(seed: int) -> None:
    rng = np.random.default_rng(seed)
    told = np.round(rng.random(200), 2)
    same = rng.random(200) < told**2
    true, mean = reliability(same, told)
    counts = np.bincount(np.searchsorted(np.linspace(0, 1, 11)[1:-1], told))
    counts = counts[counts > 0]
    expected = np.sum(counts * np.abs(true - mean)) / 200
    assert expected_calibration_error(told, same) == pytest.approx(expected)


def test_probabilities_that_come_true_have_no_error() -> None:
    told = np.repeat([0.0, 0.25, 1.0], 8)
    same = np.array([False] * 8 + [True] * 2 + [False] * 6 + [True] * 8)
    assert expected_calibration_error(told, same) == 0.0
