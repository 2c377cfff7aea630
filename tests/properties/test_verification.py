"""Measures of verification, against scikit-learn and scipy."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dinoserve.domain.verification import (
    Identities,
    Numbers,
    Truths,
    area_under,
    equal_error_rate,
    roc,
    threshold_at,
    tpr_at,
    verification_figures,
    with_intervals,
)
from dinoserve.errors import InvalidInputError
from judges import roc_area, roc_points, root


def pairs_of(seed: int, levels: int) -> tuple[Numbers, Truths, Numbers]:
    """Scores with ties where levels are few, truths of both kinds, and weights."""
    rng = np.random.default_rng(seed)
    count = int(rng.integers(4, 200))
    same = rng.random(count) < 0.4
    same[:2] = (True, False)
    scores = rng.normal(size=count) + same * rng.uniform(0, 3)
    weights = rng.choice([0.5, 1.0, 3.0], count)
    return np.round(scores * levels) / levels, same, weights


seeds = st.integers(0, 100_000)
some_levels = st.sampled_from([1, 5, 1_000_000])


@given(seed=seeds, levels=some_levels)
def test_the_curve_is_that_of_scikit_learn(seed: int, levels: int) -> None:
    scores, same, weights = pairs_of(seed, levels)
    for weight in (None, weights):
        ours = roc(scores, same, weight)
        theirs = roc_points(same, scores, weight)
        for mine, other in zip(
            (ours.fpr, ours.tpr, ours.thresholds), theirs, strict=True
        ):
            assert np.allclose(mine, other)


@given(seed=seeds, levels=some_levels)
def test_the_area_is_that_of_scikit_learn(seed: int, levels: int) -> None:
    scores, same, weights = pairs_of(seed, levels)
    for weight in (None, weights):
        area = area_under(roc(scores, same, weight))
        assert area == pytest.approx(roc_area(same, scores, weight))


@given(seed=seeds, levels=some_levels)
def test_the_equal_error_rate_is_where_both_errors_cross(
    seed: int, levels: int
) -> None:
    scores, same, _ = pairs_of(seed, levels)
    fpr, tpr, _ = roc_points(same, scores)
    # Along the curve, so that it is a function where it rises straight up too.
    along = np.arange(len(fpr), dtype=float)

    def excess(at: float) -> float:
        return float(np.interp(at, along, fpr) - 1 + np.interp(at, along, tpr))

    crossing = np.interp(root(excess, 0, along[-1]), along, fpr)
    assert equal_error_rate(roc(scores, same)) == pytest.approx(crossing, abs=1e-9)


@given(seed=seeds, levels=some_levels, target=st.sampled_from([0.0, 0.001, 0.01, 0.3]))
def test_the_threshold_keeps_the_target_and_the_next_lower_one_does_not(
    seed: int, levels: int, target: float
) -> None:
    scores, same, _ = pairs_of(seed, levels)
    curve = roc(scores, same)
    threshold = threshold_at(curve, target)

    accepted = scores >= threshold
    assert np.isfinite(threshold)
    assert accepted[~same].mean() <= target
    assert accepted[same].mean() == pytest.approx(tpr_at(curve, target))
    lower = scores[scores < threshold]
    if len(lower):
        assert (scores >= lower.max())[~same].mean() > target


def test_each_figure_is_of_the_rate_that_it_names() -> None:
    # Of 2 000 different pairs, 1 and 10 score above a tenth and a half of the same.
    different = np.concatenate([[0.95], np.full(14, 0.8), np.full(1985, 0.1)])
    same = np.concatenate([np.full(10, 0.97), np.full(40, 0.85), np.full(50, 0.2)])
    truths = np.arange(2100) >= 2000
    figures = verification_figures(np.concatenate([different, same]), truths)
    assert figures["tpr_at_fpr_0.001"] == pytest.approx(0.5)
    assert figures["tpr_at_fpr_0.01"] == pytest.approx(1.0)
    different[1:3] = 0.99
    figures = verification_figures(np.concatenate([different, same]), truths)
    assert figures["tpr_at_fpr_0.001"] == pytest.approx(0.1)
    assert figures["tpr_at_fpr_0.01"] == pytest.approx(1.0)


def test_pairs_that_a_score_tells_apart_make_no_errors() -> None:
    figures = verification_figures(
        np.array([0.9, 0.8, 0.2, 0.1]), np.array([True, True, False, False])
    )
    assert figures == {
        "roc_auc": 1.0,
        "eer": 0.0,
        "tpr_at_fpr_0.01": 1.0,
        "tpr_at_fpr_0.001": 1.0,
    }


@pytest.mark.parametrize("kind", [True, False])
def test_pairs_of_one_kind_are_refused(*, kind: bool) -> None:
    with pytest.raises(InvalidInputError, match="pairs of different"):
        roc(np.array([0.3, 0.4]), np.array([kind, kind]))


def crossed(
    identities: int, each: int, seed: int
) -> tuple[Numbers, Identities, Identities]:
    """All pairs of pictures with an identity each, and a score that tells a little."""
    rng = np.random.default_rng(seed)
    who = np.repeat(np.arange(identities), each)
    at, other = np.triu_indices(len(who), 1)
    left, right = who[at], who[other]
    habit = rng.normal(0, 0.5, identities)
    noise = rng.normal(size=len(left))
    scores = (left == right) * 1.0 + habit[left] + habit[right] + noise
    return scores, left, right


def figures_of(scores: Numbers, same: Truths) -> Callable[[Numbers], dict[str, float]]:
    return lambda weights: verification_figures(scores, same, weights)


def test_intervals_hold_the_figure_and_are_the_same_each_time() -> None:
    scores, left, right = crossed(12, 4, seed=1)
    measure = figures_of(scores, left == right)
    first = with_intervals(measure, left, right)
    assert first == with_intervals(measure, left, right)
    for estimate in first.values():
        assert estimate.low is not None
        assert estimate.high is not None
        assert estimate.low <= estimate.value <= estimate.high
        assert estimate.low < estimate.high


def test_an_interval_is_the_percentiles_over_drawn_identities() -> None:
    """Drawn anew here as copies of the pictures, without weights."""
    scores, left, right = crossed(8, 3, seed=2)
    found = with_intervals(figures_of(scores, left == right), left, right)["roc_auc"]
    rng = np.random.default_rng(99)
    areas: list[float] = []
    for _ in range(2000):
        times = np.bincount(rng.integers(8, size=8), minlength=8)
        copies = times[left] * np.where(left == right, 1, times[right])
        same = np.repeat(left == right, copies)
        if same.any() and not same.all():
            areas.append(roc_area(same, np.repeat(scores, copies)))
    assert found[1:] == pytest.approx(np.percentile(areas, [2.5, 97.5]), abs=0.02)


def test_an_interval_of_a_mean_is_that_of_its_standard_error() -> None:
    values = np.random.default_rng(5).normal(size=400)
    everyone = np.arange(400)

    def mean(weights: Numbers) -> dict[str, float]:
        return {"mean": float(np.average(values, weights=weights))}

    _, low, high = with_intervals(mean, everyone, everyone)["mean"]
    assert low is not None
    assert high is not None
    assert high - low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.08)


def test_an_interval_over_many_identities_is_narrower() -> None:
    widths: list[float] = []
    for identities in (6, 40):
        scores, left, right = crossed(identities, 3, seed=3)
        found = with_intervals(figures_of(scores, left == right), left, right, 200)
        _, low, high = found["roc_auc"]
        assert low is not None
        assert high is not None
        widths.append(high - low)
    assert widths[1] < widths[0] / 2


def test_figures_that_few_resamples_give_have_no_interval() -> None:
    _, left, right = crossed(5, 2, seed=4)

    def fragile(weights: Numbers) -> dict[str, float]:
        if (weights != 1).any():
            raise InvalidInputError("nothing to measure")
        return {"figure": 0.5}

    assert with_intervals(fragile, left, right)["figure"] == (0.5, None, None)
