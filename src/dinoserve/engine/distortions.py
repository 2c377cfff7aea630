"""What happens to pictures on their way: the edits that duplicates are found behind."""

import io
from collections.abc import Callable, Mapping
from types import MappingProxyType

from PIL import Image, ImageDraw, ImageEnhance, ImageOps

from dinoserve.engine.images import ImageLimits, decode

_JPEG_QUALITY = 15
_KEPT_AREA = 0.6
_DEGREES = 15
_SHRINK = 6
_GAINS = (1.2, 1.0, 0.8)
_BRIGHTNESS = 1.3
_CONTRAST = 1.3
_BAND = 0.15
_LETTERS = 12
_FAST_DEFLATE = 1  # zlib's level: the file is read once


def distort(image: bytes, name: str, limits: ImageLimits) -> bytes:
    """Return the picture distorted: a JPEG after `jpeg`, else a PNG.

    Works on the upright picture that the model sees; blocks.

    Args:
        image: encoded.
        name: one of `DISTORTIONS`.
        limits: what an encoded image may be.

    Raises:
        InvalidInputError: the image cannot be decoded.
    """
    picture = DISTORTIONS[name](Image.fromarray(decode(image, limits).rgb))
    with io.BytesIO() as file:
        if name == "jpeg":
            picture.save(file, "JPEG", quality=_JPEG_QUALITY)
        else:
            picture.save(file, "PNG", compress_level=_FAST_DEFLATE)
        return file.getvalue()


def _as_it_is(picture: Image.Image) -> Image.Image:
    return picture


def _cropped(picture: Image.Image) -> Image.Image:
    width, height = (max(1, round(side * _KEPT_AREA**0.5)) for side in picture.size)
    left, top = (picture.width - width) // 2, (picture.height - height) // 2
    return picture.crop((left, top, left + width, top + height))


def _rotated(picture: Image.Image) -> Image.Image:
    return picture.rotate(_DEGREES, Image.Resampling.BICUBIC)


def _overlaid(picture: Image.Image) -> Image.Image:
    """Draw a white band with black blocks, as of letters, across the lower third."""
    drawn = picture.copy()
    pen = ImageDraw.Draw(drawn)
    top = round(drawn.height * 0.7)
    band = max(1, round(drawn.height * _BAND))
    pen.rectangle((0, top, drawn.width, top + band), "white")
    step = drawn.width / _LETTERS
    for at in range(0, _LETTERS, 2):
        pen.rectangle(
            (at * step, top + band // 4, (at + 1) * step, top + band * 3 // 4), "black"
        )
    return drawn


def _recoloured(picture: Image.Image) -> Image.Image:
    bands = [
        band.point([min(255, round(level * gain)) for level in range(256)])
        for band, gain in zip(picture.split(), _GAINS, strict=True)
    ]
    brighter = ImageEnhance.Brightness(Image.merge("RGB", bands)).enhance(_BRIGHTNESS)
    return ImageEnhance.Contrast(brighter).enhance(_CONTRAST)


def _shrunk(picture: Image.Image) -> Image.Image:
    width, height = (max(1, round(side / _SHRINK)) for side in picture.size)
    return picture.resize((width, height), Image.Resampling.BICUBIC)


DISTORTIONS: Mapping[str, Callable[[Image.Image], Image.Image]] = MappingProxyType(
    {
        "jpeg": _as_it_is,
        "crop": _cropped,
        "rotate": _rotated,
        "flip": ImageOps.mirror,
        "overlay": _overlaid,
        "colour": _recoloured,
        "downscale": _shrunk,
    }
)
"""What each does: JPEG of quality 15 · the middle 60 % of the area · 15 degrees
anticlockwise, corners black · left to right · a white band with black blocks over 15 %
of the height · red x 1.2 and blue x 0.8, then brightness and contrast x 1.3 · a sixth
of either side, bicubic."""
