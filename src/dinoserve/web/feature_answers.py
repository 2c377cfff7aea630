"""Sending arrays: as JSON while they are few, else as npz or safetensors, streamed."""

import zipfile
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
import orjson
from numpy.lib import format as npy

from dinoserve.domain.features import FLOAT16_MAX, Tokens, fits_float16
from dinoserve.domain.geometry import Geometry
from dinoserve.errors import InvalidInputError
from dinoserve.services.features import ImageFeatures

MAX_JSON_NUMBERS = 1_000_000
"""Numbers one JSON answer may hold: about 10 MB of text."""

Dtype: TypeAlias = Literal["float32", "float16"]

_CHUNK_NUMBERS = 65_536
_LITTLE_ENDIAN = {"float32": np.dtype("<f4"), "float16": np.dtype("<f2")}
_SAFETENSORS_NAMES = {"float32": "F32", "float16": "F16"}
_ALIGNMENT = 8  # of the first tensor in a safetensors file, as its library writes it


class Entry(NamedTuple):
    """One array of the answer, under the name it is sent by, e.g. `0.patches`."""

    name: str
    values: Tokens


def geometry_view(geometry: Geometry) -> dict[str, object]:
    """Return the geometry as it is shown in JSON; see `domain.geometry.Geometry`."""
    return {
        "image_width": geometry.image_width,
        "image_height": geometry.image_height,
        "orientation": geometry.orientation,
        "source": list(geometry.source),
        "content": list(geometry.content),
        "input_width": geometry.width,
        "input_height": geometry.height,
        "rows": geometry.rows,
        "columns": geometry.columns,
        "patch_px": geometry.patch_px,
    }


def about(images: Sequence[ImageFeatures], dtype: Dtype) -> dict[str, object]:
    """Return what is to be known of the arrays: model, recipe, geometry by image."""
    recipe = images[0].recipe
    return {
        "model": recipe.model,
        "recipe": recipe.id,
        "preprocessing": recipe.preprocessing,
        "dtype": dtype,
        "images": [{"geometry": geometry_view(image.geometry)} for image in images],
    }


def entries_of(images: Sequence[ImageFeatures], dtype: Dtype) -> list[Entry]:
    """Return every array, by image and output.

    Raises:
        InvalidInputError: float16 is asked for and cannot hold a value (`dtype`).
    """
    entries = [
        Entry(f"{at}.{name}", values)
        for at, image in enumerate(images)
        for name, values in image.arrays.items()
    ]
    for entry in entries:
        if dtype == "float16" and not fits_float16(entry.values):
            raise InvalidInputError(
                f"{entry.name} has values beyond {FLOAT16_MAX:g}, the greatest of"
                " float16; ask for float32.",
                field="dtype",
                limit=FLOAT16_MAX,
                value=float(np.abs(entry.values).max()),
            )
    return entries


def to_json(images: Sequence[ImageFeatures], dtype: Dtype) -> bytes:
    """Return everything as one JSON text.

    Raises:
        InvalidInputError: more than `MAX_JSON_NUMBERS` (`format`); or as `entries_of`.
    """
    numbers = sum(values.size for _, values in entries_of(images, dtype))
    if numbers > MAX_JSON_NUMBERS:
        raise InvalidInputError(
            f"A JSON answer may hold {MAX_JSON_NUMBERS} numbers, this one would have"
            f" {numbers}; ask for format npz or safetensors, or for fewer outputs.",
            field="format",
            limit=MAX_JSON_NUMBERS,
            value=numbers,
        )
    views = [
        {
            "geometry": geometry_view(image.geometry),
            **{
                name: values.astype(dtype, copy=False)
                for name, values in image.arrays.items()
            },
        }
        for image in images
    ]
    answer = {**about(images, dtype), "images": views}
    return orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY)


class Stream(NamedTuple):
    """Bytes to send, made as they are asked for.

    Attributes:
        size_bytes: how many in all; None where it is not known before.
    """

    chunks: Iterator[bytes | memoryview]
    size_bytes: int | None


def to_safetensors(
    entries: Sequence[Entry], told: Mapping[str, object], dtype: Dtype
) -> Stream:
    """Return a safetensors file; `told` is JSON text under `geometry` in its metadata.

    Source:
        github.com/huggingface/safetensors, README, "Format": 8 bytes little-endian
        length, a JSON header, then the tensors without gaps.
    """
    header: dict[str, object] = {
        "__metadata__": {"geometry": orjson.dumps(told).decode()}
    }
    end = 0
    for name, values in entries:
        start, end = end, end + values.size * _LITTLE_ENDIAN[dtype].itemsize
        header[name] = {
            "dtype": _SAFETENSORS_NAMES[dtype],
            "shape": list(values.shape),
            "data_offsets": [start, end],
        }
    text = orjson.dumps(header)
    text += b" " * (-len(text) % _ALIGNMENT)
    head = len(text).to_bytes(8, "little") + text
    return Stream(_headed(head, entries, dtype), len(head) + end)


def _headed(
    head: bytes, entries: Sequence[Entry], dtype: Dtype
) -> Iterator[bytes | memoryview]:
    yield head
    for entry in entries:
        yield from _raw(entry.values, dtype)


def _raw(values: Tokens, dtype: Dtype) -> Iterator[memoryview]:
    """Yield the numbers little-endian in chunks; float32 is not copied."""
    flat = values.reshape(-1)
    for start in range(0, flat.size, _CHUNK_NUMBERS):
        part = flat[start : start + _CHUNK_NUMBERS]
        yield part.astype(_LITTLE_ENDIAN[dtype], copy=False).data.cast("B")


def to_npz(
    entries: Sequence[Entry], told: Mapping[str, object], dtype: Dtype
) -> Stream:
    """Return a file for `numpy.load`, uncompressed, with `told` as `geometry.json`.

    Source:
        numpy.lib.format, version 1.0, and `numpy.savez`: a zip of npy files.
    """
    return Stream(_zipped(entries, told, dtype), None)


def _zipped(
    entries: Sequence[Entry], told: Mapping[str, object], dtype: Dtype
) -> Iterator[bytes | memoryview]:
    outlet = _Outlet()
    with zipfile.ZipFile(outlet, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(zipfile.ZipInfo("geometry.json"), orjson.dumps(told))
        for name, values in entries:
            info = zipfile.ZipInfo(f"{name}.npy")
            # Told before, so that files beyond 2 GiB get the wider fields.
            info.file_size = values.size * _LITTLE_ENDIAN[dtype].itemsize
            with archive.open(info, "w") as member:
                npy.write_array_header_1_0(member, _npy_header(values, dtype))
                for chunk in _raw(values, dtype):
                    member.write(chunk)
                    yield from outlet.take()
    yield from outlet.take()


def _npy_header(values: Tokens, dtype: Dtype) -> dict[str, object]:
    descr = npy.dtype_to_descr(_LITTLE_ENDIAN[dtype])
    return {"descr": descr, "fortran_order": False, "shape": values.shape}


class _Outlet:
    """Where a zip is written to; what was written is taken away at once."""

    def __init__(self) -> None:
        self._written: list[bytes | memoryview] = []

    def write(self, data: bytes | memoryview, /) -> int:
        self._written.append(data)
        return len(data)

    def flush(self) -> None:
        """Do nothing: nothing is held back."""

    def close(self) -> None:
        """Do nothing: who takes what was written closes what it goes to."""

    def take(self) -> list[bytes | memoryview]:
        taken, self._written = self._written, []
        return taken
