"""Calibrations of checks as they are kept, and what they say of a likeness."""

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, Literal, NamedTuple

from dinoserve.domain.calibration import Calibration
from dinoserve.domain.character_checks import Likeness, Score

CALIBRATION_ID_PATTERN: Final = r"^[0-9a-f]{32}$"


class KeptCalibration(NamedTuple):
    """What a score means in one collection; it names no asset.

    Attributes:
        collection: that its pairs were of, and whose checks it is asked for.
    """

    collection: str
    created_at: datetime
    calibration: Calibration

    @property
    def id(self) -> str:
        """32 hex digits, the same for the same figures of the same collection."""
        text = f"{self.collection}/{self.calibration.id}"
        return hashlib.sha256(text.encode()).hexdigest()[:32]


class Judgement(NamedTuple):
    """What a calibration says of one score.

    Attributes:
        calibration: its id.
        score: which part of the likeness it judges.
        probability: that a pair of this score shows the same, in [0, 1], as far as the
            labelled pairs tell.
        threshold: the lowest score that is a match.
        verdict: whether the score reaches it.
    """

    calibration: str
    score: str
    probability: float
    threshold: float
    verdict: Literal["match", "no_match"]


def judge(
    likeness: Likeness, calibrations: Mapping[Score, KeptCalibration]
) -> list[Judgement]:
    """Return what calibrations say of a likeness, by the score that each is of."""
    told: list[Judgement] = []
    for score, kept in calibrations.items():
        value = float(getattr(likeness, score))
        probability = kept.calibration.probability(value)
        verdict = kept.calibration.verdict(value)
        threshold = kept.calibration.threshold
        told.append(Judgement(kept.id, score, probability, threshold, verdict))
    return told


def kept_from_json(
    collection: str, created_at: datetime, values: Mapping[str, Any]
) -> KeptCalibration:
    """Return what was kept of a calibration by its `as_json`; errors as there."""
    return KeptCalibration(collection, created_at, Calibration.from_json(values))
