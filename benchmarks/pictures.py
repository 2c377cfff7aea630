"""Pictures to measure with: JPEG files of the size that photographs on the web have."""

import io
from itertools import count
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

WIDTH_PX, HEIGHT_PX = 500, 375
HOW_MANY = 64
_QUALITY = 90
_DIGITS = 12
# A JPEG comment (ITU-T T.81 §B.2.4.5) of `_DIGITS` bytes, right after the start.
_START = b"\xff\xd8"
_COMMENT = b"\xff\xfe" + (_DIGITS + 2).to_bytes(2, "big")


class Picture:
    """A JPEG that can be given again and again without being the same bytes.

    Attributes:
        rest: what follows the head; its base64 can be kept, because a head is a
            multiple of 3 bytes.
    """

    _numbers = count()

    def __init__(self, jpeg: bytes) -> None:
        self.rest = jpeg.removeprefix(_START)

    def head(self) -> bytes:
        """Return the first 18 bytes, with a number that was not there before.

        No cache can then answer in the place of the model, and every upload is a new
        asset; the pixels stay the same.
        """
        return _START + _COMMENT + b"%0*d" % (_DIGITS, next(self._numbers))

    def fresh(self) -> bytes:
        """Return the whole file, with a new head."""
        return self.head() + self.rest


def write_pictures(folder: Path) -> None:
    """Write `HOW_MANY` different JPEGs of 500 x 375 pixels; always the same ones."""
    folder.mkdir()
    for seed in range(HOW_MANY):
        encoded = io.BytesIO()
        Image.fromarray(_pixels(seed)).save(encoded, "JPEG", quality=_QUALITY)
        (folder / f"{seed:02}.jpg").write_bytes(encoded.getvalue())


def read_pictures(folder: Path) -> list[Picture]:
    """Return what `write_pictures` wrote, in order."""
    return [Picture(file.read_bytes()) for file in sorted(folder.glob("*.jpg"))]


def _pixels(seed: int) -> NDArray[np.uint8]:
    """Return uint8 (375, 500, 3): coarse shapes, finer ones on them, and grain.

    Amplitude falls with frequency as in natural images (Field 1987), so that a file
    is as long, and as dear to decode, as a photograph.
    """
    noise = np.random.default_rng(seed)
    total = np.full((HEIGHT_PX, WIDTH_PX, 3), 128.0)
    for octave in range(1, 8):
        grid = noise.uniform(-1, 1, (3 * 2**octave, 4 * 2**octave, 3)) * 127.5 + 127.5
        layer = Image.fromarray(grid.astype(np.uint8)).resize((WIDTH_PX, HEIGHT_PX))
        total += (np.asarray(layer, np.float64) - 127.5) / 1.6**octave
    return total.clip(0, 255).astype(np.uint8)
