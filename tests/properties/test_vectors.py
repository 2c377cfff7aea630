"""What holds for all vectors: length, direction, bytes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from dinoserve.domain.vectors import Vector, from_bytes, normalise, to_bytes
from dinoserve.errors import InvalidInputError

ANY = arrays.arrays(
    np.float32,
    st.integers(1, 40),
    elements=st.floats(width=32, allow_nan=False, allow_infinity=False),
)


@given(ANY.filter(np.any))
def test_a_normalised_vector_has_length_one_however_tiny_or_huge(
    vector: Vector,
) -> None:
    unit = normalise(vector)
    assert unit.dtype == np.float32
    assert np.linalg.norm(unit.astype(np.float64)) == pytest.approx(1, abs=1e-6)


@given(ANY.filter(np.any))
def test_normalising_keeps_the_direction(vector: Vector) -> None:
    wide = vector.astype(np.float64)
    expected = wide / np.linalg.norm(wide)
    np.testing.assert_allclose(normalise(vector), expected, atol=1e-6)


@given(ANY.filter(np.any))
def test_normalising_leaves_what_it_was_given(vector: Vector) -> None:
    before = vector.tobytes()
    normalise(vector)
    assert vector.tobytes() == before


@given(ANY.filter(np.any))
def test_normalising_twice_is_normalising_once(vector: Vector) -> None:
    once = normalise(vector)
    np.testing.assert_allclose(normalise(once), once, atol=1e-7)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@given(vector=ANY, place=st.integers(0, 39))
def test_a_vector_with_a_number_that_is_none_is_refused(
    bad: float, vector: Vector, place: int
) -> None:
    vector[place % len(vector)] = bad
    with pytest.raises(InvalidInputError):
        normalise(vector)


@given(st.integers(0, 40))
def test_a_vector_of_zeros_is_refused(width: int) -> None:
    with pytest.raises(InvalidInputError):
        normalise(np.zeros(width, np.float32))


@given(arrays.arrays(np.float32, st.integers(0, 40)))
def test_bytes_give_the_vector_back_bit_for_bit(vector: Vector) -> None:
    raw = to_bytes(vector)
    assert from_bytes(raw).dtype == np.float32
    assert from_bytes(raw).tobytes() == vector.tobytes()


def test_bytes_are_little_endian_float32() -> None:
    assert to_bytes(np.array([1, -2], np.float32)) == bytes.fromhex("0000803f000000c0")
