"""From labelled pairs and their scores to a threshold and a probability.

A calibration holds for one score of one recipe. Nothing that it was fitted on is among
what its figures were measured on: identities, not pairs, are divided into two halves.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal, NamedTuple

import numpy as np

from dinoserve.domain.labelled_pairs import Divided, Halves, LabelledPair, divide
from dinoserve.domain.probabilities import (
    Isotonic,
    Platt,
    expected_calibration_error,
    fit_isotonic,
    fit_platt,
)
from dinoserve.domain.verification import (
    Estimate,
    Numbers,
    Truths,
    roc,
    threshold_at,
    verification_figures,
    with_intervals,
)
from dinoserve.errors import InvalidInputError

ISOTONIC_FROM: Final = 1000
"""Validation pairs from which the isotonic map is not worse than Platt's sigmoid.

Source: Niculescu-Mizil & Caruana, Predicting good probabilities with supervised
learning, 2005, section 5.
"""


class CalibrationFor(NamedTuple):
    """What a calibration is made for.

    Attributes:
        recipe: id of the recipe whose vectors were compared.
        score: which score it was, e.g. `whole_image`.
        target_fpr: the share of different pairs that may be called a match, in (0, 1).
    """

    recipe: str
    score: str
    target_fpr: float = 0.01


class Counts(NamedTuple):
    """How many pairs there were: same and different ones of each half.

    Attributes:
        crossing: pairs with one identity in each half; they are not used.
    """

    identities: int
    validation_same: int
    validation_different: int
    test_same: int
    test_different: int
    crossing: int


@dataclass(frozen=True, slots=True)
class Calibration:
    """What a score means, as far as labelled pairs tell.

    Attributes:
        made_for: recipe, score and target FPR.
        threshold: the lowest score that is a match; of the validation half.
        curve: from score to probability; of the validation half. The share of same
            pairs there is built into it.
        figures: of the test half: `roc_auc`, `eer`, `tpr_at_fpr_0.01`,
            `tpr_at_fpr_0.001`, `fpr` and `tpr` at the threshold, with 95 % intervals
            over identities, and `ece` (expected calibration error) without.
        counts: pairs and identities.
    """

    made_for: CalibrationFor
    threshold: float
    curve: Isotonic | Platt
    figures: Mapping[str, Estimate]
    counts: Counts

    @property
    def id(self) -> str:
        """16 hex digits of the SHA-256 over everything, in canonical JSON."""
        text = json.dumps(self.as_json(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def probability(self, score: float) -> float:
        """Return how probably a pair of this score is of the same, in [0, 1]."""
        return float(self.curve.probability(np.array([score]))[0])

    def verdict(self, score: float) -> Literal["match", "no_match"]:
        """Return whether the score reaches the threshold."""
        return "match" if score >= self.threshold else "no_match"

    def as_json(self) -> dict[str, Any]:
        """Return everything as a JSON object; `from_json` reads it."""
        kind = "isotonic" if isinstance(self.curve, Isotonic) else "platt"
        return {
            **self.made_for._asdict(),
            "threshold": self.threshold,
            "curve": {"kind": kind, **asdict(self.curve)},
            "figures": {name: one._asdict() for name, one in self.figures.items()},
            "counts": self.counts._asdict(),
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Calibration":
        """Return what `as_json` wrote.

        Raises:
            KeyError, TypeError, ValueError: it did not.
        """
        made_for = {name: values[name] for name in CalibrationFor._fields}
        figures = values["figures"].items()
        return cls(
            CalibrationFor(**made_for),
            float(values["threshold"]),
            _curve(dict(values["curve"])),
            {name: Estimate(**one) for name, one in figures},
            Counts(**values["counts"]),
        )


def calibrate(
    pairs: Sequence[LabelledPair],
    scores: Sequence[float],
    made_for: CalibrationFor,
    identities: Mapping[str, str] | None = None,
) -> Calibration:
    """Return what the scores of these pairs tell; the same for the same input.

    With 1 000 validation pairs or more the curve is isotonic, with fewer Platt's.

    Args:
        pairs: labelled, each two assets once.
        scores: of the pairs, in their order; higher is more alike.
        made_for: recipe, score and target FPR.
        identities: who or what an asset shows, by asset id, as far as known. Assets of
            a same pair have one identity anyway; of others that are not told of, each
            has its own.

    Raises:
        InvalidInputError: the reason why nothing can be said: too few pairs or
            identities, contradictory labels, a score that is not finite, or too few
            different pairs for the target FPR.
    """
    values = np.array(scores, np.float64)
    _check(pairs, values, made_for)
    divided = divide(pairs, identities or {})
    same, halves = divided.same, divided.halves
    known, true = values[halves.validation], same[halves.validation]
    _check_target(made_for.target_fpr, int((~true).sum()))
    threshold = threshold_at(roc(known, true), made_for.target_fpr)
    fit = fit_isotonic if len(known) >= ISOTONIC_FROM else fit_platt
    curve = fit(known, true)
    figures = _figures(values, divided, threshold, curve)
    return Calibration(made_for, threshold, curve, figures, _counts(divided))


def _figures(
    values: Numbers, divided: Divided, threshold: float, curve: Isotonic | Platt
) -> dict[str, Estimate]:
    of_test = divided.halves.test
    scores, same = values[of_test], divided.same[of_test]

    def measure(weights: Numbers) -> dict[str, float]:
        figures = verification_figures(scores, same, weights)
        return figures | _rates(scores >= threshold, same, weights)

    sides = divided.left[of_test], divided.right[of_test]
    ece = expected_calibration_error(curve.probability(scores), same)
    return with_intervals(measure, *sides) | {"ece": Estimate(ece)}


def _rates(accepted: Truths, same: Truths, weights: Numbers) -> dict[str, float]:
    return {
        "fpr": float(np.average(accepted[~same], weights=weights[~same])),
        "tpr": float(np.average(accepted[same], weights=weights[same])),
    }


def _counts(divided: Divided) -> Counts:
    halves, same = divided.halves, divided.same
    return Counts(
        identities=int(max(divided.left.max(), divided.right.max())) + 1,
        validation_same=int(same[halves.validation].sum()),
        validation_different=int((~same)[halves.validation].sum()),
        test_same=int(same[halves.test].sum()),
        test_different=int((~same)[halves.test].sum()),
        crossing=int((~_used(halves)).sum()),
    )


def _used(halves: Halves) -> Truths:
    return halves.validation | halves.test


def _check(
    pairs: Sequence[LabelledPair], values: Numbers, made_for: CalibrationFor
) -> None:
    if len(values) != len(pairs):
        raise InvalidInputError("Each pair has one score.", field="scores")
    for at in np.flatnonzero(~np.isfinite(values))[:1]:
        raise InvalidInputError("A score is a finite number.", field=f"scores[{at}]")
    if not 0 < made_for.target_fpr < 1:
        raise InvalidInputError(
            "The target FPR lies between 0 and 1.",
            field="target_fpr",
            value=made_for.target_fpr,
        )


def _check_target(target: float, different: int) -> None:
    if target * different < 1:
        raise InvalidInputError(
            f"A false positive rate of {target:g} cannot be told from 0 with"
            f" {different} pairs of different identities in the validation half: it"
            f" takes {int(np.ceil(1 / target))}. Give more pairs, or a higher target.",
            field="target_fpr",
            limit=1 / different,
            value=target,
        )


def _curve(values: dict[str, Any]) -> Isotonic | Platt:
    if values.pop("kind") == "platt":
        return Platt(**values)
    return Isotonic(tuple(values["scores"]), tuple(values["probabilities"]))
