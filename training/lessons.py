"""Lessons: views with what the teacher makes of them, prepared once, kept as files.

A CPU shows a student many times more views than a teacher could judge meanwhile.
"""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import torch
from numpy.lib.format import open_memmap
from numpy.typing import NDArray
from PIL import Image
from rich.progress import track

from training.pictures import Pictures
from training.teacher import CLASSES, SIZE, WIDTH, Teacher
from training.views import crop, pixels_of

CELLS: Final = SIZE // 32
KEPT: Final = 192
"""Principal components of cells that are kept, and of vectors that are learnt."""

_BATCH: Final = 48
_SAMPLE: Final = 768
_FILES: Final = ("pixels", "vectors", "logits", "cells")


class Views(NamedTuple):
    """Lessons of every view; rows of picture p are p * views to (p + 1) * views - 1.

    Attributes:
        pixels: uint8 (n, size, size, 3), RGB.
        vectors: float16 (n, 1280), as the teacher gave them.
        logits: float16 (n, 1000).
        cells: float16 (n, 7, 7, 192), unit vectors after `Basis`.
        views: of one picture.
    """

    pixels: NDArray[np.uint8]
    vectors: NDArray[np.float16]
    logits: NDArray[np.float16]
    cells: NDArray[np.float16]
    views: int


class Basis(NamedTuple):
    """An affine map to centred, decorrelated coordinates.

    Attributes:
        mean: float32 (d,).
        axes: float32 (d, k): principal axes, each divided by a power of its deviation.
    """

    mean: NDArray[np.float32]
    axes: NDArray[np.float32]

    @classmethod
    def of(cls, rows: NDArray[Any], kept: int, power: float) -> "Basis":
        """Return the basis of these rows.

        Args:
            rows: (n, d), float.
            kept: components of the largest variance.
            power: 0 leaves the deviations as they are, 1 makes them all equal.
        """
        data = rows.astype(np.float32)
        mean = data.mean(axis=0)
        values, axes = np.linalg.eigh(np.cov(data - mean, rowvar=False))
        deviations = np.sqrt(np.maximum(values[-kept:][::-1], 1e-12))
        scaled = axes[:, -kept:][:, ::-1] / deviations**power
        return cls(mean, scaled.astype(np.float32))

    @classmethod
    def load(cls, path: Path) -> "Basis":
        """Return the basis of a file."""
        with np.load(path) as kept:
            return cls(kept["mean"], kept["axes"])

    def save(self, path: Path) -> None:
        """Write it to a file, `.npz`."""
        np.savez(path, mean=self.mean, axes=self.axes)

    def __call__(self, rows: NDArray[Any]) -> NDArray[np.float32]:
        """Return unit vectors (…, k) of rows (…, d)."""
        moved = (rows.astype(np.float32) - self.mean) @ self.axes
        return moved / np.maximum(np.linalg.norm(moved, axis=-1, keepdims=True), 1e-6)


@dataclass(frozen=True, slots=True)
class Preparation:
    """What is prepared.

    Attributes:
        pictures: to take views of.
        folder: where it goes.
        size: pixels of a side of what the student sees.
        views: of each picture.
        seed: of the crops.
    """

    pictures: Pictures
    folder: Path
    size: int
    views: int
    seed: int = 0

    def run(self, device: torch.device) -> None:
        """Write the lessons; what was written before is gone on with."""
        self.folder.mkdir(parents=True, exist_ok=True)
        teacher = Teacher().to(device)
        basis = self._basis(teacher)
        done, rows = self._done(), len(self.pictures) * self.views
        files = self._open("r+" if done else "w+")
        for start in track(range(done, rows, _BATCH), "preparing"):
            batch = range(start, min(start + _BATCH, rows))
            self._write(files, teacher, basis, batch)
            self._note(batch.stop)

    def _write(
        self,
        files: dict[str, NDArray[Any]],
        teacher: Teacher,
        basis: Basis,
        rows: range,
    ) -> None:
        parts = [self._part(row) for row in rows]
        lesson = teacher(np.stack([pixels_of(part, SIZE) for part in parts]))
        cells = lesson.cells.cpu().numpy()
        place = slice(rows.start, rows.stop)
        files["pixels"][place] = [pixels_of(part, self.size) for part in parts]
        files["vectors"][place] = lesson.vector.cpu().numpy()
        files["logits"][place] = lesson.logits.cpu().numpy()
        files["cells"][place] = basis(cells)

    def _part(self, row: int) -> Image.Image:
        draw = np.random.default_rng((self.seed, row))
        return crop(self.pictures[row // self.views], draw)

    def _basis(self, teacher: Teacher) -> Basis:
        """Return the basis of the cells, of views drawn at random; made once."""
        path = self.folder / "cells.npz"
        if not path.exists():
            draw = np.random.default_rng(self.seed)
            rows = draw.permutation(len(self.pictures) * self.views)[:_SAMPLE]
            batches = np.array_split(rows, math.ceil(len(rows) / _BATCH))
            found = [self._cells(teacher, batch) for batch in batches]
            Basis.of(np.concatenate(found), KEPT, 0.5).save(path)
        return Basis.load(path)

    def _cells(self, teacher: Teacher, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        parts = [pixels_of(self._part(int(row)), SIZE) for row in rows]
        return teacher(np.stack(parts)).cells.cpu().numpy().reshape(-1, WIDTH)

    def _open(self, mode: Any) -> dict[str, NDArray[Any]]:
        rows = len(self.pictures) * self.views
        shapes: dict[str, tuple[Any, tuple[int, ...]]] = {
            "pixels": (np.uint8, (rows, self.size, self.size, 3)),
            "vectors": (np.float16, (rows, WIDTH)),
            "logits": (np.float16, (rows, CLASSES)),
            "cells": (np.float16, (rows, CELLS, CELLS, KEPT)),
        }
        return {
            name: open_memmap(self.folder / f"{name}.npy", mode, dtype, shape)
            for name, (dtype, shape) in shapes.items()
        }

    def _done(self) -> int:
        path = self.folder / "done.json"
        return int(json.loads(path.read_text())["rows"]) if path.exists() else 0

    def _note(self, rows: int) -> None:
        told = {"rows": rows, "views": self.views, "size": self.size}
        (self.folder / "done.json").write_text(json.dumps(told))


def tensor(array: NDArray[Any], device: torch.device) -> torch.Tensor:
    """Return the array on a device; halves come as float32."""
    own = array.astype(np.float32) if array.dtype == np.float16 else array
    return torch.from_numpy(own).to(device)  # pyright: ignore[reportUnknownMemberType] - torch leaves the array untyped


def load(folder: Path) -> Views:
    """Return the lessons of a folder, as far as they are prepared.

    Raises:
        FileNotFoundError: nothing was prepared there.
    """
    told = json.loads((folder / "done.json").read_text())
    whole = told["rows"] - told["rows"] % told["views"]
    files = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in _FILES)
    pixels, vectors, logits, cells = (file[:whole] for file in files)
    return Views(pixels, vectors, logits, cells, int(told["views"]))
