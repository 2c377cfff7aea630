"""Issues: which values lie beyond their thresholds, and what weights make of them."""

from dataclasses import replace

import numpy as np
import pytest

from dinoserve.domain.quality import Quality, measure
from dinoserve.domain.quality_issues import (
    RULES,
    IssueName,
    check_threshold,
    default_thresholds,
    described,
    issues,
    overall,
    read_thresholds,
)
from dinoserve.errors import InvalidInputError
from dinoserve.settings import Settings

# Beyond every threshold, and by how much is known.
BAD = {
    "dark": {"dark_score": 0.16},
    "bright": {"light_score": 0.01},
    "blurry": {"blurry_score": 0.2},
    "low_information": {"low_information_score": 0.1},
    "odd_aspect": {"odd_aspect_score": 0.2},
    "greyscale": {"channel_spread": 0},
    "noisy": {"noise": 30.0},
    "clipped": {"clipped_shadows": 0.3, "clipped_lights": 0.3},
    "too_small": {"shortest_side": 64},
}


def good() -> Quality:
    """Values of a picture without issues."""
    random = np.random.default_rng(0)
    found = measure(random.integers(0, 256, (256, 256, 3), dtype=np.uint8))
    return replace(found, noise=2.0)


def names(quality: Quality) -> list[IssueName]:
    return [issue.issue for issue in issues(quality, default_thresholds())]


def test_a_good_picture_has_no_issue() -> None:
    assert names(good()) == []


@pytest.mark.parametrize("name", RULES)
def test_a_value_beyond_the_threshold_is_that_issue_alone(name: IssueName) -> None:
    assert names(replace(good(), **BAD[name])) == [name]


def test_a_value_on_the_threshold_is_no_issue() -> None:
    assert names(replace(good(), dark_score=0.32, noise=15.0)) == []


def test_an_issue_tells_its_value_and_threshold() -> None:
    quality = replace(good(), noise=30.0)
    told = described(quality, default_thresholds())
    assert told["issues"] == [
        {
            "issue": "noisy",
            "measure": "noise",
            "value": 30.0,
            "threshold": 15,
            "beyond": "above",
        }
    ]
    assert "overall" not in told


def test_a_threshold_that_is_off_is_no_issue() -> None:
    limits = default_thresholds()
    limits["noisy"] = None
    assert issues(replace(good(), noise=30.0), limits) == []


def test_weights_make_an_overall_number_by_the_formula() -> None:
    quality = replace(good(), dark_score=0.16, noise=30.0)
    weights: dict[IssueName, float] = {"dark": 1, "noisy": 2, "blurry": 1}
    # Half of dark's weight and half of noisy's are lost.
    assert overall(quality, default_thresholds(), weights) == pytest.approx(0.625)


def test_thresholds_are_read_of_text() -> None:
    found = read_thresholds(" dark=0.4, greyscale = off ,")
    assert found == {"dark": 0.4, "greyscale": None}


@pytest.mark.parametrize("text", ["foggy=1", "dark", "dark=x", "dark=2", "dark=nan"])
def test_text_that_is_no_threshold_is_refused(text: str) -> None:
    with pytest.raises(InvalidInputError):
        read_thresholds(text)


def test_a_threshold_out_of_range_is_refused_with_the_limit() -> None:
    with pytest.raises(InvalidInputError) as error:
        check_threshold("noisy", 256)
    assert error.value.extra["limit"] == 255


def test_a_setting_that_is_no_threshold_is_refused() -> None:
    with pytest.raises(ValueError, match="foggy"):
        Settings.model_validate({"quality_thresholds": "foggy=1"})
