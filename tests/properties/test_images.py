"""Whatever the bytes: a picture within the limits, or a refusal that says why."""

import io
from functools import cache

from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from dinoserve.engine.images import ImageLimits, decode
from dinoserve.errors import InvalidInputError
from odd_files import encoded, oriented, photo

# Flipped bits make huge sizes; small limits keep each example quick.
LIMITS = ImageLimits(max_bytes=65_536, max_pixels=250_000, max_side_px=2048)
KINDS = (
    "JPEG",
    "progressive",
    "MPO",
    "EXIF",
    "PNG",
    "palette",
    "WEBP",
    "GIF",
    "BMP",
    "TIFF",
    "lzw",
    "AVIF",
)
MAGICS = (
    b"",
    b"\xff\xd8\xff",
    b"\x89PNG\r\n\x1a\n",
    b"RIFF\0\0\0\0WEBPVP8 ",
    b"GIF89a",
    b"BM" + bytes(12) + b"\x28\0\0\0",
    b"II*\0",
    b"MM\0+",
    b"\0\0\0\x1cftypavif",
)


@cache
def whole(kind: str) -> bytes:
    """A small true file: of a format, or of a variant of one."""
    picture = Image.open(io.BytesIO(photo(1, 24, 16, "PNG")))
    match kind:
        case "progressive":
            return encoded(picture, "JPEG", progressive=True)
        case "palette":
            return encoded(picture.quantize(16), "PNG", transparency=3)
        case "lzw":
            return encoded(picture, "TIFF", compression="tiff_lzw")
        case "MPO":
            return encoded(picture, "MPO", save_all=True, append_images=[picture])
        case "EXIF":
            return oriented(6, "JPEG")
        case _:
            return photo(1, 24, 16, kind)


def check(data: bytes) -> None:
    try:
        decoded = decode(data, LIMITS)
    except InvalidInputError:
        return
    height, width, channels = decoded.rgb.shape
    assert (decoded.info.width, decoded.info.height, channels) == (width, height, 3)
    assert height * width <= LIMITS.max_pixels
    assert max(height, width) <= LIMITS.max_side_px


@given(st.sampled_from(MAGICS), st.binary(max_size=300))
@settings(max_examples=300, deadline=None)
def test_any_bytes_are_a_picture_or_refused(magic: bytes, rest: bytes) -> None:
    check(magic + rest)


@given(
    st.sampled_from(KINDS),
    st.lists(st.tuples(st.floats(0, 0.999), st.integers(1, 255)), max_size=6),
    st.floats(0, 1),
)
@settings(max_examples=400, deadline=None)
def test_a_damaged_file_is_a_picture_or_refused(
    kind: str, flips: list[tuple[float, int]], kept: float
) -> None:
    data = bytearray(whole(kind))
    for place, bits in flips:
        data[int(place * len(data))] ^= bits
    check(bytes(data[: round(kept * len(data))]))


@given(st.sampled_from(KINDS), st.floats(0, 0.999), st.integers(1, 255))
@settings(max_examples=400, deadline=None)
def test_a_whole_file_with_one_wrong_byte_is_a_picture_or_refused(
    kind: str, place: float, bits: int
) -> None:
    data = bytearray(whole(kind))
    data[int(place * len(data))] ^= bits
    check(bytes(data))
