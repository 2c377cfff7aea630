"""Decoding: what is read, what is refused, and what either costs."""

import io
import os
import re
import struct
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from dinoserve.engine import images
from dinoserve.engine.images import ImageLimits, decode
from dinoserve.errors import (
    ImageDamagedError,
    ImageTooLargeError,
    ImageUnsupportedError,
    InvalidInputError,
)
from odd_files import (
    OddFile,
    arrow,
    chunk,
    encoded,
    endless_tiff,
    interlaced,
    odd_files,
    oriented,
    photo,
    png,
    tiff,
)

LIMITS = ImageLimits(
    max_bytes=32 * 1024 * 1024, max_pixels=64_000_000, max_side_px=16_384
)
FORMATS = ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"]


def pixels(data: bytes) -> list[list[list[int]]]:
    return decode(data, LIMITS).rgb.tolist()


def answer(data: bytes, limits: ImageLimits = LIMITS) -> str:
    try:
        decode(data, limits)
    except InvalidInputError as error:
        return error.code
    return "ok"


def on_white(colour: int, alpha: int) -> int:
    """Definition of "over" on 255, rounded to the nearest: Porter and Duff 1984."""
    return (2 * (colour * alpha + 255 * (255 - alpha)) + 255) // 510


@pytest.mark.parametrize("file", odd_files(), ids=lambda file: file.name)
def test_an_odd_file_gets_its_documented_answer(file: OddFile) -> None:
    assert answer(file.data) == file.answer


@pytest.mark.parametrize(
    "file", [file for file in odd_files() if file.answer != "ok"], ids=lambda f: f.name
)
def test_a_refusal_names_the_field_and_hides_the_decoder(file: OddFile) -> None:
    with pytest.raises(InvalidInputError) as caught:
        decode(file.data, LIMITS)
    assert caught.value.extra["field"] == "image"
    assert not re.search(r"object at|Error|PIL|/|\n", caught.value.detail)


def test_the_documentation_lists_every_odd_file_with_its_answer() -> None:
    text = (Path(__file__).parents[2] / "docs" / "images.md").read_text()
    _, _, table = text.partition("## Odd files")
    rows = re.findall(r"^\| `([^`]+)` \| .+ \| \[?([a-z-]+).*\|$", table, re.MULTILINE)
    assert dict(rows) == {f.name: f.answer for f in odd_files()}


def test_refusals_cost_less_than_the_smallest_picture_refused() -> None:
    program = """
import resource, sys
from odd_files import odd_files
from dinoserve.engine.images import ImageLimits, decode
files = [file for file in odd_files() if file.answer != "ok"]
resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30))
for file in files:
    try:
        decode(file.data, ImageLimits(2**25, 64_000_000, 16_384))
    except Exception as error:
        if getattr(error, "code", None) != file.answer:
            sys.exit(f"{file.name}: {error!r}")
"""
    tests = str(Path(__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": tests, "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("format_", FORMATS)
def test_every_format_is_told_from_its_bytes(format_: str) -> None:
    decoded = decode(photo(5, 40, 30, format_), LIMITS)
    assert decoded.info.media_type == f"image/{format_.lower()}"


@pytest.mark.parametrize("format_", FORMATS)
def test_every_format_gives_the_picture_that_was_saved(format_: str) -> None:
    picture = np.asarray(arrow().resize((96, 64), Image.Resampling.NEAREST))
    decoded = decode(encoded(Image.fromarray(picture), format_), LIMITS)
    # Lossy formats at their default quality err most at the edges of the quarters.
    error = np.abs(decoded.rgb.astype(int) - picture)
    assert np.median(error) <= 4


def test_pixels_are_8_bit_rgb_rows_of_the_size_told() -> None:
    decoded = decode(photo(5, 40, 30), LIMITS)
    assert (decoded.rgb.shape, decoded.rgb.dtype) == ((30, 40, 3), np.uint8)
    assert (decoded.info.width, decoded.info.height) == (40, 30)


def test_pixels_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="read-only"):
        decode(photo(5, 40, 30), LIMITS).rgb[0, 0] = 1


def as_pillow(data: bytes) -> list[list[list[int]]] | None:
    """What Pillow alone makes of a JPEG; None where it fails."""
    try:
        return np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).tolist()
    except Exception:  # noqa: BLE001 - its decoders raise anything
        return None


def painted(mode: str = "RGB") -> Image.Image:
    return Image.open(io.BytesIO(photo(8, 67, 45, "PNG"))).convert(mode)


@pytest.mark.parametrize(
    "options",
    [
        {},
        *({"subsampling": kind} for kind in ("4:4:4", "4:2:2", "4:2:0")),
        *({"quality": quality} for quality in (1, 50, 100)),
        {"progressive": True},
        {"restart_marker_blocks": 2},
        {"keep_rgb": True},
        {"optimize": True},
    ],
    ids=str,
)
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_jpeg_has_the_pixels_that_pillow_reads(
    mode: str, options: dict[str, object]
) -> None:
    data = encoded(painted(mode), "JPEG", **options)
    assert pixels(data) == as_pillow(data)


@pytest.mark.parametrize("seed", range(200))
def test_a_jpeg_with_flipped_bits_is_what_pillow_makes_of_it(seed: int) -> None:
    random = np.random.default_rng(seed)
    flawed = bytearray(encoded(painted(), "JPEG", progressive=seed % 2 == 1))
    for at in random.integers(2, len(flawed), 1 + seed % 3).tolist():
        flawed[at] ^= 1 << int(random.integers(8))
    data = bytes(flawed)
    limits = ImageLimits(10**6, 250_000, 2048)
    # Whether it is refused is for the other tests; what is read must be the same.
    assert answer(data, limits) != "ok" or pixels(data) == as_pillow(data)


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9, 0.99])
def test_a_jpeg_that_is_cut_short_is_refused_wherever_it_ends(share: float) -> None:
    data = photo(9, 67, 45)
    assert answer(data[: int(len(data) * share)]) == "image-damaged"


TURNS: dict[int, Callable[[NDArray[np.uint8]], NDArray[np.uint8]]] = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: np.rot90,
}


@pytest.mark.parametrize("orientation", TURNS)
@pytest.mark.parametrize("format_", ["PNG", "TIFF", "WEBP"])
def test_a_picture_is_turned_as_its_exif_says(format_: str, orientation: int) -> None:
    options = {"lossless": True} if format_ == "WEBP" else {}
    decoded = decode(oriented(orientation, format_, **options), LIMITS)
    stored: NDArray[np.uint8] = np.asarray(arrow())
    assert decoded.rgb.tolist() == TURNS[orientation](stored).tolist()
    assert (decoded.info.height, decoded.info.width) == decoded.rgb.shape[:2]


@pytest.mark.parametrize("orientation", TURNS)
def test_a_jpeg_is_turned_as_its_exif_says(orientation: int) -> None:
    data = oriented(orientation, "JPEG")
    stored = np.array(as_pillow(data), np.uint8)
    assert pixels(data) == TURNS[orientation](stored).tolist()


@pytest.mark.parametrize("orientation", [0, 9, 77])
def test_an_orientation_that_does_not_exist_turns_nothing(orientation: int) -> None:
    assert pixels(oriented(orientation)) == np.asarray(arrow()).tolist()


@pytest.mark.parametrize(
    "exif",
    [
        b"Exif\0\0",
        b"Exif\0\0no tiff at all",
        b"Exif\0\0II*\0\xff\xff\xff\x7f",
        b"Exif\0\0II*\0\x08\0\0\0\xff\xff\x12\x01",
        b"Exif\0\0II*\0\x08\0\0\0\1\0\x12\1\2\0\xff\xff\xff\xff\xff\xff\xff\xff",
    ],
)
@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP"])
def test_broken_exif_is_ignored(format_: str, exif: bytes) -> None:
    plain, broken = (encoded(arrow(), format_, exif=e) for e in (b"", exif))
    assert pixels(broken) == pixels(plain)


def test_half_transparent_pixels_are_laid_on_white() -> None:
    colours, alphas = np.mgrid[0:256, 0:256].astype(np.uint8)
    picture = np.stack([colours, colours, colours, alphas], axis=-1)
    decoded = decode(encoded(Image.fromarray(picture), "PNG"), LIMITS)
    expected = [[[on_white(c, a)] * 3 for a in range(256)] for c in range(256)]
    assert decoded.rgb.tolist() == expected


def test_grey_with_alpha_is_laid_on_white() -> None:
    data = encoded(Image.new("LA", (1, 1), (7, 99)), "PNG")
    assert pixels(data) == [[[on_white(7, 99)] * 3]]


@pytest.mark.parametrize("transparency", [1, b"\xff\0"])
def test_a_transparent_palette_entry_is_white(transparency: int | bytes) -> None:
    picture = Image.new("P", (2, 1))
    picture.putpalette([10, 20, 30, 40, 50, 60])
    picture.putpixel((1, 0), 1)
    data = encoded(picture, "PNG", transparency=transparency)
    assert pixels(data) == [[[10, 20, 30], [255, 255, 255]]]


def test_a_transparent_gif_is_laid_on_white() -> None:
    picture = Image.new("RGBA", (2, 1), (200, 0, 0, 255))
    picture.putpixel((1, 0), (0, 0, 0, 0))
    assert pixels(encoded(picture, "GIF")) == [[[200, 0, 0], [255, 255, 255]]]


@pytest.mark.parametrize(
    ("bits", "colour", "row", "clear"),
    [
        (8, 0, bytes([7, 8]), [7]),
        (2, 0, bytes([0b01100000]), [1]),
        (4, 0, bytes([0x56]), [5]),
        (1, 0, bytes([0b01000000]), [0]),
        (16, 0, b"\x12\x34\x12\x35", [0x1234]),
        (8, 2, bytes([1, 2, 3, 1, 2, 4]), [1, 2, 3]),
        (16, 2, b"\1\0\2\0\3\0\1\0\2\0\4\0", [0x100, 0x200, 0x300]),
    ],
)
def test_the_transparent_colour_of_a_png_is_white(
    bits: int, colour: int, row: bytes, clear: list[int]
) -> None:
    transparent = chunk(b"tRNS", struct.pack(f">{len(clear)}H", *clear))
    plain, marked = (
        pixels(png((2, 1), bits, colour, b"\0" + row, *more))
        for more in ([], [transparent])
    )
    assert marked == [[[255, 255, 255], plain[0][1]]]


def test_premultiplied_colours_are_divided_before_they_meet_white() -> None:
    shape = {256: 1, 257: 1, 258: (8, 8, 8, 8), 262: 2, 277: 4, 338: 1}
    # 64 of 255 at half alpha stood for 127.5: Pillow keeps 127.
    assert pixels(tiff(shape, bytes([64, 0, 128, 128]))) == [
        [[on_white(127, 128), on_white(0, 128), on_white(255, 128)]]
    ]


def test_premultiplied_grey_is_divided_before_it_meets_white() -> None:
    shape = {256: 1, 257: 1, 258: (8, 8), 262: 1, 277: 2, 338: 1}
    assert pixels(tiff(shape, bytes([64, 128]))) == [[[on_white(127, 128)] * 3]]


def test_sixteen_bit_grey_keeps_its_high_byte() -> None:
    data = png((3, 1), 16, 0, b"\0\x12\x34\0\xff\xff\xff")
    assert pixels(data) == [[[0x12] * 3, [0] * 3, [0xFF] * 3]]


@pytest.mark.parametrize("order", ["<u2", ">u2"])
def test_sixteen_bit_grey_of_either_byte_order_keeps_its_high_byte(order: str) -> None:
    picture = Image.fromarray(np.array([[0x1234, 0xFF01]], order))
    assert pixels(encoded(picture, "TIFF")) == [[[0x12] * 3, [0xFF] * 3]]


def test_sixteen_bit_colours_keep_their_high_bytes() -> None:
    data = png((1, 1), 16, 2, b"\0\x12\x34\x56\x78\x9a\xbc")
    assert pixels(data) == [[[0x12, 0x56, 0x9A]]]


def test_cmyk_is_read_as_ink_on_white() -> None:
    data = encoded(Image.new("CMYK", (1, 1), (255, 0, 0, 0)), "TIFF")
    assert pixels(data) == [[[0, 255, 255]]]


def test_an_inverted_cmyk_jpeg_shows_its_colours() -> None:
    data = encoded(Image.new("CMYK", (8, 8), (255, 0, 0, 0)), "JPEG", quality=100)
    assert np.allclose(decode(data, LIMITS).rgb, [0, 255, 255], atol=2)


def test_a_ycck_jpeg_shows_its_colours() -> None:
    # Stored inverted: 200, 128, 128, 255. As YCCK a Y of 200 is ink of 200 in each.
    data = encoded(Image.new("CMYK", (8, 8), (55, 127, 127, 0)), "JPEG", quality=100)
    mark = data.index(b"Adobe") + 11
    ycck = data[:mark] + b"\2" + data[mark + 1 :]
    assert np.allclose(decode(ycck, LIMITS).rgb, [55, 55, 55], atol=2)


def test_grey_is_the_same_in_every_channel() -> None:
    assert pixels(encoded(Image.new("L", (1, 1), 77), "PNG")) == [[[77, 77, 77]]]


def test_one_bit_is_black_and_white() -> None:
    data = png((2, 1), 1, 0, b"\0" + bytes([0b01000000]))
    assert pixels(data) == [[[0, 0, 0], [255, 255, 255]]]


def test_ycbcr_is_converted() -> None:
    data = encoded(Image.new("YCbCr", (1, 1), (76, 85, 255)), "TIFF")
    # JFIF: Y 76, Cb 85, Cr 255 is red, within rounding.
    assert np.allclose(decode(data, LIMITS).rgb, [254, 0, 0], atol=1)


@pytest.mark.parametrize("format_", ["GIF", "WEBP", "PNG", "TIFF", "AVIF", "MPO"])
def test_the_first_frame_is_the_picture(format_: str) -> None:
    first, second = (Image.new("RGB", (16, 16), colour) for colour in ("red", "blue"))
    data = encoded(first, format_, save_all=True, append_images=[second])
    assert np.allclose(decode(data, LIMITS).rgb, [255, 0, 0], atol=4)


def test_a_photo_with_a_second_one_inside_is_a_jpeg() -> None:
    first, second = (Image.new("RGB", (16, 16), colour) for colour in ("red", "blue"))
    data = encoded(first, "MPO", save_all=True, append_images=[second])
    assert decode(data, LIMITS).info.media_type == "image/jpeg"


def test_a_colour_profile_changes_nothing() -> None:
    plain, profiled = (
        encoded(arrow(), "PNG", icc_profile=profile) for profile in (None, b"profile")
    )
    assert b"iCCP" in profiled
    assert pixels(profiled) == pixels(plain)


@pytest.mark.parametrize(
    ("mode", "name"),
    [("F", "floating-point"), ("I", "32-bit integer"), ("LAB", "L*a*b*")],
)
def test_a_pixel_type_that_is_not_read_is_named(mode: str, name: str) -> None:
    with pytest.raises(ImageUnsupportedError, match=re.escape(name)):
        decode(encoded(Image.new(mode, (1, 1)), "TIFF"), LIMITS)


def test_twelve_bit_grey_is_refused_and_named() -> None:
    data = tiff({256: 2, 257: 1, 258: 12, 262: 1, 277: 1}, bytes(3))
    with pytest.raises(ImageUnsupportedError, match="12-bit"):
        decode(data, LIMITS)


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"%PDF-1.7", "a PDF"),
        (b"\xef\xbb\xbf<?xml version='1.0'?><!-- --><SVG/>", "an SVG"),
        (b" <!doctype html>", "an HTML page"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0heic", "a HEIC picture"),
        (b"\0\0\0\x18ftypisom\0\0\0\0mp42", "a video"),
        (b"hello", "no image"),
    ],
)
def test_what_is_no_image_is_told_what_it_seems_to_be(data: bytes, name: str) -> None:
    with pytest.raises(ImageUnsupportedError, match=f"{name};.*JPEG.*PNG.*TIFF"):
        decode(data, LIMITS)


@pytest.mark.parametrize(
    ("limits", "limit", "value", "unit"),
    [
        (ImageLimits(10, 10**9, 10**9), 10, len(encoded(arrow(), "PNG")), "bytes"),
        (ImageLimits(10**9, 95, 10**9), 95, 96, "pixels"),
        (ImageLimits(10**9, 10**9, 11), 11, 12, "pixels on its longer side"),
    ],
)
def test_a_limit_is_named_with_its_unit_and_what_was_given(
    limits: ImageLimits, limit: int, value: int, unit: str
) -> None:
    with pytest.raises(ImageTooLargeError, match=f"{value} {unit}") as caught:
        decode(encoded(arrow(), "PNG"), limits)
    told = {"field": "image", "limit": limit, "value": value}
    assert caught.value.extra == told


def test_a_picture_exactly_at_every_limit_is_read() -> None:
    data = encoded(arrow(), "PNG")
    assert answer(data, ImageLimits(len(data), 96, 12)) == "ok"


def test_limits_hold_for_pictures_that_are_turned() -> None:
    assert answer(oriented(6), ImageLimits(10**9, 96, 12)) == "ok"


@pytest.mark.parametrize("name", ["bomb.png", "huge-canvas.gif", "huge-canvas.webp"])
def test_sizes_beyond_pillows_own_limit_are_told_exactly(name: str) -> None:
    data = next(file.data for file in odd_files() if file.name == name)
    with pytest.raises(ImageTooLargeError) as caught:
        decode(data, ImageLimits(10**9, 64_000_000, 10**9))
    sides = {"bomb.png": 60_000, "huge-canvas.gif": 65_535, "huge-canvas.webp": 2**24}
    assert caught.value.extra["value"] == sides[name] ** 2


def test_pillow_keeps_its_own_limit_for_others() -> None:
    bomb = next(file.data for file in odd_files() if file.name == "bomb.png")
    assert answer(bomb) == "image-too-large"
    with pytest.raises(Image.DecompressionBombError):
        Image.open(io.BytesIO(bomb))


def test_a_tag_that_pillow_warns_of_does_not_matter() -> None:
    shape = {256: 1, 257: 1, 258: 8, 262: 1, 277: 1}
    odd = tiff({**shape, 700: (1, 2, 3)}, b"\x07")
    assert pixels(odd[:-4]) == [[[7, 7, 7]]]


def test_many_tiny_pieces_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "_MAX_READS", 1000)
    crumbs = png((1, 1), 8, 0, b"\0\0", chunk(b"prVt") * 1000)
    assert answer(crumbs) == "image-damaged"


def test_a_tag_with_millions_of_numbers_is_refused() -> None:
    data = endless_tiff(1_000_001)
    with pytest.raises(ImageDamagedError, match="more than 1000000 numbers"):
        decode(data, LIMITS)


def test_a_progressive_jpeg_is_read() -> None:
    data = encoded(Image.new("RGB", (64, 48), (9, 99, 199)), "JPEG", progressive=True)
    assert np.allclose(decode(data, LIMITS).rgb, [9, 99, 199], atol=2)


def test_a_video_behind_a_photo_does_not_count_as_scans() -> None:
    assert answer(photo(6, 40, 30) + b"\xff\xda\0\2" * 500) == "ok"


def test_interlaced_pngs_are_whole_when_every_pass_is_there() -> None:
    # 3 x 3 in Adam7: passes 1, 4 (no), 5, 6 and 7 hold 1, 1, 2, 2 and 3 pixels.
    rows = b"\0\1" + b"\0\2" + b"\0\3\4" + b"\0\5" + b"\0\6" + b"\0\7\x08\x09"
    assert pixels(interlaced(rows))[1] == [[7] * 3, [8] * 3, [9] * 3]


def test_an_interlaced_png_without_its_last_pass_is_damaged() -> None:
    rows = b"\0\1" + b"\0\2" + b"\0\3\4" + b"\0\5" + b"\0\6"
    assert answer(interlaced(rows)) == "image-damaged"


def test_many_threads_decode_under_their_own_limits() -> None:
    data = photo(7, 200, 100)
    tight = ImageLimits(10**9, 19_999, 10**9)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(answer, [data] * 200, [LIMITS, tight] * 100))
    assert answers == ["ok", "image-too-large"] * 100
