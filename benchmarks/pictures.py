"""Pictures to measure with: JPEG files of the size that photographs on the web have."""

import io
from itertools import count
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

WIDTH_PX, HEIGHT_PX = 500, 375
HOW_MANY = 64
PADDED_BYTES = 200_000
"""Length of each file that `write_padded` writes."""
_PADDED = 16
_QUALITY = 90
_DIGITS = 12
# A JPEG comment (ITU-T T.81 §B.2.4.5) of `_DIGITS` bytes, right after the start.
_START = b"\xff\xd8"
_LONGEST_COMMENT = 65_537  # with the marker of 2 bytes; its length has 16 bits
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


def write_padded(folder: Path) -> None:
    """Write some JPEGs of 200 kB that are quick to decode; always the same ones.

    Of 64 x 64 pixels, and for the rest comments, as photographs carry previews and
    profiles: what is measured with them is moving bytes.
    """
    folder.mkdir()
    for seed in range(_PADDED):
        encoded = io.BytesIO()
        small = Image.fromarray(_pixels(seed)).resize((64, 64))
        small.save(encoded, "JPEG", quality=_QUALITY)
        jpeg = encoded.getvalue().removeprefix(_START)
        padding = _comments(PADDED_BYTES - len(_START) - len(jpeg), seed)
        (folder / f"{seed:02}.jpg").write_bytes(_START + padding + jpeg)


def read_pictures(folder: Path) -> list[Picture]:
    """Return what `write_pictures` or `write_padded` wrote, in order."""
    return [Picture(file.read_bytes()) for file in sorted(folder.glob("*.jpg"))]


def _comments(size_bytes: int, seed: int) -> bytes:
    """Return so many bytes of JPEG comments, filled with noise."""
    noise = np.random.default_rng(seed)
    parts: list[bytes] = []
    left = size_bytes
    while left:
        # What remains must be empty or long enough for a comment of its own.
        part = left if left <= _LONGEST_COMMENT else min(left - 4, _LONGEST_COMMENT)
        parts += [b"\xff\xfe", (part - 2).to_bytes(2, "big"), noise.bytes(part - 4)]
        left -= part
    return b"".join(parts)


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
