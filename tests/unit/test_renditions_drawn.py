"""Originals drawn anew: the same picture, in another size and format, and no more."""

import io

import numpy as np
import pytest
from PIL import Image

from dinoserve.domain.geometry import Box
from dinoserve.domain.renditions import Drawing, Encoding, Format, Rendition
from dinoserve.engine.images import decode
from dinoserve.errors import InvalidInputError
from odd_files import OddFile, chunk, encoded, odd_files, oriented, photo, png
from redrawn import FORMATS, LIMITS, REDRAWER, drawn, half_clear, on_white, opened


def whole(original: bytes, encoding: Encoding = "png") -> Drawing:
    """Return the original as it is, in its own size."""
    info = decode(original, LIMITS).info
    box = Box(0, 0, info.width, info.height)
    return Drawing(box, info.width, info.height, encoding, 90)


def clear_in_its_own_depth() -> OddFile:
    """Return a PNG whose one colour is transparent, told in 16 bits."""
    colour = b"\x12\x34\x56\x78\x9a\xbc"
    data = png((1, 1), 16, 2, b"\0" + colour, chunk(b"tRNS", colour))
    return OddFile("clear-16-bit.png", data, "ok")


@pytest.mark.parametrize(
    "odd",
    [clear_in_its_own_depth(), *(odd for odd in odd_files() if odd.answer == "ok")],
    ids=lambda odd: odd.name,
)
async def test_every_file_that_is_read_is_drawn_as_it_is_shown(odd: OddFile) -> None:
    made = await REDRAWER.redraw(odd.data, whole(odd.data))

    shown = decode(odd.data, LIMITS).rgb.astype(int)
    assert np.abs(on_white(opened(made)) - shown).max() <= 1


@pytest.mark.parametrize("format_", FORMATS)
@pytest.mark.parametrize("orientation", range(1, 9))
async def test_every_turn_stands_upright_in_every_format(
    orientation: int, format_: Format
) -> None:
    original = oriented(orientation, "JPEG", quality=95, subsampling=0)
    shown = Image.fromarray(decode(original, LIMITS).rgb)
    asked = Rendition(shown.width * 8, shown.height * 8, "contain")

    image = opened(await drawn(original, asked, format_)).convert("RGB")

    assert image.size == (shown.width * 8, shown.height * 8)
    # In the middle of every quarter no codec mixes colours.
    quarters = np.s_[
        image.height // 4 :: image.height // 2, image.width // 4 :: image.width // 2
    ]
    wanted = np.asarray(shown.resize(image.size, Image.Resampling.NEAREST)).astype(int)
    assert np.abs(np.asarray(image).astype(int) - wanted)[quarters].max() < 30


@pytest.mark.parametrize("format_", FORMATS)
async def test_each_format_is_what_it_is_called(format_: Format) -> None:
    made = await drawn(photo(1), Rendition(64, None), format_)

    assert made.format == format_
    assert opened(made).size == (64, 48)


@pytest.mark.parametrize("format_", ["png", "webp", "avif"])
async def test_transparency_stays_where_the_format_has_it(format_: Format) -> None:
    original = encoded(half_clear(), "PNG")

    image = opened(await drawn(original, Rendition(20, None), format_))

    alpha = np.asarray(image.getchannel("A"))
    assert alpha[:, :8].min() > 250
    assert alpha[:, 12:].max() < 5


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "GIF", "TIFF"])
async def test_a_jpeg_is_laid_on_white(kind: str) -> None:
    original = encoded(half_clear(), kind)

    pixels = on_white(opened(await drawn(original, Rendition(20, None), "jpeg")))

    assert pixels[:, 12:].min() > 240
    assert np.abs(pixels[:, :7] - [200, 0, 0]).max() < 20


@pytest.mark.parametrize(
    ("picture", "format_"),
    [
        (half_clear(), "png"),
        (half_clear().convert("LA"), "png"),
        (Image.new("RGBA", (40, 20), (1, 2, 3, 255)), "jpeg"),
        (Image.new("RGB", (40, 20)), "jpeg"),
    ],
)
async def test_plain_is_a_png_only_where_something_is_transparent(
    picture: Image.Image, format_: Format
) -> None:
    made = await drawn(encoded(picture, "PNG"), Rendition(20, None), "plain")

    assert made.format == format_


async def test_the_clear_grey_of_a_16_bit_png_stays_clear() -> None:
    values = np.full((4, 4), 40_000, np.uint16)
    values[:, 2:] = 7
    original = encoded(Image.fromarray(values), "PNG", transparency=7)

    alpha = np.asarray(
        opened(await drawn(original, Rendition(4, None))).getchannel("A")
    )

    assert alpha[0].tolist() == [255, 255, 0, 0]


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
async def test_cover_shows_the_middle(kind: str) -> None:
    picture = Image.new("RGB", (2400, 800), (0, 0, 250))
    picture.paste((0, 250, 0), (800, 0, 1600, 800))

    made = await drawn(encoded(picture, kind), Rendition(50, 50, "cover"))

    assert np.abs(on_white(opened(made))[:, 2:-2] - [0, 250, 0]).max() <= 3


@pytest.mark.parametrize("subsampled", [photo(1, 1999, 1333), photo(2, 1600, 1200)])
@pytest.mark.parametrize("width", [100, 333, 512])
async def test_a_jpeg_decoded_smaller_shows_the_same(
    subsampled: bytes, width: int
) -> None:
    asked = Rendition(width, None)
    with Image.open(io.BytesIO(subsampled)) as image:
        lossless = encoded(image, "PNG")

    quick = on_white(opened(await drawn(subsampled, asked)))
    slow = on_white(opened(await drawn(lossless, asked)))

    assert np.abs(quick - slow).mean() < 1.5


async def test_a_jpeg_decoded_smaller_is_not_shifted() -> None:
    stripes = Image.new("RGB", (1601, 1601), "black")
    stripes.paste((255, 255, 255), (800, 0, 1601, 1601))
    original = encoded(stripes, "JPEG", quality=95)

    row = on_white(opened(await drawn(original, Rendition(100, None))))[50, :, 0]

    assert row[:49].max() < 15
    assert row[51:].min() > 240


@pytest.mark.parametrize("format_", ["avif", "webp", "jpeg"])
async def test_a_lower_quality_takes_fewer_bytes(format_: Format) -> None:
    low, high = [
        await drawn(photo(1), Rendition(256, None, quality=quality), format_)
        for quality in (30, 90)
    ]

    assert len(low.data) < len(high.data)


@pytest.mark.parametrize("format_", FORMATS)
async def test_the_same_drawing_is_the_same_bytes(format_: Format) -> None:
    one, other = [await drawn(photo(1), Rendition(200, None), format_) for _ in "12"]

    assert one == other


@pytest.mark.parametrize(
    "odd",
    [odd for odd in odd_files() if odd.answer != "ok"],
    ids=lambda odd: odd.name,
)
async def test_what_is_refused_as_an_upload_is_refused_here(odd: OddFile) -> None:
    with pytest.raises(InvalidInputError) as caught:
        await REDRAWER.redraw(odd.data, Drawing(Box(0, 0, 9, 9), 8, 8, "png", 0))

    assert caught.value.code == odd.answer


def test_every_format_can_be_written_with_the_pinned_pillow() -> None:
    assert sorted(REDRAWER.formats) == sorted(FORMATS)
