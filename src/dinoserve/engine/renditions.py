"""Drawing originals anew, in other sizes and formats, with Pillow."""

import asyncio
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import PIL
from PIL import Image, ImageCms, ImageFile, features

from dinoserve.domain.renditions import Drawing, Encoding, Format
from dinoserve.engine.images import ImageLimits, opened
from dinoserve.engine.pixels import loaded
from dinoserve.ports import EncodedImage

_REVISION = 1
"""Of this file: one more whenever the same drawing comes out otherwise."""

_LIBRARIES = ("avif", "webp", "libjpeg_turbo", "zlib", "littlecms2")
# A JPEG is decoded at half, a quarter or an eighth where twice the pixels are left:
# what the last step of resizing throws away cannot be seen.
_SPARE = 2
_REDUCING_GAP = 3.0
# AVIF at 8 takes a third of the time of 6 for a tenth more bytes.
_OPTIONS: Mapping[Format, Mapping[str, Any]] = {
    "avif": {"speed": 8, "max_threads": 1},
    "webp": {"method": 4},
    "jpeg": {"optimize": True, "progressive": True},
    "png": {"compress_level": 6},
}
_STRAIGHT = {"1": "L", "La": "LA", "RGBa": "RGBA"}
_RESIZABLE = {"L", "LA", "RGB", "RGBA", "CMYK"}


@dataclass(frozen=True, slots=True)
class PillowRedrawer:
    """Implements `ports.Redrawer`; works in threads, one for each call.

    Attributes:
        limits: what an original may be.
    """

    limits: ImageLimits

    @property
    def formats(self) -> Sequence[Format]:
        """Return what this build of Pillow writes."""
        rare: tuple[Format, Format] = ("avif", "webp")
        return *(name for name in rare if features.check(name)), "jpeg", "png"

    @property
    def version(self) -> str:
        """Return the revision of this file and the versions of Pillow's libraries."""
        libraries = " ".join(str(features.version(name)) for name in _LIBRARIES)
        return f"{_REVISION} {PIL.__version__} {libraries}"

    async def redraw(self, original: bytes, drawing: Drawing) -> EncodedImage:
        """Return the rendition; see `ports.Redrawer.redraw`."""
        return await asyncio.to_thread(self._redraw, original, drawing)

    def _redraw(self, original: bytes, drawing: Drawing) -> EncodedImage:
        with opened(original, self.limits) as (image, _):
            smaller = _drafted(image, _share(drawing) * _SPARE)
            picture = _resized(_resizable(loaded(image)), drawing, smaller)
            profile: bytes | None = image.info.get("icc_profile")
        shown = _opaque_if_so(_in_srgb(picture, profile))
        return _encoded(shown, drawing.encoding, drawing.quality)


def _drafted(image: ImageFile.ImageFile, share: float) -> float:
    """Have a JPEG decoded smaller, if a share of it is enough; return how much."""
    width, height = image.size
    wanted = (math.ceil(width * share), math.ceil(height * share))
    drafted = image.draft(None, wanted)
    return width / drafted[1][2] if drafted else 1.0


def _share(drawing: Drawing) -> float:
    """Return what a side of the source becomes, as a part of it."""
    left, top, right, bottom = drawing.source
    return max(drawing.width / (right - left), drawing.height / (bottom - top))


def _resized(picture: Image.Image, drawing: Drawing, smaller: float) -> Image.Image:
    """Return the source at its size, of a picture decoded `smaller` times smaller."""
    left, top, right, bottom = (edge / smaller for edge in drawing.source)
    return picture.resize(
        (drawing.width, drawing.height),
        Image.Resampling.LANCZOS,
        # What was decoded smaller may have lost a part of its last pixel.
        box=(left, top, min(right, picture.width), min(bottom, picture.height)),
        reducing_gap=_REDUCING_GAP,
    )


def _resizable(image: Image.Image) -> Image.Image:
    """Return the same picture in a mode whose pixels may be mixed."""
    if image.mode.startswith("I;16"):
        return _high_bytes(image)
    if image.mode in _STRAIGHT:
        image = image.convert(_STRAIGHT[image.mode])
    if image.has_transparency_data and image.mode not in {"LA", "RGBA"}:
        return image.convert("RGBA")
    return image if image.mode in _RESIZABLE else image.convert("RGB")


def _high_bytes(image: Image.Image) -> Image.Image:
    values = np.asarray(image)
    grey = Image.fromarray((values >> 8).astype(np.uint8))
    clear: int | None = image.info.get("transparency")
    if clear is not None:
        grey.putalpha(
            Image.fromarray(np.where(values == clear, 0, 255).astype(np.uint8))
        )
    return grey


def _in_srgb(picture: Image.Image, profile: bytes | None) -> Image.Image:
    """Return RGB or RGBA in sRGB."""
    has_alpha = picture.mode in {"LA", "RGBA"}
    colours = picture.convert(picture.mode[:-1]) if has_alpha else picture
    rgb = _translated(colours, profile) if profile else colours.convert("RGB")
    if has_alpha:
        rgb.putalpha(picture.getchannel("A"))
    return rgb


def _translated(colours: Image.Image, profile: bytes) -> Image.Image:
    try:
        own = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType] - Pillow leaves its type open
        shown = ImageCms.profileToProfile(colours, own, srgb, outputMode="RGB")
    except (ImageCms.PyCMSError, OSError):  # damaged, or of another kind of picture
        shown = None
    return shown or colours.convert("RGB")


def _opaque_if_so(picture: Image.Image) -> Image.Image:
    is_opaque = picture.mode == "RGB" or picture.getchannel("A").getextrema()[0] == 255  # noqa: PLR2004 - nothing shines through
    return picture.convert("RGB") if is_opaque else picture


def _encoded(picture: Image.Image, encoding: Encoding, quality: int) -> EncodedImage:
    written = encoding
    if written == "plain":
        written = "jpeg" if picture.mode == "RGB" else "png"
    if written == "jpeg" and picture.mode == "RGBA":
        picture = _on_white(picture)
    picture.info.clear()  # some of Pillow's encoders write what they find there
    options = {"quality": quality} if written != "png" else {}
    with io.BytesIO() as file:
        picture.save(file, written, **options, **_OPTIONS[written])
        return EncodedImage(written, file.getvalue())


def _on_white(picture: Image.Image) -> Image.Image:
    white = Image.new("RGB", picture.size, "white")
    white.paste(picture, (0, 0), picture)
    return white
