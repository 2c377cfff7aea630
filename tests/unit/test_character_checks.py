"""What the comparison of two subjects tells of their parts."""

import numpy as np
import pytest
from numpy.typing import NDArray

from dinoserve.domain.character_checks import (
    Part,
    Subject,
    best_of,
    colours_of,
    compare,
    found_and_drifted,
    parts_of_subject,
    subject,
)
from dinoserve.domain.framing import lay_out, read_framing
from dinoserve.domain.geometry import Box, Geometry
from records import a_vector


def a_geometry() -> Geometry:
    """4 x 4 patches of 16 pixels, of a picture of 128 x 64."""
    return lay_out(read_framing("64", "squash"), 128, 64, 16, 1)


def a_subject(*rows: str, turned: float = 0.0) -> Subject:
    """A letter is a patch of its own direction, `.` is background."""
    mask = np.array([[letter != "." for letter in row] for row in rows])
    patches = np.array([[a_vector(ord(letter), 16) for letter in row] for row in rows])
    patches += turned * a_vector(0, 16)
    tokens = a_vector(5, 16), patches.astype(np.float32)
    return subject(tokens, mask, a_geometry(), "found")


def mask_of(*rows: str) -> NDArray[np.bool_]:
    return np.array([[letter == "1" for letter in row] for row in rows])


def test_subjects_are_compared_by_their_foregrounds_alone() -> None:
    one = a_subject("....", ".ab.", ".cd.", "....")
    other = a_subject("xyzw", "ab..", "cd..", "....")
    only = other._replace(
        mask=mask_of("0000", "1100", "1100", "0000"),
        patches=other.patches[4:],
        mean=one.mean,
    )

    likeness = compare(one, only).likeness

    assert likeness.pairs == 4
    assert likeness.foreground == pytest.approx(1, abs=1e-6)
    assert likeness.pair_mean == pytest.approx(1, abs=1e-6)


def test_what_the_asset_lacks_has_drifted_and_the_rest_is_found() -> None:
    reference = a_subject("....", ".ab.", ".cd.", "....")
    asset = a_subject("....", ".ab.", "....", "....")

    comparison = compare(reference, asset)
    found, drifted = found_and_drifted(comparison, reference, 0.9)

    assert [part.box for part in found] == [Box(32, 16, 96, 32)]
    assert [part.box for part in drifted] == [Box(32, 32, 96, 48)]
    assert found[0].score == pytest.approx(1, abs=1e-6)
    assert comparison.likeness.asset_share == 1
    assert comparison.likeness.reference_share == 0.5


def test_the_lowest_threshold_finds_everything() -> None:
    reference = a_subject("ab..", "....", "....", "....")
    comparison = compare(reference, a_subject("..xy", "....", "....", "...."))

    assert found_and_drifted(comparison, reference, -1)[1] == []


def test_parts_hang_together_by_edges_not_corners_and_the_largest_comes_first() -> None:
    mask = mask_of("1011", "0001", "0110", "1110")
    scores = np.where(mask, np.float32(0.25), np.float32(0))

    parts = parts_of_subject(scores, mask, a_geometry())

    assert parts == [
        Part(Box(0, 32, 96, 64), 5, 0.25),
        Part(Box(64, 0, 128, 32), 3, 0.25),
        Part(Box(0, 0, 32, 16), 1, 0.25),
    ]


def test_a_part_is_told_in_whole_hundredths_of_a_pixel() -> None:
    told = Part(Box(0, 1 / 3, 2 / 3, 4), 2, 1 / 3).told()

    assert told == {"box": [0, 0.33, 0.67, 4], "patches": 2, "similarity": 0.333333}


def test_the_first_of_equally_good_references_is_the_best() -> None:
    reference = a_subject("ab..", "....", "....", "....")
    other = a_subject("xy..", "....", "....", "....")

    assert best_of([compare(each, reference) for each in (other, reference)]) == 1
    assert best_of([compare(reference, other)] * 2) == 0


def test_colours_tell_found_from_drifted_and_leave_the_rest() -> None:
    scores = np.array([[0.9, 0.1, 0.0]], np.float32)
    colours = colours_of(scores, np.array([[True, True, False]]), 0.5)

    assert colours.tolist() == [
        [[0x00, 0x72, 0xB2, 128], [0xE6, 0x9F, 0x00, 128], [0, 0, 0, 0]]
    ]


def test_patches_that_cancel_out_have_a_mean_like_nothing() -> None:
    patches = np.array([[[1, 0], [-1, 0]]], np.float32)
    mask = np.ones((1, 2), np.bool_)

    one = subject((a_vector(1, 2), patches), mask, a_geometry(), "mask")

    assert one.mean.tolist() == [0, 0]
    assert compare(one, one).likeness.foreground == 0
