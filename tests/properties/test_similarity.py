"""What holds for all scores: compare `domain.similarity` with sorting everything."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from dinoserve.domain.similarity import cosine_matrix, top_k
from dinoserve.domain.vectors import Matrix, Vector, normalise

# Few distinct values, so that ties are common.
SCORES = st.lists(
    st.sampled_from([-1.0, -0.5, 0.0, -0.0, 0.25, 0.5, 1.0]), min_size=1, max_size=60
).map(lambda values: np.array(values, np.float32))
ROWS = arrays.arrays(
    np.float32,
    st.tuples(st.integers(1, 6), st.just(5)),
    elements=st.floats(-100, 100, width=32).filter(lambda x: abs(x) > 0.01),
).map(lambda rows: np.stack([normalise(row) for row in rows]))


@given(SCORES, st.integers(1, 80))
def test_top_k_is_the_head_of_a_full_sort(scores: Vector, k: int) -> None:
    order = sorted(range(len(scores)), key=lambda row: (-scores[row], row))
    assert top_k(scores, k).tolist() == order[:k]


@given(ROWS, ROWS)
def test_every_cosine_is_the_dot_product_of_its_rows(
    left: Matrix, right: Matrix
) -> None:
    cosines = cosine_matrix(left, right)
    assert cosines.shape == (len(left), len(right))
    for i, row in enumerate(left):
        for j, other in enumerate(right):
            exact = float(np.dot(row.astype(np.float64), other.astype(np.float64)))
            assert cosines[i, j] == pytest.approx(exact, abs=1e-6)


@given(ROWS, ROWS)
def test_cosines_stay_within_their_bounds(left: Matrix, right: Matrix) -> None:
    assert np.all(np.abs(cosine_matrix(left, right)) <= 1)
    assert np.all(np.abs(cosine_matrix(left, -left)) <= 1)


@given(ROWS)
def test_a_row_is_as_near_to_itself_as_can_be(rows: Matrix) -> None:
    assert np.diag(cosine_matrix(rows, rows)) == pytest.approx(1, abs=1e-6)
