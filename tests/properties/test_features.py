"""What holds for all tokens: components, colours, and arrays sent and read again."""

import io
import json
from collections.abc import Iterator

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from safetensors.numpy import load

from dinoserve.domain.features import Tokens, component_colours, principal
from dinoserve.web.feature_answers import (
    Dtype,
    Entry,
    Stream,
    to_npz,
    to_safetensors,
)

NUMBERS = st.floats(-1000, 1000, width=32)
PATCHES = arrays.arrays(
    np.float32, st.tuples(st.integers(1, 30), st.integers(3, 12)), elements=NUMBERS
)
VALUES = arrays.arrays(
    np.float32, arrays.array_shapes(max_dims=3, max_side=9), elements=NUMBERS
)
NAMES = st.from_regex(r"[0-9]{1,2}\.(cls|patches|registers|mean)", fullmatch=True)
ENTRIES = st.dictionaries(NAMES, VALUES, min_size=1, max_size=6).map(
    lambda found: [Entry(name, values) for name, values in found.items()]
)
DTYPES: st.SearchStrategy[Dtype] = st.sampled_from(["float32", "float16"])
TOLD = st.dictionaries(st.text(max_size=5), st.integers(-9, 9) | st.text(max_size=9))


def sent(stream: Stream) -> bytes:
    data = b"".join(stream.chunks)
    assert stream.size_bytes in {None, len(data)}
    return data


@given(PATCHES)
def test_components_are_at_right_angles_and_of_length_one_or_zero(
    patches: Tokens,
) -> None:
    components = principal(patches).components.astype(np.float64)

    products = components @ components.T
    assert np.all(np.abs(products - np.diag(np.diag(products))) < 1e-3)
    assert np.all(np.isclose(np.diag(products), 1) | (np.diag(products) == 0))


@given(PATCHES)
def test_explained_shares_fall_and_stay_within_the_whole(patches: Tokens) -> None:
    explained = principal(patches).explained

    assert np.all(np.diff(explained) <= 0)
    assert np.all(explained >= 0)
    assert explained.sum() <= 1 + 1e-6


@given(PATCHES)
def test_components_do_not_depend_on_the_order_of_patches_beyond_rounding(
    patches: Tokens,
) -> None:
    assert np.allclose(
        principal(patches).explained, principal(patches[::-1]).explained, atol=1e-4
    )


@given(arrays.arrays(np.float32, (3, 4, 3), elements=NUMBERS), st.data())
def test_every_colour_shown_is_opaque_and_every_other_is_clear(
    scores: Tokens, data: st.DataObject
) -> None:
    shown = data.draw(arrays.arrays(np.bool_, (3, 4)).filter(lambda mask: mask.any()))

    [colours] = component_colours([scores], [shown])

    assert np.all(colours[shown][:, 3] == 255)
    assert not colours[~shown].any()


@given(ENTRIES, TOLD, DTYPES)
def test_numpy_reads_every_npz_as_it_was(
    entries: list[Entry], told: dict[str, object], dtype: Dtype
) -> None:
    archive = np.load(io.BytesIO(sent(to_npz(entries, told, dtype))))

    assert json.loads(archive["geometry.json"]) == told
    assert len(archive.files) == len(entries) + 1
    for name, values in entries:
        assert archive[name].dtype == dtype
        assert np.array_equal(archive[name], values.astype(dtype))


@given(ENTRIES, TOLD, DTYPES)
def test_safetensors_reads_every_file_as_it_was(
    entries: list[Entry], told: dict[str, object], dtype: Dtype
) -> None:
    data = sent(to_safetensors(entries, told, dtype))

    found = load(data)
    assert set(found) == {entry.name for entry in entries}
    for name, values in entries:
        assert found[name].dtype == dtype
        assert np.array_equal(found[name], values.astype(dtype))
    assert metadata_of(data) == told


def metadata_of(data: bytes) -> object:
    size = int.from_bytes(data[:8], "little")
    assert size % 8 == 0
    return json.loads(json.loads(data[8 : 8 + size])["__metadata__"]["geometry"])


@given(VALUES)
def test_float32_is_sent_from_where_it_lies(values: Tokens) -> None:
    chunks: Iterator[bytes | memoryview] = to_safetensors(
        [Entry("0.cls", values)], {}, "float32"
    ).chunks
    next(chunks)

    for chunk in chunks:
        assert np.shares_memory(np.frombuffer(chunk, np.float32), values)
