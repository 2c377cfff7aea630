"""Geometry: pictures with one bright patch, through real files and back."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from dinoserve.domain.framing import Framing, lay_out
from dinoserve.domain.geometry import Box, Geometry
from dinoserve.engine.images import DecodedImage, ImageLimits, decode
from dinoserve.engine.preprocess import from_config, to_pixels
from odd_files import encoded

LIMITS = ImageLimits(max_bytes=10**7, max_pixels=10**7, max_side_px=10**4)
# The picture upright: 240 x 120. Which square of it one patch of 16 pixels shows:
WIDTH, HEIGHT = 240, 120
PLACES = [
    (Framing("64x64", "squash"), (1, 3), Box(180, 30, 240, 60)),
    (Framing("64x128", "squash"), (3, 0), Box(0, 90, 30, 120)),
    # 64 x 32 of content between two bands of 16.
    (Framing("64x64", "letterbox"), (2, 1), Box(60, 60, 120, 120)),
    # 32 x 16 of content under a band of 40: patches that are padding in part, or all.
    (Framing("96x32", "letterbox"), (3, 1), Box(120, 60, 240, 180)),
    (Framing("96x32", "letterbox"), (4, 1), Box(120, 180, 240, 300)),
    (Framing("64x64", "crop"), (1, 3), Box(150, 30, 180, 60)),
    (Framing("128x32", "crop"), (7, 1), Box(120, 105, 135, 120)),
    (Framing("short:64", "round"), (2, 5), Box(150, 60, 180, 90)),
    (Framing("long:64", "round"), (1, 0), Box(0, 60, 60, 120)),
]
SEEN = [place for place in PLACES if place[2].bottom <= HEIGHT]
# What was done to the upright picture, so that turning it as EXIF says gives it back.
STORED: dict[int, Callable[[NDArray[np.uint8]], NDArray[np.uint8]]] = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: np.rot90,
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: np.rot90(a, -1),
}


def painted(box: Box) -> NDArray[np.uint8]:
    """The upright picture: black, and white in the box."""
    left, top, right, bottom = (int(edge) for edge in box)
    picture = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    picture[top:bottom, left:right] = 255
    return picture


def file(picture: NDArray[np.uint8], orientation: int, format_: str) -> bytes:
    """The picture as a camera held in another way would store it."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(np.ascontiguousarray(STORED[orientation](picture)))
    return encoded(stored, format_, exif=exif.tobytes())


def laid_out(image: DecodedImage, framing: Framing) -> Geometry:
    info = image.info
    return lay_out(framing, info.width, info.height, 16, image.orientation)


def brightest(pixels: NDArray[np.float32]) -> tuple[int, int]:
    """Row and column of the brightest square of 16 x 16."""
    _, height, width = pixels.shape
    squares = pixels.reshape(3, height // 16, 16, width // 16, 16).mean((0, 2, 4))
    row, column = np.unravel_index(int(squares.argmax()), squares.shape)
    return int(row), int(column)


@pytest.mark.parametrize(("framing", "patch", "box"), SEEN)
@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("format_", ["PNG", "TIFF", "JPEG"])
def test_the_patch_that_shows_a_square_maps_back_onto_it(
    format_: str, orientation: int, framing: Framing, patch: tuple[int, int], box: Box
) -> None:
    image = decode(file(painted(box), orientation, format_), LIMITS)
    geometry = laid_out(image, framing)
    pixels = to_pixels(image.rgb, geometry, from_config("hf", {}, 16))
    assert brightest(pixels) == patch
    assert geometry.patch_box(*patch) == box


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("format_", ["PNG", "TIFF"])
def test_a_stored_box_holds_the_square_in_the_file(
    format_: str, orientation: int
) -> None:
    box = Box(180, 30, 240, 50)
    data = file(painted(box), orientation, format_)
    image = decode(data, LIMITS)
    left, top, right, bottom = laid_out(image, Framing("short:64", "round")).stored_box(
        box
    )
    # Whether it stands upright is the reader's choice: this one leaves it.
    stored = STORED[orientation](painted(box))
    inside = stored[int(top) : int(bottom), int(left) : int(right)]
    assert (inside.min(), inside.sum()) == (255, stored.sum())


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("format_", ["PNG", "TIFF", "JPEG", "WEBP"])
def test_decoding_tells_the_orientation(format_: str, orientation: int) -> None:
    data = file(painted(Box(0, 0, 10, 10)), orientation, format_)
    assert decode(data, LIMITS).orientation == orientation


@pytest.mark.parametrize("format_", ["PNG", "GIF", "BMP", "TIFF", "JPEG", "AVIF"])
def test_a_picture_without_exif_has_orientation_1(format_: str) -> None:
    assert decode(encoded(Image.new("RGB", (4, 4)), format_), LIMITS).orientation == 1


def test_a_png_may_tell_its_orientation_after_its_pixels() -> None:
    data = file(painted(Box(0, 0, 9, 9)), 6, "PNG")
    start = data.index(b"eXIf") - 4
    length = int.from_bytes(data[start : start + 4], "big") + 12
    exif, rest = data[start : start + length], data[:start] + data[start + length :]
    end = rest.index(b"IEND") - 4
    image = decode(rest[:end] + exif + rest[end:], LIMITS)
    assert (image.orientation, image.info.width) == (6, WIDTH)


@pytest.mark.parametrize(("framing", "patch", "box"), PLACES)
def test_a_patch_is_found_at_the_middle_of_its_box(
    framing: Framing, patch: tuple[int, int], box: Box
) -> None:
    geometry = lay_out(framing, WIDTH, HEIGHT, 16)
    middle = (box.left + box.right) / 2, (box.top + box.bottom) / 2
    is_seen = middle[1] < HEIGHT
    assert geometry.patch_box(*patch) == box
    assert geometry.patch_at(*middle) == (patch if is_seen else None)


@pytest.mark.parametrize(
    ("x", "y"),
    [(59.9, 10), (180, 10), (100, -0.1), (100, 120), (float("nan"), 10), (1e300, 0)],
)
def test_a_point_that_the_model_did_not_see_has_no_patch(x: float, y: float) -> None:
    geometry = lay_out(Framing("64x64", "crop"), WIDTH, HEIGHT, 16)
    assert geometry.patch_at(x, y) is None


def test_the_corners_of_what_the_model_saw_have_patches() -> None:
    geometry = lay_out(Framing("64x64", "crop"), WIDTH, HEIGHT, 16)
    below = np.nextafter(180, 0), np.nextafter(120, 0)
    assert geometry.patch_at(60, 0) == (0, 0)
    assert geometry.patch_at(*map(float, below)) == (3, 3)


@pytest.mark.parametrize("patch", [(-1, 0), (0, -1), (4, 0), (0, 4)])
def test_there_is_no_patch_outside_the_grid(patch: tuple[int, int]) -> None:
    geometry = lay_out(Framing("64x64", "squash"), WIDTH, HEIGHT, 16)
    with pytest.raises(IndexError, match="no patch"):
        geometry.patch_box(*patch)
