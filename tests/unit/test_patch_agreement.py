"""Patches agree where they are alike and in the same place."""

import numpy as np
import pytest

from dinoserve.domain.patch_agreement import PlacedPatches, agreement

GRID = np.random.default_rng(3).standard_normal((6, 8, 16)).astype(np.float32)
ALL = np.ones((6, 8), bool)


def test_a_picture_agrees_with_itself() -> None:
    patches = PlacedPatches.of(GRID, ALL)

    share, cosine = agreement(patches, patches)

    assert share == 1
    assert cosine == pytest.approx(1, abs=1e-6)


def test_the_same_patches_elsewhere_do_not_agree() -> None:
    mirrored = PlacedPatches.of(GRID[:, ::-1], ALL)

    assert agreement(PlacedPatches.of(GRID, ALL), mirrored) == (0, 0)


def test_padding_has_no_part_in_it() -> None:
    padded = np.zeros((10, 8, 16), np.float32)
    padded[2:8] = GRID
    shown = np.zeros((10, 8), bool)
    shown[2:8] = True

    other = PlacedPatches.of(padded, shown)

    assert agreement(PlacedPatches.of(GRID, ALL), other).share == 1


def test_it_is_the_same_both_ways_round() -> None:
    left = PlacedPatches.of(GRID, ALL)
    right = PlacedPatches.of(GRID[:5, :6] + np.float32(0.3), np.ones((5, 6), bool))

    assert agreement(left, right) == agreement(right, left)
