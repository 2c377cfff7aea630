"""Nothing goes along with a rendition but its picture, in sRGB."""

import numpy as np
import pytest
from PIL import Image, ImageCms, PngImagePlugin

from dinoserve.domain.renditions import Format, Rendition
from odd_files import encoded
from redrawn import FORMATS, drawn, half_clear, on_white, opened

SECRET = "37.4220N 122.0841W"
# What begins a piece of metadata in a JPEG, PNG, WebP or AVIF.
MARKS = (
    b"Exif",
    b"EXIF",
    b"eXIf",
    b"xmp",
    b"XMP",
    b"ICC",
    b"iCCP",
    b"tEXt",
    b"colrprof",
)


def swapped_profile() -> bytes:
    """Return a profile whose red is sRGB's blue, and the other way round."""
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType] - Pillow leaves its type open
    table, rest = srgb[:512], srgb[512:]
    table = table.replace(b"rXYZ", b"****").replace(b"bXYZ", b"rXYZ")
    return table.replace(b"****", b"bXYZ") + rest


def telling() -> dict[str, bytes]:
    """Return pictures with all the metadata that their formats have."""
    exif = Image.Exif()
    exif[0x010E] = SECRET
    common = {"exif": exif, "icc_profile": swapped_profile()}
    xmp = f"<x:xmpmeta xmlns:x='adobe:ns:meta/'>{SECRET}</x:xmpmeta>".encode()
    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", SECRET)
    picture = half_clear()
    return {
        "JPEG": encoded(
            picture.convert("RGB"), "JPEG", comment=SECRET, xmp=xmp, **common
        ),
        "PNG": encoded(picture, "PNG", pnginfo=text, **common),
        "WEBP": encoded(picture, "WEBP", xmp=xmp, **common),
        "AVIF": encoded(picture, "AVIF", xmp=xmp, **common),
        "GIF": encoded(picture, "GIF", comment=SECRET.encode()),
    }


@pytest.mark.parametrize("format_", FORMATS)
@pytest.mark.parametrize("kind", telling())
async def test_nothing_is_told_but_the_picture(kind: str, format_: Format) -> None:
    original = telling()[kind]
    assert SECRET.encode() in original

    data = (await drawn(original, Rendition(20, None), format_)).data

    assert SECRET.encode() not in data
    assert [mark for mark in MARKS if mark in data] == []


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
async def test_a_colour_profile_is_applied(kind: str) -> None:
    picture = Image.new("RGB", (16, 16), (255, 0, 0))
    original = encoded(picture, kind, icc_profile=swapped_profile())

    pixels = on_white(opened(await drawn(original, Rendition(8, None))))

    assert np.abs(pixels - [0, 0, 255]).max() < 10


async def test_a_colour_profile_leaves_transparency_alone() -> None:
    original = encoded(half_clear(), "PNG", icc_profile=swapped_profile())

    image = opened(await drawn(original, Rendition(40, None)))

    pixels = np.asarray(image).astype(int)
    assert pixels[:, 25:, 3].max() == 0
    assert np.abs(pixels[:, :15] - [0, 0, 200, 255]).max() < 10


@pytest.mark.parametrize(
    ("mode", "profile"), [("RGB", b"no profile"), ("L", swapped_profile())]
)
async def test_a_profile_that_does_not_fit_is_passed_over(
    mode: str, profile: bytes
) -> None:
    picture = Image.new(mode, (16, 16), 120 if mode == "L" else (200, 30, 30))
    original = encoded(picture, "PNG", icc_profile=profile)

    pixels = on_white(opened(await drawn(original, Rendition(8, None))))

    assert np.abs(pixels - on_white(picture)[0, 0]).max() <= 1
