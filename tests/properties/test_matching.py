"""Patches that are each other's nearest, whatever the patches are."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from dinoserve.domain.matching import mutual_nearest, unit_patches
from records import a_vector

sets = st.lists(st.integers(0, 20), max_size=40)


def patches(seeds: list[int]) -> NDArray[np.float32]:
    """Unit rows, of which those of one seed are equal."""
    return np.array([a_vector(seed) for seed in seeds], np.float32).reshape(-1, 8)


@given(left=sets, right=sets)
def test_pairs_are_those_of_a_table_of_all_cosines(
    left: list[int], right: list[int]
) -> None:
    one, other = patches(left), patches(right)
    cosines = np.clip(one @ other.T, -1, 1)
    wanted = [
        (row, column)
        for row, column in np.ndindex(cosines.shape)
        if cosines[row].argmax() == column and cosines[:, column].argmax() == row
    ]

    found = mutual_nearest(one, other)

    pairs = list(zip(found.left.tolist(), found.right.tolist(), strict=True))
    assert pairs == wanted
    assert np.array_equal(found.cosines, cosines[found.left, found.right])
    if left and right:
        assert np.array_equal(found.left_best, cosines.max(axis=1))
        assert np.array_equal(found.right_best, cosines.max(axis=0))


@given(left=sets.filter(bool), right=sets.filter(bool))
def test_two_sets_have_a_pair_and_no_patch_is_in_two(
    left: list[int], right: list[int]
) -> None:
    found = mutual_nearest(patches(left), patches(right))

    assert len(found.left) >= 1
    assert len(set(found.left.tolist())) == len(found.left)
    assert len(set(found.right.tolist())) == len(found.right)
    assert 0 < found.left_share <= 1
    assert 0 < found.right_share <= 1
    assert -1 <= found.left_mean <= 1
    assert -1 <= found.mean_cosine <= 1


@given(seeds=st.lists(st.integers(0, 999), min_size=1, max_size=40, unique=True))
def test_a_set_is_paired_with_itself_patch_by_patch(seeds: list[int]) -> None:
    found = mutual_nearest(patches(seeds), patches(seeds))

    assert found.left.tolist() == found.right.tolist() == list(range(len(seeds)))
    assert found.left_share == found.right_share == 1


@given(left=sets, right=sets)
def test_both_directions_tell_the_same_evidence(
    left: list[int], right: list[int]
) -> None:
    one = mutual_nearest(patches(left), patches(right))
    other = mutual_nearest(patches(right), patches(left))

    assert np.allclose(one.left_best, other.right_best, atol=1e-6)
    assert np.allclose(one.right_best, other.left_best, atol=1e-6)


@given(seeds=sets)
def test_nothing_matches_an_empty_set(seeds: list[int]) -> None:
    found = mutual_nearest(patches(seeds), patches([]))

    assert len(found.left) == len(found.right) == len(found.cosines) == 0
    assert (found.left_share, found.right_share, found.mean_cosine) == (0, 0, 0)
    assert np.array_equal(found.left_best, np.full(len(seeds), -1))


def test_blocks_give_what_one_product_gives() -> None:
    rng = np.random.default_rng(1)
    left, right = (
        unit_patches(rng.standard_normal((n, 8)).astype(np.float32))
        for n in (2500, 1700)
    )
    found = mutual_nearest(left, right)

    cosines = left @ right.T
    assert np.allclose(found.left_best, cosines.max(axis=1), atol=1e-6)
    assert np.allclose(found.right_best, cosines.max(axis=0), atol=1e-6)
    mutual = cosines.argmax(axis=0)[cosines.argmax(axis=1)] == np.arange(len(left))
    assert np.array_equal(found.left, np.flatnonzero(mutual))


def test_rows_get_length_one_and_zero_stays() -> None:
    rows = np.array([[3, 4], [0, 0], [0, 1e-15]], np.float32)

    assert np.allclose(unit_patches(rows), [[0.6, 0.8], [0, 0], [0, 1]])
