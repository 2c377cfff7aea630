"""Distortions: what each does to a picture, whatever picture it is."""

import io
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from dinoserve.engine.distortions import DISTORTIONS, distort
from dinoserve.engine.images import ImageLimits, decode
from dinoserve.errors import ImageUnsupportedError
from odd_files import photo

LIMITS = ImageLimits(max_bytes=2**25, max_pixels=10**7, max_side_px=10**4)
PHOTO = Path(__file__).parents[1] / "pictures" / "chelsea.jpg"


def pixels_of(image: bytes) -> NDArray[np.int16]:
    return decode(image, LIMITS).rgb.astype(np.int16)


def distorted(name: str) -> tuple[NDArray[np.int16], NDArray[np.int16]]:
    image = PHOTO.read_bytes()
    return pixels_of(image), pixels_of(distort(image, name, LIMITS))


@pytest.mark.parametrize("name", [*DISTORTIONS])
@pytest.mark.parametrize("size", [(1, 1), (1, 40), (40, 1), (3, 2), (301, 200)])
def test_a_picture_of_any_size_comes_out_as_a_picture(
    name: str, size: tuple[int, int]
) -> None:
    assert pixels_of(distort(photo(1, *size), name, LIMITS)).size > 0


@pytest.mark.parametrize("name", [*DISTORTIONS])
def test_the_same_picture_comes_out_the_same_and_changed(name: str) -> None:
    image = PHOTO.read_bytes()
    first = distort(image, name, LIMITS)
    assert first == distort(image, name, LIMITS)
    before, after = pixels_of(image), pixels_of(first)
    assert before.shape != after.shape or np.abs(before - after).mean() > 1


def test_jpeg_leaves_a_small_file_of_the_same_picture() -> None:
    image = PHOTO.read_bytes()
    assert len(distort(image, "jpeg", LIMITS)) < len(image) / 3
    before, after = distorted("jpeg")
    assert before.shape == after.shape
    assert np.abs(before - after).mean() < 10


def test_a_crop_is_the_middle_with_60_percent_of_the_area() -> None:
    before, after = distorted("crop")
    top, left = (
        (whole - part) // 2
        for whole, part in zip(before.shape[:2], after.shape[:2], strict=True)
    )
    height, width = after.shape[:2]
    assert height * width / (before.shape[0] * before.shape[1]) == pytest.approx(
        0.6, abs=0.01
    )
    assert (after == before[top : top + height, left : left + width]).all()


def test_rotating_turns_by_15_degrees_around_the_middle() -> None:
    before, after = distorted("rotate")
    assert before.shape == after.shape
    assert (after[0, 0] == 0).all()
    turned = Image.fromarray(after.astype(np.uint8)).rotate(-15)
    middle = np.s_[100:200, 150:300]
    back = np.asarray(turned, np.int16)[middle]
    assert np.abs(back - before[middle]).mean() < 12


def test_flipping_mirrors_left_to_right() -> None:
    before, after = distorted("flip")
    assert (after == before[:, ::-1]).all()


def test_an_overlay_covers_15_percent_of_the_height() -> None:
    before, after = distorted("overlay")
    rows = (before != after).any(axis=(1, 2))
    assert rows.mean() == pytest.approx(0.15, abs=0.01)
    assert not rows[: len(rows) // 2].any()


def test_colour_gets_warmer_and_brighter() -> None:
    before, after = distorted("colour")
    changes = (after.mean(axis=(0, 1)) / before.mean(axis=(0, 1))).tolist()
    assert changes[0] > changes[2]
    assert after.mean() > before.mean()


def test_downscaling_leaves_a_sixth_of_either_side() -> None:
    before, after = distorted("downscale")
    assert after.shape[0] == pytest.approx(before.shape[0] / 6, abs=1)
    assert after.shape[1] == pytest.approx(before.shape[1] / 6, abs=1)


def test_what_the_viewer_sees_is_distorted() -> None:
    turned = Image.open(io.BytesIO(PHOTO.read_bytes()))
    exif = Image.Exif()
    exif[0x0112] = 6
    with io.BytesIO() as file:
        turned.save(file, "JPEG", exif=exif)
        image = file.getvalue()
    assert (
        pixels_of(distort(image, "flip", LIMITS)) == pixels_of(image)[:, ::-1]
    ).all()


def test_what_is_no_picture_is_refused() -> None:
    with pytest.raises(ImageUnsupportedError):
        distort(b"no picture", "flip", LIMITS)
