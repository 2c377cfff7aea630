"""Foregrounds: found without training, or said by a mask."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from dinoserve.domain.foreground import cut_out, patches_of
from dinoserve.domain.framing import lay_out, read_framing
from dinoserve.domain.geometry import Geometry
from records import a_vector

SIZES = st.integers(1, 90)


def two_things(
    mask: NDArray[np.bool_], noise: float = 0.3, seed: int = 0
) -> NDArray[np.float32]:
    """Patches of a subject before a background, with noise."""
    rng = np.random.default_rng(seed)
    patches = noise * rng.standard_normal((*mask.shape, 64)) / 8
    patches[..., 0] += mask
    patches[..., 1] += ~mask
    return patches.astype(np.float32)


def a_geometry(width: int, height: int, fit: str = "squash") -> Geometry:
    return lay_out(read_framing("64", fit), width, height, 16, 1)


@given(
    row=st.integers(0, 8),
    column=st.integers(0, 8),
    side=st.integers(2, 4),
    seed=st.integers(0, 99),
)
def test_the_smaller_of_two_things_is_cut_out(
    row: int, column: int, side: int, seed: int
) -> None:
    mask = np.zeros((12, 12), np.bool_)
    mask[row : row + side, column : column + side] = True

    found = cut_out(two_things(mask, seed=seed), np.ones_like(mask))

    assert np.array_equal(found, mask)


@given(
    rows=st.integers(1, 8),
    columns=st.integers(1, 8),
    kinds=st.integers(1, 5),
    seed=st.integers(0, 999),
)
def test_some_patches_are_always_foreground_and_none_that_is_not_seen(
    rows: int, columns: int, kinds: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    seeds = rng.integers(0, kinds, (rows, columns))
    patches = np.array([[a_vector(int(one)) for one in row] for row in seeds])
    visible = rng.random((rows, columns)) < 0.7
    visible[0, 0] = True

    found = cut_out(patches.astype(np.float32), visible)

    assert found.any()
    assert not (found & ~visible).any()
    assert np.array_equal(found, cut_out(patches.astype(np.float32), visible))


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_what_cannot_be_split_is_foreground_as_a_whole(value: float) -> None:
    visible = np.array([[True, True, False], [True, True, True]])

    found = cut_out(np.full((2, 3, 8), value, np.float32), visible)

    assert np.array_equal(found, visible)


@given(width=SIZES, height=SIZES, seed=st.integers(0, 999))
def test_a_patch_is_masked_where_half_of_its_pixels_are(
    width: int, height: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    pixels = rng.random((height, width)) < 0.6
    geometry = a_geometry(width, height)
    # The same by counting points, many to each patch.
    points = (np.arange(4 * 240) + 0.5) / (4 * 240)
    ys, xs = (points * height).astype(int), (points * width).astype(int)
    share = pixels[np.ix_(ys, xs)].reshape(4, 240, 4, 240).mean(axis=(1, 3))

    found = patches_of(pixels, geometry)

    threshold = min(0.5, share.max())
    sure = abs(share - threshold) > 0.02
    assert np.array_equal(found[sure], (share >= threshold)[sure])
    assert found.any() == pixels.any()


def test_a_subject_smaller_than_a_patch_has_the_patch_it_fills_most() -> None:
    pixels = np.zeros((64, 64), np.bool_)
    pixels[20:25, 40:46] = True

    found = patches_of(pixels, a_geometry(64, 64))

    assert [*zip(*np.nonzero(found), strict=True)] == [(1, 2)]


def test_padding_is_no_subject() -> None:
    pixels = np.ones((32, 64), np.bool_)

    found = patches_of(pixels, a_geometry(64, 32, "letterbox"))

    assert found.any(axis=1).tolist() == [False, True, True, False]


def test_what_the_framing_cuts_off_is_in_no_patch() -> None:
    pixels = np.zeros((64, 256), np.bool_)
    pixels[:, :20] = True

    assert not patches_of(pixels, a_geometry(256, 64, "crop")).any()
