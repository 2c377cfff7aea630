"""npz files that grow are what numpy reads."""

import io
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from dinoserve.domain.npz import NpzFile

SOME = arrays.arrays(
    st.sampled_from(["<f4", "<i4", "<U3"]),
    arrays.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=6),
)


@given(made=st.lists(SOME, max_size=4), text=st.binary(max_size=40))
def test_numpy_reads_what_was_added_row_by_row(
    made: list[np.ndarray[Any, Any]], text: bytes
) -> None:
    file = NpzFile()
    pieces: list[bytes] = []
    for at, array in enumerate(made):
        pieces.append(file.array(f"a{at}", array.dtype.str, array.shape))
        pieces += [file.add(array[at : at + 1]) for at in range(len(array))]
    pieces += [file.text("more.txt"), file.add(text), file.end()]

    with np.load(io.BytesIO(b"".join(pieces))) as npz:
        for at, array in enumerate(made):
            assert npz[f"a{at}"].dtype == array.dtype
            assert np.array_equal(npz[f"a{at}"], array, equal_nan=array.dtype != "<U3")
        assert npz["more.txt"] == text


@given(lacking=st.integers(-3, 3).filter(bool))
def test_an_array_that_is_not_of_its_shape_is_refused(lacking: int) -> None:
    file = NpzFile()
    file.array("a", "<f4", (4,))
    file.add(np.zeros(4 + lacking, "<f4"))

    with pytest.raises(ValueError, match="lacks"):
        file.end()
