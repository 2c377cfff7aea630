"""From encoded bytes to pixels, within limits that are checked before decoding."""

import io
import re
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile

from dinoserve.domain.assets import ImageInfo
from dinoserve.engine.containers import (
    CONTAINERS,
    Container,
    container_of,
    jpeg_scans,
    png_is_short,
    stranger,
    tiff_values,
)
from dinoserve.engine.pixels import shown, unread_type
from dinoserve.errors import (
    ImageDamagedError,
    ImageEmptyError,
    ImageTooLargeError,
    ImageUnsupportedError,
    InvalidInputError,
)
from dinoserve.ports import ImageBytes

_FIELD = "image"
_NO_PILLOW_WARNINGS = ("ignore", None, Warning, re.compile(r"PIL\."), 0)
# Ten are usual; arithmetic progressive encoders use a few dozen.
_MAX_SCANS = 100
_MAX_TIFF_VALUES = 1_000_000
_MAX_PLANES = 8
_MAX_READS = 1_000_000


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
        orientation: EXIF 2.32 §4.6.5, 1 to 8: how the stored rows were turned.
    """

    info: ImageInfo
    rgb: NDArray[np.uint8]
    orientation: int = 1


_limits: ContextVar[ImageLimits | None] = ContextVar("image_limits", default=None)
_PILLOWS_CHECK = Image._decompression_bomb_check  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - for callers of Pillow outside `decode`


class _Patient(io.BytesIO):
    """The file, until a decoder has asked for more pieces than any honest one.

    Tiny pieces by the million would keep Pillow's parsers busy for minutes.
    """

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self._reads = 0

    def read(self, size: int | None = -1, /) -> bytes:
        self._reads += 1
        if self._reads > _MAX_READS:
            raise OSError("too many pieces")
        return super().read(size)


def decode(image: ImageBytes, limits: ImageLimits) -> DecodedImage:
    """Return the first frame, upright, opaque on white, as 8-bit RGB.

    May be called from many threads. Sizes are checked before pixels are decoded. What
    is on a disk is in memory only while it is decoded.

    Raises:
        UnavailableError: the disk that has the bytes does not give them.
        ImageEmptyError: no bytes.
        ImageUnsupportedError: no image, or one of a kind that is not read.
        ImageDamagedError: begins like an image and cannot be decoded to its end.
        ImageTooLargeError: beyond a limit; `limit` and `value` in bytes or pixels.
    """
    _check_bytes(image, limits)
    data = image if isinstance(image, bytes) else image.read()
    with opened(data, limits) as (picture, kind):
        rgb, orientation = shown(picture, data)
    info = ImageInfo(kind.media_type, rgb.shape[1], rgb.shape[0])
    return DecodedImage(info, rgb, orientation)


@contextmanager
def opened(
    data: bytes, limits: ImageLimits
) -> Generator[tuple[ImageFile.ImageFile, Container]]:
    """Open an image, within the limits, for a block that may load its pixels.

    Raises:
        InvalidInputError: as `decode`; an `ImageDamagedError` whatever the block
            raises.
    """
    _check_bytes(data, limits)
    kind = _container(data)
    _take_over()
    token = _limits.set(limits)
    try:
        image = _open(data, kind, limits)
        with _told_as_damage(kind, "it is cut short or its data is corrupt"):
            yield image, kind
    finally:
        _limits.reset(token)


def _open(data: bytes, kind: Container, limits: ImageLimits) -> ImageFile.ImageFile:
    with _told_as_damage(
        kind, "it is cut short, corrupt or of a variant not read here"
    ):
        _check_effort(data, kind)
        image = Image.open(_Patient(data), formats=[kind.name])
        _check_size(image.size, limits)
        _check_coverage(image, kind)
        if kind.name == "PNG" and png_is_short(data):
            raise _damaged(kind, "its data ends before its last row")
    if unread := unread_type(image):
        raise ImageUnsupportedError(
            f"A {kind.name} of {unread} pixels is not read; save it with 8 or 16 bits"
            " for each colour.",
            field=_FIELD,
            value=unread,
        )
    return image


def _check_bytes(data: ImageBytes, limits: ImageLimits) -> None:
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


def _take_over() -> None:
    """Let our limits and errors stand in the place of Pillow's.

    Both are process-wide and doing it again changes nothing, so any thread may.
    Pillow asks `_decompression_bomb_check` wherever a size is about to cost memory,
    GIF and WebP canvases included, which it allocates while it opens a file.
    `warnings.catch_warnings` would not be safe between threads.
    """
    Image._decompression_bomb_check = _stand_in  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - see above
    if _NO_PILLOW_WARNINGS not in warnings.filters:
        warnings.filterwarnings("ignore", module=r"PIL\.")


def _stand_in(size: tuple[int, int], *, error_only: bool = False) -> None:
    limits = _limits.get()
    if limits is None:
        _PILLOWS_CHECK(size, error_only=error_only)
    else:
        _check_size(size, limits)


@contextmanager
def _told_as_damage(kind: Container, reason: str) -> Generator[None]:
    try:
        yield
    except InvalidInputError:
        raise
    # Pillow's decoders raise whatever their parsing ran into.
    except Exception as error:
        raise _damaged(kind, reason) from error


def _check_effort(data: bytes, kind: Container) -> None:
    """Refuse small files that would cost the decoder hours or gigabytes."""
    if kind.name == "JPEG" and jpeg_scans(data) > _MAX_SCANS:
        raise _damaged(kind, f"it has more than {_MAX_SCANS} scans")
    if kind.name == "TIFF" and tiff_values(data) > _MAX_TIFF_VALUES:
        raise _damaged(kind, f"its tags hold more than {_MAX_TIFF_VALUES} numbers")


def _check_coverage(image: ImageFile.ImageFile, kind: Container) -> None:
    painted = sum(_area(tile.extents) for tile in image.tile)
    if painted > _MAX_PLANES * image.width * image.height:
        raise _damaged(kind, "it gives the same pixels many times")


def _area(extents: tuple[int, int, int, int] | None) -> int:
    if extents is None:
        return 0
    left, top, right, bottom = extents
    return (right - left) * (bottom - top)


def _damaged(kind: Container, reason: str) -> ImageDamagedError:
    return ImageDamagedError(
        f"This {kind.name} cannot be decoded: {reason}.", field=_FIELD
    )


def _check_size(size: tuple[int, int], limits: ImageLimits) -> None:
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
