"""Pixels for measures: the engine's own decoding, at a size of choice."""

import asyncio
import io
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image

from dinoserve.engine.images import ImageLimits, decode
from dinoserve.engine.pixel_reader import ThreadedPixelReader
from dinoserve.errors import ImageDamagedError, ImageTooLargeError, InvalidInputError
from odd_files import oriented, photo

LIMITS = ImageLimits(max_bytes=1 << 24, max_pixels=1_000_000, max_side_px=4000)


@pytest.fixture
def reader() -> Iterator[ThreadedPixelReader]:
    with ThreadedPixelReader(LIMITS, threads=2) as reader:
        yield reader


async def test_pixels_are_those_that_the_engine_decodes(
    reader: ThreadedPixelReader,
) -> None:
    data = photo(1)
    picture = await reader.pixels(data)
    assert picture.dtype == np.uint8
    assert np.array_equal(picture, decode(data, LIMITS).rgb)
    assert not picture.flags.writeable


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("longest", [1, 64, 100, 250, 499])
async def test_the_longer_side_is_as_long_as_wanted(
    reader: ThreadedPixelReader,
    longest: int,
    format: str,  # noqa: A002 - Pillow's word
) -> None:
    picture = await reader.pixels(photo(1, format=format), longest)
    assert picture.shape == (max(1, round(375 * longest / 500)), longest, 3)


@pytest.mark.parametrize("longest", [500, 501, 9999])
async def test_no_picture_is_scaled_up(
    reader: ThreadedPixelReader, longest: int
) -> None:
    picture = await reader.pixels(photo(1), longest)
    assert picture.shape == (375, 500, 3)


async def test_a_scaled_picture_holds_means_over_areas(
    reader: ThreadedPixelReader,
) -> None:
    data = photo(1, 480, 320, "PNG")
    whole = (await reader.pixels(data)).astype(float)
    blocks = whole.reshape(40, 8, 60, 8, 3).mean((1, 3))
    scaled = await reader.pixels(data, 60)
    assert np.abs(scaled - blocks).max() <= 0.51


async def test_a_jpeg_that_is_decoded_smaller_is_nearly_the_same(
    reader: ThreadedPixelReader,
) -> None:
    data = photo(1, 480, 320)
    whole = Image.fromarray(await reader.pixels(data))
    file = io.BytesIO()
    whole.save(file, "PNG")
    exact = (await reader.pixels(file.getvalue(), 60)).astype(float)
    assert np.abs(await reader.pixels(data, 60) - exact).mean() < 2


@pytest.mark.parametrize("longest", [None, 200])
async def test_a_picture_stands_upright(
    reader: ThreadedPixelReader, longest: int | None
) -> None:
    turned = oriented(6)
    expected = decode(turned, LIMITS).rgb
    picture = await reader.pixels(turned, longest)
    is_tall = expected.shape[0] > expected.shape[1]
    assert (picture.shape[0] > picture.shape[1]) == is_tall


@pytest.mark.parametrize("longest", [None, 64])
async def test_what_the_engine_refuses_is_refused(
    reader: ThreadedPixelReader, longest: int | None
) -> None:
    with pytest.raises(ImageTooLargeError):
        await reader.pixels(photo(1, 2000, 1000), longest)
    with pytest.raises(ImageDamagedError):
        await reader.pixels(photo(1)[:5000], longest)
    with pytest.raises(InvalidInputError):
        await reader.pixels(b"no image", longest)


async def test_many_are_read_side_by_side(reader: ThreadedPixelReader) -> None:
    images = [photo(seed) for seed in range(8)]
    found = await asyncio.gather(*(reader.pixels(image, 32) for image in images))
    expected = [await reader.pixels(image, 32) for image in images]
    for one, other in zip(found, expected, strict=True):
        assert np.array_equal(one, other)
