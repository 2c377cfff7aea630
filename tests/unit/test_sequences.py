"""Sequences: consistency, drift and outliers by their formulas."""

import json
from dataclasses import replace

import numpy as np
import pytest

from dinoserve.domain.character_checks import Likeness
from dinoserve.domain.sequences import (
    Limits,
    Near,
    Shot,
    consistency,
    drift,
    limit_of,
    misfits,
    without_gone,
)

LIKENESS = Likeness(0.5, 0.8, 9, 0.5, 0.5, 0.7, 0.6, 0.6)


def shot(
    at: int,
    foreground: float = 0.8,
    *,
    previous: float | None = 0.8,
    missing: float = 0.1,
    verdict: str = "match",
) -> Shot:
    judgement = {"score": "foreground", "threshold": 0.6, "verdict": verdict}
    return Shot(
        asset_id=f"{at:032x}",
        position=at,
        reference_id="f" * 32,
        likeness=LIKENESS._replace(foreground=foreground),
        first=Near(0.25, foreground),
        previous=None if previous is None else Near(0.75, previous),
        drifted_share=missing,
        drifted=[{"box": [0, 0, 1, 1], "patches": 2, "similarity": 0.1}],
        judgements=[judgement],
    )


def test_a_shot_comes_back_from_its_json() -> None:
    for one in (shot(3, 1 / 3), shot(0, previous=None)):
        assert Shot.from_json(json.loads(json.dumps(one.as_json()))) == one


def test_consistency_is_the_mean_of_first_and_previous_over_later_shots() -> None:
    shots = [shot(0, 1.0, previous=None), shot(1, 0.5, previous=0.5), shot(2, 0.1)]
    found = consistency(shots)
    assert found is not None
    assert found.foreground == pytest.approx(((0.5 + 0.5) / 2 + (0.1 + 0.8) / 2) / 2)
    assert found.whole_image == pytest.approx(0.5)


def test_one_shot_alone_has_no_consistency() -> None:
    assert consistency([shot(0, previous=None)]) is None


def test_the_drift_of_a_line_is_its_slope() -> None:
    places = [0, 1, 3, 7]
    values = [(at, 0.9 - 0.02 * at) for at in places]
    assert drift(values) == pytest.approx(-0.02)


def test_an_outlier_does_not_move_the_drift() -> None:
    values = [(at, 0.9 - 0.02 * at) for at in range(9)]
    values[4] = (4, -1.0)
    assert drift(values) == pytest.approx(-0.02, abs=0.002)


def test_one_value_has_no_drift() -> None:
    assert drift([(3, 0.5)]) is None


def test_the_limit_lies_three_spreads_from_the_median() -> None:
    values = np.array([0.5, 0.6, 0.7, 0.8, 0.9])
    # Deviations are 0.2, 0.1, 0, 0.1, 0.2: their median is 0.1.
    assert limit_of(values) == pytest.approx(0.7 - 3 * 1.4826 * 0.1)
    assert limit_of(values, upper=True) == pytest.approx(0.7 + 3 * 1.4826 * 0.1)


def test_of_equal_values_the_spread_is_a_hundredth() -> None:
    assert limit_of(np.full(6, 0.7)) == pytest.approx(0.67)


def test_of_four_values_there_is_no_limit() -> None:
    assert limit_of(np.full(4, 0.7)) is None


def test_each_reason_is_told_with_its_value_and_limit() -> None:
    usual = [shot(at) for at in range(6)]
    cases = {
        "unlike_reference": shot(6, 0.7),
        "jump": shot(6, previous=0.7),
        "parts_drifted": shot(6, missing=0.4),
        "no_match": shot(6, verdict="no_match"),
    }
    for why, odd in cases.items():
        [found] = misfits([*usual, odd])
        assert found.shot == odd
        assert [reason.why for reason in found.reasons] == [why]
    [reason] = misfits([*usual, cases["unlike_reference"]])[0].reasons
    assert (reason.value, reason.limit) == (0.7, pytest.approx(0.77))


def test_most_reasons_come_first_and_then_the_least_alike() -> None:
    usual = [shot(at) for at in range(9)]
    odd = [shot(9, 0.6), shot(10, 0.5), shot(11, 0.7, previous=0.1)]
    found = misfits([*usual, *odd])
    assert [each.shot.position for each in found] == [11, 10, 9]


def test_what_fits_is_not_told() -> None:
    shots = [shot(at, 0.8 + at / 1000) for at in range(9)]
    assert misfits(shots) == []


def test_a_first_shot_without_one_before_makes_no_jump() -> None:
    shots = [shot(0, previous=None), *(shot(at) for at in range(1, 9))]
    assert misfits(shots) == []
    assert Limits.of([replace(one, previous=None) for one in shots]).jump is None


def test_several_scores_without_a_match_are_one_kind_of_reason() -> None:
    usual = [shot(at) for at in range(9)]
    unlike = shot(9, 0.1, verdict="no_match")
    often = shot(10, verdict="no_match")
    often = replace(often, judgements=[*often.judgements] * 3)
    found = misfits([*usual, often, unlike])
    assert [each.shot.position for each in found] == [9, 10]
    assert [reason.score for reason in found[1].reasons] == ["foreground"] * 3


def test_nothing_is_told_of_a_shot_that_is_gone() -> None:
    left = without_gone([shot(1), shot(2), shot(4)])
    assert [one.first for one in left] == [None] * 3
    assert [one.previous is None for one in left] == [True, False, True]
