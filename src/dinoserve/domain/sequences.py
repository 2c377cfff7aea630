"""Sequences: how consistent a subject stays from shot to shot, and which do not fit."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, NamedTuple, TypeAlias

import numpy as np

from dinoserve.domain.character_checks import Comparison, Likeness, Subject, cosine
from dinoserve.domain.verification import Numbers

FEWEST: Final = 5
"""Shots from which outliers are told: of fewer, a median says nothing."""

SPREADS: Final = 3.0
"""Spreads beyond the median from which a shot is an outlier.

Source: Leys et al., "Detecting outliers: Do not use standard deviation around the mean,
use absolute deviation around the median" (2013), which calls 3 very conservative.
"""

_PER_DEVIATION = 1.4826  # of a normal distribution, same source
# Shots that are nearly the same differ by rounding and noise: those are no outliers.
_LEAST_SPREAD = 0.01

Why: TypeAlias = Literal["unlike_reference", "jump", "parts_drifted", "no_match"]


class Near(NamedTuple):
    """Cosines of two shots, in [-1, 1]: of the embeddings, and of the foregrounds."""

    whole_image: float
    foreground: float


@dataclass(frozen=True, slots=True)
class Shot:
    """What was measured of one shot.

    Attributes:
        position: in the sequence, from 0.
        reference_id: the asset of the reference that it is most like.
        likeness: to that reference.
        first: to the first shot; None where that could not be compared.
        previous: to the shot before; None of the first one, and as above.
        drifted_share: share of the reference's foreground that it does not show.
        drifted: the largest parts of that, as `Part.told` tells them.
        judgements: what calibrations say, as JSON.
    """

    asset_id: str
    position: int
    reference_id: str
    likeness: Likeness
    first: Near | None
    previous: Near | None
    drifted_share: float
    drifted: Sequence[Mapping[str, Any]]
    judgements: Sequence[Mapping[str, Any]]

    def as_json(self) -> dict[str, Any]:
        """Return everything as a JSON object; `from_json` reads it."""
        return {
            "asset": self.asset_id,
            "position": self.position,
            "reference": self.reference_id,
            "appearance_similarity": self.likeness._asdict(),
            "first": self.first and self.first._asdict(),
            "previous": self.previous and self.previous._asdict(),
            "drifted_share": self.drifted_share,
            "drifted": list(self.drifted),
            "judgements": list(self.judgements),
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Shot":
        """Return what `as_json` wrote."""
        first, previous = values["first"], values["previous"]
        return cls(
            values["asset"],
            values["position"],
            values["reference"],
            Likeness(**values["appearance_similarity"]),
            first and Near(**first),
            previous and Near(**previous),
            values["drifted_share"],
            values["drifted"],
            values["judgements"],
        )


class Reason(NamedTuple):
    """Why a shot does not fit.

    Attributes:
        value: what was measured.
        limit: what it should have reached, or not exceeded.
        score: that the calibration is of; None: no calibration says so.
    """

    why: Why
    value: float
    limit: float
    score: str | None = None


class Misfit(NamedTuple):
    """A shot that does not fit, and why."""

    shot: Shot
    reasons: list[Reason]

    @property
    def kinds(self) -> int:
        """How many kinds of reasons there are: scores of one shot are of one kind."""
        return len({reason.why for reason in self.reasons})


def near(left: Subject, right: Subject) -> Near:
    """Return how alike two shots are."""
    return Near(cosine(left.vector, right.vector), cosine(left.mean, right.mean))


def drifted_share(
    comparison: Comparison, reference: Subject, drifted_below: float
) -> float:
    """Return the share of the reference's foreground that is not found, in [0, 1]."""
    scores = comparison.reference_scores[reference.mask]
    return float(np.mean(scores < drifted_below))


def without_gone(shots: Sequence[Shot]) -> list[Shot]:
    """Return the shots, each without what was measured against one that is not there.

    Args:
        shots: those that are left of a sequence.
    """
    places = {shot.position for shot in shots}
    return [
        replace(
            shot,
            first=shot.first if 0 in places else None,
            previous=shot.previous if shot.position - 1 in places else None,
        )
        for shot in shots
    ]


def consistency(shots: Sequence[Shot]) -> Near | None:
    """Return the mean over shots of (to the first + to the previous) / 2.

    Of shots without either, nothing is counted; None: there is none.

    Source:
        Huang et al., "VBench: Comprehensive Benchmark Suite for Video Generative
        Models" (2024), subject consistency; negative cosines are not cut off here, and
        the foreground is added to the whole image.
    """
    pairs = [(one.first, one.previous) for one in shots if one.first and one.previous]
    if not pairs:
        return None
    means = np.mean(np.array(pairs, np.float64), axis=(0, 1))
    return Near(*means.tolist())


def drift(measured: Sequence[tuple[int, float]]) -> float | None:
    """Return the slope: how much a similarity changes with each shot.

    The median of (s_j - s_i) / (j - i) over all pairs of shots i < j, which a few
    outliers do not move. None: there are fewer than two.

    Args:
        measured: positions, each once, and similarities.

    Source:
        Sen, "Estimates of the regression coefficient based on Kendall's tau" (1968).
    """
    if len(measured) < 2:  # noqa: PLR2004 - a slope takes two points
        return None
    at, scores = np.array(measured, np.float64).T
    earlier, later = np.triu_indices(len(at), 1)
    slopes = (scores[later] - scores[earlier]) / (at[later] - at[earlier])
    return float(np.median(slopes))


def limit_of(values: Numbers, *, upper: bool = False) -> float | None:
    """Return the median less, or `upper`: plus, three spreads; None: too few values.

    A spread is 1.4826 times the median absolute deviation, at least 0.01.
    """
    if len(values) < FEWEST:
        return None
    median = np.median(values)
    spread = _PER_DEVIATION * np.median(np.abs(values - median))
    room = SPREADS * max(float(spread), _LEAST_SPREAD)
    return float(median + room if upper else median - room)


def misfits(shots: Sequence[Shot]) -> list[Misfit]:
    """Return the shots that do not fit, what to make again first: first.

    Those of the most kinds of reasons come first; of as many, those least like their
    reference by foreground.
    """
    limits = Limits.of(shots)
    found = [Misfit(shot, limits.reasons(shot)) for shot in shots]
    return sorted(
        (each for each in found if each.reasons),
        key=lambda each: (-each.kinds, each.shot.likeness.foreground),
    )


class Limits(NamedTuple):
    """What shots of one sequence should keep; None: not told.

    Attributes:
        unlike_reference: least foreground cosine to the reference.
        jump: least foreground cosine to the shot before.
        parts_drifted: greatest share of the reference that is not found.
    """

    unlike_reference: float | None
    jump: float | None
    parts_drifted: float | None

    @classmethod
    def of(cls, shots: Sequence[Shot]) -> "Limits":
        """Return the limits that these shots themselves give."""
        alike = np.array([shot.likeness.foreground for shot in shots])
        steps = np.array([one.previous.foreground for one in shots if one.previous])
        shares = np.array([shot.drifted_share for shot in shots])
        return cls(limit_of(alike), limit_of(steps), limit_of(shares, upper=True))

    def reasons(self, shot: Shot) -> list[Reason]:
        """Return why a shot does not fit; empty: it does."""
        step = shot.previous.foreground if shot.previous else None
        found = [
            _below("unlike_reference", shot.likeness.foreground, self.unlike_reference),
            _below("jump", step, self.jump),
        ]
        told = [reason for reason in found if reason]
        most = self.parts_drifted
        if most is not None and shot.drifted_share > most:
            told.append(Reason("parts_drifted", shot.drifted_share, most))
        return told + _mismatches(shot)


def _below(why: Why, value: float | None, limit: float | None) -> Reason | None:
    if value is None or limit is None or value >= limit:
        return None
    return Reason(why, value, limit)


def _mismatches(shot: Shot) -> list[Reason]:
    scores = shot.likeness._asdict()
    return [
        Reason("no_match", scores[each["score"]], each["threshold"], each["score"])
        for each in shot.judgements
        if each["verdict"] == "no_match"
    ]
