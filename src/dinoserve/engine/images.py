"""From encoded bytes to pixels, within limits that are checked before decoding."""

import io
import re
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

from dinoserve.domain.assets import ImageInfo
from dinoserve.engine.containers import (
    CONTAINERS,
    Container,
    Size,
    container_of,
    stranger,
)
from dinoserve.errors import (
    ImageDamagedError,
    ImageEmptyError,
    ImageTooLargeError,
    ImageUnsupportedError,
)

_FIELD = "image"
_NO_PILLOW_WARNINGS = ("ignore", None, Warning, re.compile(r"PIL\."), 0)
_UNREAD_PIXELS = {
    "F": "floating-point",
    "I": "signed or 32-bit integer",
    "LAB": "CIE L*a*b*",
    "HSV": "HSV",
}
# EXIF 2.32 §4.6.5: how the picture must be turned to stand upright.
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """What one image may have; each bound is inclusive.

    Attributes:
        max_bytes: encoded bytes.
        max_pixels: width times height.
        max_side_px: pixels of the longer side.
    """

    max_bytes: int
    max_pixels: int
    max_side_px: int


@dataclass(frozen=True, slots=True)
class DecodedImage:
    """An image as it is shown.

    Attributes:
        info: media type and size.
        rgb: uint8 (height, width, 3), sRGB as stored, read-only.
    """

    info: ImageInfo
    rgb: NDArray[np.uint8]


def decode(data: bytes, limits: ImageLimits) -> DecodedImage:
    """Return the first frame, upright, opaque on white, as 8-bit RGB.

    May be called from many threads. Sizes are checked before pixels are decoded.

    Raises:
        ImageEmptyError: no bytes.
        ImageUnsupportedError: no image, or one of a kind that is not read.
        ImageDamagedError: begins like an image and cannot be decoded to its end.
        ImageTooLargeError: beyond a limit; `limit` and `value` in bytes or pixels.
    """
    _check_bytes(data, limits)
    kind = _container(data)
    _set_pillow()
    with _told_as_damage(kind, "its header is damaged or of a kind not read here"):
        image = Image.open(io.BytesIO(data), formats=[kind.name])
    _check_size(image.size, limits)
    _check_pixel_type(image)
    with _told_as_damage(kind, "it ends too early or its data is corrupt"):
        image.load()
        rgb = np.asarray(_rgb(_upright(image)))
    return DecodedImage(ImageInfo(kind.media_type, rgb.shape[1], rgb.shape[0]), rgb)


def _check_bytes(data: bytes, limits: ImageLimits) -> None:
    if not data:
        raise ImageEmptyError("The image has no bytes.", field=_FIELD)
    if len(data) > limits.max_bytes:
        raise _too_large("is", len(data), limits.max_bytes, "bytes long")


def _container(data: bytes) -> Container:
    if kind := container_of(data):
        return kind
    *names, last = (known.name for known in CONTAINERS)
    seems = stranger(data) or "no image"
    raise ImageUnsupportedError(
        f"This seems to be {seems}; {', '.join(names)} and {last} are read.",
        field=_FIELD,
    )


def _set_pillow() -> None:
    """Let our limits and errors stand for Pillow's.

    Both are process-wide, and setting them again changes nothing, so any number of
    threads may do it; `warnings.catch_warnings` would not be safe between threads.
    """
    Image.MAX_IMAGE_PIXELS = None
    if _NO_PILLOW_WARNINGS not in warnings.filters:
        warnings.filterwarnings("ignore", module=r"PIL\.")


@contextmanager
def _told_as_damage(kind: Container, reason: str) -> Generator[None]:
    try:
        yield
    # Pillow's decoders raise whatever their parsing ran into.
    except Exception as error:
        raise ImageDamagedError(
            f"This {kind.name} cannot be decoded: {reason}.", field=_FIELD
        ) from error


def _check_size(size: Size, limits: ImageLimits) -> None:
    width, height = size
    if max(size) > limits.max_side_px:
        raise _too_large(
            "is", max(size), limits.max_side_px, "pixels on its longer side"
        )
    if width * height > limits.max_pixels:
        raise _too_large("has", width * height, limits.max_pixels, "pixels")


def _too_large(verb: str, value: int, limit: int, unit: str) -> ImageTooLargeError:
    return ImageTooLargeError(
        f"The image {verb} {value} {unit}; {limit} are allowed.",
        field=_FIELD,
        limit=limit,
        value=value,
    )


def _check_pixel_type(image: Image.Image) -> None:
    if image.mode in _UNREAD_PIXELS:
        raise ImageUnsupportedError(
            f"Images of {_UNREAD_PIXELS[image.mode]} pixels are not read; save it"
            " with 8 or 16 bits for each colour.",
            field=_FIELD,
            value=image.mode,
        )


def _upright(image: Image.Image) -> Image.Image:
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # noqa: BLE001 - broken EXIF raises anything and spoils no pixel
        return image
    turn = _TURNS.get(orientation) if isinstance(orientation, int) else None
    return image if turn is None else image.transpose(turn)


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16"):
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode == "La":
        image = image.convert("LA")
    if not image.has_transparency_data:
        return image.convert("RGB")
    clear = image.convert("RGBA")
    white = Image.new("RGB", image.size, "white")
    white.paste(clear, (0, 0), clear)
    return white
