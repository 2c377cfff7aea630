"""Framing: at which size, and by which rule, a picture becomes the model's input."""

import re
from typing import Literal, NamedTuple, TypeAlias

from dinoserve.domain.geometry import Box, Geometry
from dinoserve.errors import InvalidInputError

Fit: TypeAlias = Literal["squash", "letterbox", "crop", "round"]

MAX_INPUT_PATCHES = 65_536
"""Patches of one input at most, whatever else is allowed: 4096 x 4096 at 16 px.

Beyond it, the pixels alone would take more than 200 MB, before anybody asked the
model.
"""

_SIZE = re.compile(
    r"(?P<kind>short|long):(?P<side>[1-9]\d{0,4})"
    r"|(?P<height>[1-9]\d{0,4})(?:x(?P<width>[1-9]\d{0,4}))?",
    re.ASCII,
)
_FIXED_FITS: tuple[Fit, ...] = ("squash", "letterbox", "crop")
_ASPECT_FITS: tuple[Fit, ...] = ("round",)


class Framing(NamedTuple):
    """A size and a fit; `read_framing` checks them and gives them their one spelling.

    Attributes:
        size: `512x768` (height x width; `224` is a square), `short:512` or `long:512`
            (that side; the other follows the picture's aspect).
        fit: `squash` ignores the aspect, `letterbox` keeps it and pads, `crop` keeps
            it and cuts to the centre; `round` keeps it but for rounding each side to
            the model's stride, and is what `short` and `long` do.
    """

    size: str
    fit: Fit


def read_framing(size: str, fit: str | None = None) -> Framing:
    """Return size and fit in one spelling: `224` becomes `224x224`.

    Args:
        size: as in `Framing`; each number has one to five digits, none leads with 0.
        fit: None is `squash` for a fixed size, `round` for `short` and `long`.

    Raises:
        InvalidInputError: no size (`size`), or a fit that does not go with it (`fit`).
    """
    match = _SIZE.fullmatch(size)
    if match is None:
        raise InvalidInputError(
            "A size is `224`, `512x768` (height x width), `short:512` or `long:512`.",
            field="size",
            value=size[:80],
        )
    fits = _ASPECT_FITS if match["kind"] else _FIXED_FITS
    if fit is not None and fit not in fits:
        raise InvalidInputError(
            f"With the size `{size}`, fit is one of: {', '.join(fits)}.",
            field="fit",
            limit=list(fits),
            value=fit[:80],
        )
    if height := match["height"]:
        size = f"{height}x{match['width'] or height}"
    return Framing(size, fit or fits[0])


def check_framing(framing: Framing, stride_px: int) -> Framing:
    """Return the framing in its one spelling, if a model of this stride can take it.

    Args:
        framing: size and fit.
        stride_px: what both sides of an input are multiples of: 16 for a ViT, 32 for
            a ConvNeXt, which would otherwise drop the rest without a word.

    Raises:
        InvalidInputError: it is none, or a fixed size that is no multiple of the
            stride or makes more than `MAX_INPUT_PATCHES`.
    """
    framing = read_framing(*framing)
    if ":" not in framing.size:
        height, width = _fixed(framing)
        if height % stride_px or width % stride_px:
            raise InvalidInputError(
                f"The model takes multiples of {stride_px} pixels; the size is"
                f" {framing.size}.",
                field="size",
                limit=stride_px,
                value=framing.size,
            )
        _check_patches(height, width, stride_px)
    return framing


def lay_out(
    framing: Framing,
    image_width: int,
    image_height: int,
    patch_px: int,
    orientation: int = 1,
) -> Geometry:
    """Return where the pixels of a picture of this size go.

    - `squash`: the whole picture fills the input.
    - `letterbox`: the whole picture, as large as it fits; its sides and its place in
      the centre are rounded to whole pixels, at least one.
    - `crop`: the largest centred part that has the input's aspect; its sides and place
      are rounded to whole pixels, at least one, so the aspect is off by less than one.
    - `round`: the whole picture fills an input of its own aspect; after scaling, each
      side is rounded to the nearest multiple of `patch_px` (a half goes up), at
      least one.

    Args:
        framing: size and fit.
        image_width: pixels, upright.
        image_height: pixels, upright.
        patch_px: the model's stride.
        orientation: EXIF, 1 to 8, of the stored picture.

    Raises:
        InvalidInputError: as `check_framing`; or the picture's aspect would make more
            than `MAX_INPUT_PATCHES` (`size`).
    """
    size, fit = check_framing(framing, patch_px)
    image = (image_height, image_width)
    whole = Box(0, 0, image_width, image_height)
    if fit == "round":
        height, width = _rounded(size, image, patch_px)
    else:
        height, width = _fixed(Framing(size, fit))
    source, content = whole, Box(0, 0, width, height)
    if fit == "letterbox":
        content = _centred((image_height, image_width), (height, width))
    elif fit == "crop":
        source = _centred((height, width), image)
    return Geometry(
        image_width,
        image_height,
        orientation,
        source,
        content,
        width,
        height,
        patch_px,
    )


def _fixed(framing: Framing) -> tuple[int, int]:
    height, width = framing.size.split("x")
    return int(height), int(width)


def _rounded(size: str, image: tuple[int, int], patch_px: int) -> tuple[int, int]:
    kind, side = size.split(":")
    against = min(image) if kind == "short" else max(image)
    # Whole numbers: round(length * side / against / patch_px), a half up.
    height, width = (
        max(
            1, (2 * length * int(side) + against * patch_px) // (2 * against * patch_px)
        )
        * patch_px
        for length in image
    )
    _check_patches(height, width, patch_px)
    return height, width


def _centred(shape: tuple[int, int], room: tuple[int, int]) -> Box:
    """Return the largest box of the aspect of a shape, centred in a room.

    Args:
        shape: height and width; only their ratio matters.
        room: height and width, which one side of the box fills.
    """
    height, width = shape
    down, across = room
    if width * down > height * across:
        down = max(1, (2 * height * across + width) // (2 * width))
    else:
        across = max(1, (2 * width * down + height) // (2 * height))
    left, top = (room[1] - across) // 2, (room[0] - down) // 2
    return Box(left, top, left + across, top + down)


def _check_patches(height: int, width: int, patch_px: int) -> None:
    patches = (height // patch_px) * (width // patch_px)
    if patches > MAX_INPUT_PATCHES:
        raise InvalidInputError(
            f"An input of {height} x {width} pixels has {patches} patches;"
            f" {MAX_INPUT_PATCHES} are allowed.",
            field="size",
            limit=MAX_INPUT_PATCHES,
            value=patches,
        )
