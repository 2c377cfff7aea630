"""Issues of quality: what is measured and lies beyond a threshold."""

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Final, Literal, NamedTuple, TypeAlias, get_args

from dinoserve.domain.quality import Quality
from dinoserve.errors import InvalidInputError

_DECIMALS: Final = 6

IssueName: TypeAlias = Literal[
    "dark",
    "bright",
    "blurry",
    "low_information",
    "odd_aspect",
    "greyscale",
    "noisy",
    "clipped",
    "too_small",
]


class Rule(NamedTuple):
    """When something measured is an issue.

    Attributes:
        measure: a property of `Quality`.
        is_below: an issue is a value below the threshold; else one above it.
        threshold: the default.
        greatest: a threshold may be 0 to this.
    """

    measure: str
    is_below: bool
    threshold: float
    greatest: float


RULES: Final[Mapping[IssueName, Rule]] = {
    # The first five are CleanVision's, with its thresholds.
    "dark": Rule("dark_score", True, 0.32, 1),
    "bright": Rule("light_score", True, 0.05, 1),
    "blurry": Rule("blurry_score", True, 0.29, 1),
    "low_information": Rule("low_information_score", True, 0.3, 1),
    "odd_aspect": Rule("odd_aspect_score", True, 0.35, 1),
    # Lossy encoding makes grey pixels differ by a few levels.
    "greyscale": Rule("channel_spread", True, 8, 256),
    "noisy": Rule("noise", False, 15, 255),
    "clipped": Rule("clipped", False, 0.5, 1),
    "too_small": Rule("shortest_side", True, 128, 100_000),
}
"""Every issue, and its default threshold."""

Thresholds: TypeAlias = Mapping[IssueName, float | None]
"""Thresholds by issue; None: it is none here."""


class Issue(NamedTuple):
    """Something measured that lies beyond its threshold."""

    issue: IssueName
    measure: str
    value: float
    threshold: float
    is_below: bool


def issues(quality: Quality, thresholds: Thresholds) -> list[Issue]:
    """Return what lies beyond its threshold, in the order of `RULES`."""
    found: list[Issue] = []
    for name, rule in RULES.items():
        limit = thresholds[name]
        value = float(getattr(quality, rule.measure))
        if limit is not None and (value < limit if rule.is_below else value > limit):
            found.append(Issue(name, rule.measure, value, limit, rule.is_below))
    return found


def overall(
    quality: Quality, thresholds: Thresholds, weights: Mapping[IssueName, float]
) -> float:
    """Return Σ w s / Σ w over the issues that have a weight: 0 worst to 1.

    s is 1 where the value does not lie beyond its threshold; else value / threshold
    where issues are below it, and threshold / value where they are above. A threshold
    that is None counts as kept.

    Args:
        quality: of the picture.
        thresholds: of every issue.
        weights: above 0; at least one.
    """
    beyond = {issue.issue: issue for issue in issues(quality, thresholds)}
    total = sum(
        weight * (_share(beyond[name]) if name in beyond else 1.0)
        for name, weight in weights.items()
    )
    return total / sum(weights.values())


def described(
    quality: Quality,
    thresholds: Thresholds,
    weights: Mapping[IssueName, float] | None = None,
) -> dict[str, object]:
    """Return JSON with the names that the API has, its numbers to six decimals.

    Args:
        quality: of the picture.
        thresholds: of every issue.
        weights: see `overall`, which is told only where there are some.
    """
    told: dict[str, object] = {
        "measures": {k: round(v, _DECIMALS) for k, v in asdict(quality).items()},
        "issues": [
            {
                "issue": issue.issue,
                "measure": issue.measure,
                "value": round(issue.value, _DECIMALS),
                "threshold": issue.threshold,
                "beyond": "below" if issue.is_below else "above",
            }
            for issue in issues(quality, thresholds)
        ],
    }
    if weights:
        told["overall"] = round(overall(quality, thresholds, weights), _DECIMALS)
    return told


def default_thresholds() -> dict[IssueName, float | None]:
    """Return the threshold of every issue."""
    return {name: rule.threshold for name, rule in RULES.items()}


def read_thresholds(text: str) -> dict[IssueName, float | None]:
    """Return thresholds by name of text such as `dark=0.4, greyscale=off`.

    Raises:
        InvalidInputError: no such issue, no number, or one out of range; `field` is
            `thresholds`.
    """
    found: dict[IssueName, float | None] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, value = (side.strip() for side in part.partition("="))
        known = next((one for one in get_args(IssueName) if one == name), None)
        if known is None:
            raise _refused(f"`{name}` is no issue; there are {', '.join(RULES)}.", name)
        found[known] = None if value == "off" else _number(known, value)
    return found


def check_threshold(name: IssueName, value: float) -> float:
    """Return the threshold; refuse one that is not from 0 to the issue's greatest.

    Raises:
        InvalidInputError: `field` is `thresholds.<name>`.
    """
    greatest = RULES[name].greatest
    if not 0 <= value <= greatest:
        raise InvalidInputError(
            f"The threshold of `{name}` is a number from 0 to {greatest:g}.",
            field=f"thresholds.{name}",
            limit=greatest,
            value=value,
        )
    return value


def _number(name: IssueName, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise _refused(f"The threshold of `{name}` is a number or `off`.", text)
    return check_threshold(name, value)


def _refused(detail: str, value: str) -> InvalidInputError:
    return InvalidInputError(detail, field="thresholds", value=value[:60])


def _share(issue: Issue) -> float:
    if issue.is_below:
        return issue.value / issue.threshold
    return issue.threshold / issue.value
