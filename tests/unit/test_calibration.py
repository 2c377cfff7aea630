"""Calibration: what labelled pairs and their scores tell, and what is refused."""

import json
from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
import pytest

from dinoserve.domain.calibration import Calibration, CalibrationFor, calibrate
from dinoserve.domain.labelled_pairs import LabelledPair, divide
from dinoserve.domain.probabilities import Isotonic, Platt
from dinoserve.errors import InvalidInputError
from judges import roc_area

MADE_FOR = CalibrationFor("1f2e3d4c5b6a7988", "whole_image", target_fpr=0.05)


def all_pairs(identities: int, each: int) -> list[LabelledPair]:
    """Every two pictures of some identities; pictures are named `<identity>-<n>`."""
    pictures = [f"{who:02d}-{at}" for who in range(identities) for at in range(each)]
    return [
        LabelledPair(left, right, left[:2] == right[:2])
        for left, right in combinations(pictures, 2)
    ]


def scores_of(pairs: Sequence[LabelledPair], seed: int = 0) -> list[float]:
    rng = np.random.default_rng(seed)
    means = np.array([0.6 if pair.same else 0.3 for pair in pairs])
    return np.clip(rng.normal(means, 0.12), -1, 1).tolist()


def made_of(identities: int, each: int) -> Calibration:
    pairs = all_pairs(identities, each)
    return calibrate(pairs, scores_of(pairs), MADE_FOR)


def refusal(
    pairs: Sequence[LabelledPair],
    made_for: CalibrationFor = MADE_FOR,
    identities: Mapping[str, str] | None = None,
) -> InvalidInputError:
    with pytest.raises(InvalidInputError) as caught:
        calibrate(pairs, scores_of(pairs), made_for, identities)
    return caught.value


def test_the_halves_share_no_identity() -> None:
    pairs = all_pairs(9, 4)
    divided = divide(pairs, {})
    names = [
        {asset[:2] for pair, is_in in zip(pairs, half, strict=True) if is_in
         for asset in pair[:2]}
        for half in divided.halves
    ]  # fmt: skip
    assert names[0]
    assert names[1]
    assert names[0].isdisjoint(names[1])


def test_identities_are_divided_so_that_neither_half_lacks_pairs() -> None:
    sizes = [5] * 4 + [1] * 12
    pictures = [
        (f"{who:02d}-{at}", who) for who, n in enumerate(sizes) for at in range(n)
    ]
    pairs = [
        LabelledPair(left, right, who == other)
        for (left, who), (right, other) in combinations(pictures, 2)
    ]
    counts = calibrate(pairs, scores_of(pairs), MADE_FOR).counts
    assert (counts.validation_same, counts.test_same) == (20, 20)


def test_pairs_are_counted_where_they_went() -> None:
    counts = made_of(8, 5).counts
    assert counts.identities == 8
    # Four identities of five pictures each in either half.
    assert (counts.validation_same, counts.validation_different) == (40, 150)
    assert (counts.test_same, counts.test_different) == (40, 150)
    assert counts.crossing == 400


def test_figures_are_those_of_the_test_half() -> None:
    pairs = all_pairs(8, 5)
    # So coarse that scores of the test half lie on the threshold.
    scores = np.round(scores_of(pairs), 1)
    found = calibrate(pairs, scores.tolist(), MADE_FOR)
    divided = divide(pairs, {})
    test, same = divided.halves.test, divided.same
    assert found.figures["roc_auc"].value == pytest.approx(
        roc_area(same[test], scores[test])
    )
    accepted = scores >= found.threshold
    assert found.figures["fpr"].value == pytest.approx(accepted[test & ~same].mean())
    assert found.figures["tpr"].value == pytest.approx(accepted[test & same].mean())
    assert set(found.figures) == {
        *("roc_auc", "eer", "tpr_at_fpr_0.01", "tpr_at_fpr_0.001"),
        *("fpr", "tpr", "ece"),
    }


def test_the_threshold_keeps_the_target_on_the_validation_half() -> None:
    pairs = all_pairs(8, 5)
    scores = np.array(scores_of(pairs))
    found = calibrate(pairs, scores.tolist(), MADE_FOR)
    divided = divide(pairs, {})
    different = scores[divided.halves.validation & ~divided.same]
    assert 0 < (different >= found.threshold).mean() <= 0.05


def test_what_is_known_of_the_test_half_moves_no_threshold() -> None:
    pairs = all_pairs(8, 5)
    scores = np.array(scores_of(pairs))
    before = calibrate(pairs, scores.tolist(), MADE_FOR)
    scores[divide(pairs, {}).halves.test] = 0.0
    after = calibrate(pairs, scores.tolist(), MADE_FOR)
    assert after.threshold == before.threshold
    assert after.curve == before.curve
    assert after.figures != before.figures


def test_few_pairs_get_a_sigmoid_and_many_an_isotonic_map() -> None:
    assert isinstance(made_of(8, 5).curve, Platt)
    assert isinstance(made_of(12, 8).curve, Isotonic)


@pytest.mark.parametrize(("identities", "each"), [(8, 5), (12, 8)])
def test_a_calibration_survives_json(identities: int, each: int) -> None:
    made = made_of(identities, each)
    read = Calibration.from_json(json.loads(json.dumps(made.as_json())))
    assert read == made
    assert read.id == made.id
    assert read.probability(0.47) == made.probability(0.47)


def test_the_same_pairs_give_the_same_calibration() -> None:
    assert made_of(8, 5) == made_of(8, 5)


def test_a_verdict_is_whether_the_threshold_is_reached() -> None:
    made = made_of(8, 5)
    assert made.verdict(made.threshold) == "match"
    assert made.verdict(np.nextafter(made.threshold, -1)) == "no_match"


def test_a_probability_rises_with_the_score_and_is_honest() -> None:
    made = made_of(12, 8)
    told = [made.probability(score) for score in (-1.0, 0.2, 0.45, 0.7, 1.0)]
    assert told == sorted(told)
    assert 0 <= told[0] < 0.1
    assert 0.9 < told[-1] <= 1
    assert made.figures["ece"].value < 0.1


def test_identities_follow_from_pairs_of_the_same() -> None:
    chain = [LabelledPair(f"a{at}", f"a{at + 1}", True) for at in range(30)]
    others = [LabelledPair(f"b{at}", f"b{at + 1}", True) for at in range(30)]
    apart = [LabelledPair(f"a{at}", f"b{at}", False) for at in range(30)]
    error = refusal(chain + others + apart)
    assert "2 identities" in error.detail


def test_identities_that_are_told_join_assets_that_no_pair_joins() -> None:
    apart = [LabelledPair(f"a{at}", f"b{at}", False) for at in range(40)]
    names = {f"{who}{at}": who for who in "ab" for at in range(40)}
    assert "2 identities" in refusal(apart, identities=names).detail


def test_one_identity_only_is_refused() -> None:
    error = refusal(all_pairs(1, 12))
    assert "1 identities" in error.detail
    assert error.extra["limit"] == 4


def test_too_few_pairs_are_refused_with_what_is_there() -> None:
    error = refusal(all_pairs(5, 3))
    assert "needs 10 pairs" in error.detail
    assert error.extra["value"] == 6


def test_no_pair_at_all_is_refused() -> None:
    assert "0 identities" in refusal([]).detail


def test_labels_that_contradict_each_other_are_refused() -> None:
    pairs = [
        *all_pairs(8, 5),
        LabelledPair("x", "y", True),
        LabelledPair("y", "z", True),
        LabelledPair("x", "z", False),
    ]
    error = refusal(pairs)
    assert "contradict" in error.detail
    assert error.extra["field"] == f"pairs[{len(pairs) - 1}]"


def test_identities_that_contradict_the_pairs_are_refused() -> None:
    pairs = all_pairs(8, 5)
    error = refusal(pairs, identities={"00-0": "Ava", "00-1": "Bill"})
    assert "contradict" in error.detail
    assert error.extra["value"] == "00-1"
    error = refusal(pairs, identities={"00-0": "Ava", "01-0": "Ava"})
    assert "contradict" in error.detail


def test_a_pair_that_is_given_twice_is_refused() -> None:
    error = refusal([*all_pairs(8, 5), LabelledPair("00-1", "00-0", True)])
    assert "has the assets of pairs[0]" in error.detail


def test_an_asset_paired_with_itself_is_refused() -> None:
    assert "with itself" in refusal([LabelledPair("a", "a", True)]).detail


def test_a_target_that_the_pairs_cannot_tell_from_none_is_refused() -> None:
    error = refusal(all_pairs(8, 5), MADE_FOR._replace(target_fpr=0.001))
    assert error.extra["field"] == "target_fpr"
    assert "takes 1000" in error.detail


@pytest.mark.parametrize("target", [0.0, 1.0, -0.1, float("nan")])
def test_a_target_that_is_no_rate_is_refused(target: float) -> None:
    error = refusal(all_pairs(8, 5), MADE_FOR._replace(target_fpr=target))
    assert error.extra["field"] == "target_fpr"


def test_scores_that_are_no_numbers_or_too_few_are_refused() -> None:
    pairs = all_pairs(8, 5)
    scores = scores_of(pairs)
    with pytest.raises(InvalidInputError) as caught:
        calibrate(pairs, [*scores[:-1], float("nan")], MADE_FOR)
    assert caught.value.extra["field"] == f"scores[{len(scores) - 1}]"
    with pytest.raises(InvalidInputError, match="one score"):
        calibrate(pairs, scores[:-1], MADE_FOR)


def test_more_pairs_than_can_be_resampled_are_refused() -> None:
    pairs = [LabelledPair(f"a{at}", f"b{at}", False) for at in range(100_001)]
    error = refusal(pairs)
    assert (error.extra["limit"], error.extra["value"]) == (100_000, 100_001)
