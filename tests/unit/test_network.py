"""Neighbours whose order no rounding decides."""

import numpy as np
import pytest

from dinoserve.domain.neighbours import NOBODY
from dinoserve.domain.network import is_mutual, nearest_settled, reached
from dinoserve.domain.vectors import Matrix


def some(count: int, seed: int = 0, width: int = 32) -> Matrix:
    """Return unit vectors that are alike, and some that are the same."""
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((count, width)) + 1.0
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    rows[count // 2 :: 3] = rows[0]
    return rows.astype(np.float32)


def every(count: int) -> np.ndarray[tuple[int], np.dtype[np.int32]]:
    return np.arange(count, dtype=np.int32)


def test_neighbours_are_the_greatest_exact_cosines_ties_by_place() -> None:
    vectors = some(200)

    found = nearest_settled(vectors, every(200), 7, 0.4)

    whole = np.round(vectors.astype(np.float64) @ vectors.T.astype(np.float64), 6)
    np.fill_diagonal(whole, -2)
    for row, (places, scores) in enumerate(zip(*found, strict=True)):
        order = np.lexsort((every(200), -whole[row]))[:7]
        best = [at for at in order if whole[row, at] >= 0.4]
        assert places[places != NOBODY].tolist() == best
        told = scores[: len(best)].astype(np.float64).round(6)
        assert told.tolist() == whole[row, best].clip(-1, 1).tolist()


def test_what_is_asked_for_together_does_not_change_an_answer() -> None:
    vectors = some(300, width=384)
    whole = nearest_settled(vectors, every(300), 5, 0.01)

    for row in (0, 1, 150, 151, 299):
        alone = nearest_settled(vectors, every(300)[row : row + 1], 5, 0.01)
        assert alone.indices[0].tolist() == whole.indices[row].tolist()
        assert alone.scores[0].tolist() == whole.scores[row].tolist()


def test_of_more_equal_ones_than_are_looked_at_the_first_are_taken() -> None:
    vectors = np.repeat(some(1, width=384), 500, axis=0)

    found = nearest_settled(vectors, every(500), 3, 0.5)

    assert found.indices[0].tolist() == [1, 2, 3]
    assert found.indices[499].tolist() == [0, 1, 2]
    assert (found.scores == 1.0).all()


@pytest.mark.parametrize("count", [0, 1, 2, 5])
def test_a_set_of_hardly_any_has_as_many_columns_as_there_are_others(
    count: int,
) -> None:
    found = nearest_settled(some(count + 1)[:count], every(count), 10, 0.5)

    assert found.indices.shape == (count, max(count - 1, 0))


def test_a_neighbour_is_mutual_if_it_names_the_member() -> None:
    indices = np.array([[1, 2], [0, NOBODY], [1, NOBODY]], np.int32)

    assert is_mutual(indices).tolist() == [[True, False], [True, False], [False, False]]


def test_a_new_member_reaches_those_whose_last_neighbour_is_no_nearer() -> None:
    vectors = np.array([[1, 0], [0, 1], [0.6, 0.8]], np.float32)
    floors = np.array([0.7, 0.8, np.inf], np.float32)

    found = reached(vectors, np.array([2], np.int32), floors)

    assert found.tolist() == [False, True, False]
