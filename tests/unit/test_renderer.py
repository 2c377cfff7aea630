"""Pictures of patches: each lies over what it was made of, nothing is made up."""

import asyncio
import io

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from dinoserve.domain.geometry import Box, Geometry
from dinoserve.engine.images import ImageLimits
from dinoserve.engine.renderer import MAX_SIDE_PX, PillowRenderer
from dinoserve.errors import ImageDamagedError, ImageTooLargeError
from odd_files import arrow, encoded, oriented, photo

LIMITS = ImageLimits(max_bytes=10**7, max_pixels=10**7, max_side_px=10**4)
SQUASHED = Geometry(
    200, 100, 1, Box(0, 0, 200, 100), Box(0, 0, 64, 64), 64, 64, patch_px=16
)


def colours(rows: int, columns: int, alpha: int = 255) -> NDArray[np.uint8]:
    random = np.random.default_rng(rows * columns)
    rgba = random.integers(0, 256, (rows, columns, 4), dtype=np.uint8)
    rgba[..., 3] = alpha
    return rgba


async def drawn(
    rgba: NDArray[np.uint8], geometry: Geometry, picture: bytes | None = None
) -> NDArray[np.uint8]:
    data = await PillowRenderer(LIMITS).png(rgba, geometry, picture)
    with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
        return np.asarray(image)


def middle(box: Box) -> tuple[int, int]:
    return int((box.top + box.bottom) / 2), int((box.left + box.right) / 2)


@pytest.mark.parametrize(
    "geometry",
    [
        SQUASHED,
        Geometry(200, 100, 1, Box(0, 0, 200, 100), Box(0, 16, 64, 48), 64, 64, 16),
        Geometry(200, 100, 1, Box(50, 0, 150, 100), Box(0, 0, 64, 64), 64, 64, 16),
    ],
    ids=["squash", "letterbox", "crop"],
)
async def test_every_patch_lies_over_what_it_was_made_of(geometry: Geometry) -> None:
    rgba = colours(4, 4)

    pixels = await drawn(rgba, geometry)

    assert pixels.shape == (100, 200, 4)
    for row, column in np.ndindex(4, 4):
        y, x = middle(geometry.patch_box(row, column))
        if 0 <= y < 100:
            assert pixels[y, x].tolist() == rgba[row, column].tolist()


async def test_what_the_framing_cut_off_stays_clear() -> None:
    geometry = Geometry(
        200, 100, 1, Box(50, 0, 150, 100), Box(0, 0, 64, 64), 64, 64, 16
    )

    pixels = await drawn(colours(4, 4), geometry)

    assert not pixels[:, :50].any()
    assert not pixels[:, 150:].any()
    assert np.all(pixels[:, 50:150, 3] == 255)


async def test_a_large_picture_is_drawn_at_a_bounded_size() -> None:
    whole = Box(0, 0, 8000, 2000)
    geometry = Geometry(8000, 2000, 1, whole, Box(0, 0, 64, 16), 64, 16, 16)

    pixels = await drawn(colours(1, 4), geometry)

    assert pixels.shape == (MAX_SIDE_PX // 4, MAX_SIDE_PX, 4)


async def test_the_thinnest_picture_is_drawn() -> None:
    whole = Box(0, 0, 9000, 1)
    geometry = Geometry(9000, 1, 1, whole, Box(0, 0, 64, 64), 64, 64, 16)

    assert (await drawn(colours(4, 4), geometry)).shape == (1, MAX_SIDE_PX, 4)


async def test_clear_patches_leave_the_picture_as_it_is() -> None:
    picture = photo(1, 200, 100, "PNG")

    pixels = await drawn(colours(4, 4, alpha=0), SQUASHED, picture)

    with Image.open(io.BytesIO(picture)) as image:
        assert np.array_equal(pixels, np.asarray(image))


async def test_opaque_patches_hide_the_picture() -> None:
    rgba = colours(4, 4)

    over = await drawn(rgba, SQUASHED, photo(1, 200, 100))
    alone = await drawn(rgba, SQUASHED)

    assert np.array_equal(over, alone[..., :3])


async def test_alpha_is_how_much_of_the_picture_is_hidden() -> None:
    grey = encoded(Image.new("RGB", (200, 100), (100, 100, 100)), "PNG")
    red = np.tile(np.array([200, 0, 0, 128], np.uint8), (4, 4, 1))

    pixels = await drawn(red, SQUASHED, grey)

    assert np.abs(pixels.astype(int) - [150, 50, 50]).max() <= 1


async def test_the_picture_below_stands_upright() -> None:
    upright = arrow().transpose(Image.Transpose.ROTATE_270)
    width, height = upright.size
    whole = Box(0, 0, width, height)
    geometry = Geometry(width, height, 6, whole, Box(0, 0, 16, 16), 16, 16, 16)

    pixels = await drawn(colours(1, 1, alpha=0), geometry, oriented(6))

    assert np.array_equal(pixels, np.asarray(upright))


async def test_a_damaged_picture_is_refused() -> None:
    with pytest.raises(ImageDamagedError):
        await drawn(colours(4, 4), SQUASHED, photo(1, 200, 100)[:500])


async def test_a_picture_beyond_the_limits_is_refused() -> None:
    renderer = PillowRenderer(ImageLimits(10**7, 10**7, max_side_px=150))

    with pytest.raises(ImageTooLargeError):
        await renderer.png(colours(4, 4), SQUASHED, photo(1, 200, 100))


async def test_drawing_leaves_the_event_loop_free() -> None:
    work = asyncio.create_task(drawn(colours(4, 4), SQUASHED, photo(1, 900, 900)))

    turns = 0
    while not work.done():
        await asyncio.sleep(0)
        turns += 1

    assert turns > 2  # drawn in the loop, it would be done after the first
