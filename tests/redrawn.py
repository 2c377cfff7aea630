"""Originals drawn anew by the real redrawer, and how they look."""

import io
from typing import get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dinoserve.domain.renditions import Encoding, Format, Rendition, drawing
from dinoserve.engine.images import ImageLimits, decode
from dinoserve.engine.renditions import PillowRedrawer
from dinoserve.ports import EncodedImage

LIMITS = ImageLimits(max_bytes=2**25, max_pixels=64_000_000, max_side_px=16_384)
REDRAWER = PillowRedrawer(LIMITS)
FORMATS: tuple[Format, ...] = get_args(Format)


async def drawn(
    original: bytes, asked: Rendition, encoding: Encoding = "png"
) -> EncodedImage:
    info = decode(original, LIMITS).info
    size = (info.width, info.height)
    return await REDRAWER.redraw(original, drawing(asked, size, encoding))


def opened(made: EncodedImage) -> Image.Image:
    image = Image.open(io.BytesIO(made.data), formats=[made.format])
    image.load()
    return image


def on_white(image: Image.Image) -> NDArray[np.int_]:
    clear = image.convert("RGBA")
    white = Image.new("RGBA", clear.size, "white")
    return np.asarray(Image.alpha_composite(white, clear).convert("RGB")).astype(int)


def half_clear() -> Image.Image:
    """Return 40 x 20 RGBA: red on the left, nothing on the right."""
    picture = Image.new("RGBA", (40, 20), (200, 0, 0, 255))
    picture.paste((0, 0, 200, 0), (20, 0, 40, 20))
    return picture
