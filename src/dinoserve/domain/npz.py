"""npz files that are written as they grow: numpy arrays in a zip archive."""

import io
from collections.abc import Sequence
from typing import Any, TypeAlias
from zipfile import ZIP_STORED, ZipFile, ZipInfo

import numpy as np
from numpy.typing import NDArray

from dinoserve.domain.outflow import Outflow

Piece: TypeAlias = bytes | bytearray | NDArray[Any]
"""Bytes of a member: an array gives its values, row by row."""


class NpzFile:
    """An npz file of which nothing is kept but what was not taken yet.

    Every method returns the bytes that come next in the file. Equal contents give
    equal bytes, at any time. `numpy.load` reads it.

    Source:
        numpy.lib.format (npy 1.0) and APPNOTE.TXT 4.3.9 (sizes behind a member).
    """

    def __init__(self) -> None:
        self._sink = Outflow()
        self._archive = _Archive(self._sink, "w", ZIP_STORED)
        self._member = io.BytesIO()
        self._missing: int | None = None

    def array(self, name: str, dtype: str, shape: Sequence[int]) -> bytes:
        """Begin an array; its values are to be added in the order of its rows.

        Args:
            name: as `numpy.load` gives it.
            dtype: as `numpy.dtype` takes it, little-endian.
            shape: known beforehand.
        """
        self._begin(f"{name}.npy")
        header = {"descr": dtype, "fortran_order": False, "shape": tuple(shape)}
        np.lib.format.write_array_header_1_0(self._member, header)
        self._missing = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
        return self._sink.take()

    def text(self, name: str) -> bytes:
        """Begin a member that is no array; `numpy.load` gives its bytes."""
        self._begin(name)
        return self._sink.take()

    def add(self, piece: Piece) -> bytes:
        """Go on with the member that was begun last."""
        is_array = isinstance(piece, np.ndarray)
        raw = np.ascontiguousarray(piece).data if is_array else memoryview(piece)
        if raw.nbytes:
            self._member.write(raw.cast("B"))
        if self._missing is not None:
            self._missing -= raw.nbytes
        return self._sink.take()

    def end(self) -> bytes:
        """End the file.

        Raises:
            ValueError: an array has more or fewer values than its shape; here, and
                where the next member begins.
        """
        self._finish()
        self._archive.close()
        return self._sink.take()

    def _begin(self, name: str) -> None:
        self._finish()
        # Its date is 1980 unless it is told.
        self._member = self._archive.open(ZipInfo(name), "w", force_zip64=True)

    def _finish(self) -> None:
        if self._missing:
            raise ValueError(f"an array lacks {self._missing} bytes")
        self._missing = None
        self._member.close()


class _Archive(ZipFile):
    """An archive that may be given up in the middle."""

    def __del__(self) -> None:
        """Do not try to end it: the member that was begun cannot be."""
