"""Pictures to learn from: the files of a folder, or a pack of many in one file."""

import io
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image

_ENDINGS: Final = frozenset({".jpg", ".jpeg", ".png", ".webp"})
_COUNT: Final = struct.Struct("<I")


class Pictures(Sequence[Image.Image]):
    """Pictures that are decoded whenever one is asked for.

    Args:
        place: a folder, of which every picture at any depth is one, by path; or a pack:
            a file of little-endian uint32: a count, then as many lengths, followed by
            as many encoded pictures of these lengths.
        short: pixels; pictures whose shorter side is longer come smaller.
    """

    def __init__(self, place: Path, short: int = 320) -> None:
        self._short = short
        self._files: Sequence[Path | tuple[Path, int, int]] = (
            sorted(path for path in place.rglob("*") if path.suffix.lower() in _ENDINGS)
            if place.is_dir()
            else _packed(place)
        )

    def __len__(self) -> int:
        """Return how many pictures there are."""
        return len(self._files)

    def __getitem__(self, at: int) -> Image.Image:  # pyright: ignore[reportIncompatibleMethodOverride] - slices of pictures are never asked for
        """Return a picture in RGB, transparent parts on white."""
        picture = Image.open(io.BytesIO(_read(self._files[at])))
        picture.draft("RGB", (self._short, self._short))
        rgba = picture.convert("RGBA")
        white = Image.new("RGBA", rgba.size, "white")
        whole = Image.alpha_composite(white, rgba).convert("RGB")
        scale = self._short / min(whole.size)
        if scale >= 1:
            return whole
        width, height = (max(1, round(side * scale)) for side in whole.size)
        return whole.resize((width, height), Image.Resampling.BICUBIC)


def _packed(path: Path) -> list[tuple[Path, int, int]]:
    with path.open("rb") as file:
        (count,) = _COUNT.unpack(file.read(_COUNT.size))
        lengths = np.frombuffer(file.read(_COUNT.size * count), "<u4").astype(np.int64)
    first = _COUNT.size * (count + 1)
    starts = first + np.concatenate([[0], np.cumsum(lengths)[:-1]])
    pairs = zip(starts.tolist(), lengths.tolist(), strict=True)
    return [(path, start, length) for start, length in pairs]


def _read(place: Path | tuple[Path, int, int]) -> bytes:
    if isinstance(place, Path):
        return place.read_bytes()
    path, start, length = place
    with path.open("rb") as file:
        file.seek(start)
        return file.read(length)
