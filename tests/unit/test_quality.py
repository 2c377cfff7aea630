"""What is measured of a picture: known values, and what distortions do to them."""

import io
from dataclasses import astuple
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from dinoserve.domain.quality import Quality, measure, scaled_luma
from dinoserve.domain.quality_detail import blur_map
from dinoserve.domain.quality_light import luma
from dinoserve.domain.scaling import averaged, shrunk

PICTURES = Path(__file__).parents[1] / "pictures"
Picture = NDArray[np.uint8]


def photo(name: str = "chelsea", width: int = 500) -> Image.Image:
    image = Image.open(PICTURES / f"{name}.jpg").convert("RGB")
    return image.resize((width, round(image.height * width / image.width)))


def of(image: Image.Image) -> Quality:
    return measure(np.asarray(image))


def plain(*colour: int, height: int = 40, width: int = 60) -> Picture:
    return np.full((height, width, 3), colour, np.uint8)


def as_jpeg(image: Image.Image, quality: int) -> Image.Image:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return Image.open(file, formats=["JPEG"]).convert("RGB")


def noisy(image: Image.Image, sigma: float) -> Image.Image:
    pixels = np.asarray(image).astype(np.float64)
    grain = np.random.default_rng(1).normal(0, sigma, pixels.shape[:2])
    values = np.clip(np.rint(pixels + grain[..., None]), 0, 255)
    return Image.fromarray(values.astype(np.uint8))


def planes_of(picture: Picture) -> Picture:
    return np.ascontiguousarray(np.moveaxis(picture, 2, 0))


def test_size_and_aspect_are_of_the_picture() -> None:
    found = measure(plain(9, 9, 9, height=40, width=160))
    assert (found.width, found.height, found.shortest_side) == (160, 40, 40)
    assert (found.aspect, found.megapixels) == (0.25, 0.0064)


def test_a_white_picture_is_bright_flat_and_clipped() -> None:
    found = measure(plain(255, 255, 255))
    assert found.brightness_p1 == found.brightness_mean == 1
    assert (found.clipped_lights, found.clipped_shadows) == (1, 0)
    assert found.contrast == found.entropy == found.noise == found.sharpness == 0
    assert (found.colourfulness, found.channel_spread) == (0, 0)


def test_a_black_picture_is_clipped_in_the_shadows() -> None:
    found = measure(plain(0, 0, 0))
    assert (found.brightness_p99, found.clipped_shadows, found.clipped) == (0, 1, 1)


def test_black_beside_white_has_the_greatest_contrast_and_one_bit() -> None:
    half = np.concatenate([plain(0, 0, 0), plain(255, 255, 255)])
    found = measure(half)
    assert found.contrast == pytest.approx(0.5)
    assert found.entropy == pytest.approx(1)


def test_brightness_percentiles_are_those_of_every_pixel() -> None:
    pixels = np.asarray(photo()).astype(np.float64)
    weighted = pixels**2 @ [0.241, 0.691, 0.068]
    expected = np.percentile(np.sqrt(weighted) / 255, [1, 5, 50, 95, 99])
    found = of(photo())
    told = [getattr(found, f"brightness_p{at}") for at in (1, 5, 50, 95, 99)]
    assert np.abs(told - expected).max() < 2e-4


def test_colourfulness_of_two_opposed_colours_is_the_formulas() -> None:
    picture = np.concatenate([plain(255, 0, 0), plain(0, 255, 0)])
    # rg is ±255, yb 127.5 throughout.
    expected = 255 + 0.3 * 127.5
    assert measure(picture).colourfulness == pytest.approx(expected, abs=0.01)


def test_the_spread_of_channels_is_that_of_the_most_colourful_pixel() -> None:
    picture = plain(90, 90, 90)
    picture[3, 4] = (90, 40, 60)
    assert measure(picture).channel_spread == 50


@pytest.mark.parametrize("sigma", [5, 10, 20])
def test_noise_is_found_again(sigma: float) -> None:
    flat = Image.fromarray(plain(128, 128, 128, height=300, width=400))
    assert of(noisy(flat, sigma)).noise == pytest.approx(sigma, rel=0.05)


def test_noise_of_a_photograph_rises_with_what_is_added() -> None:
    clean = of(photo("coffee")).noise
    assert (
        clean
        < of(noisy(photo("coffee"), 6)).noise
        < of(noisy(photo("coffee"), 18)).noise
    )


def test_a_blurred_picture_has_more_blur_and_less_sharpness() -> None:
    images = [photo()] + [
        photo().filter(ImageFilter.GaussianBlur(radius)) for radius in (1, 2, 4)
    ]
    found = [of(image) for image in images]
    blur = [each.blur for each in found]
    sharpness = [each.sharpness for each in found]
    assert blur == sorted(blur)
    assert sharpness == sorted(sharpness, reverse=True)
    assert blur[0] < 0.45
    assert blur[-1] > 0.65


def test_a_picture_twice_as_large_is_told_alike() -> None:
    small, large = of(photo("coffee", 520)), of(photo("coffee", 600))
    assert large.sharpness == pytest.approx(small.sharpness, rel=0.2)
    assert large.blur == pytest.approx(small.blur, abs=0.05)


def test_blocks_show_more_the_stronger_a_picture_is_compressed() -> None:
    found = [of(as_jpeg(photo(), quality)).blockiness for quality in (95, 30, 5)]
    assert found[0] < 0.1
    assert found == sorted(found)
    assert found[-1] > 1


def test_blocks_are_found_wherever_their_grid_begins() -> None:
    strong = as_jpeg(photo(), 10)
    cropped = strong.crop((3, 5, strong.width, strong.height))
    assert of(cropped).blockiness == pytest.approx(of(strong).blockiness, rel=0.1)


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1), (2, 2), (3, 3), (9, 17)])
def test_the_smallest_pictures_are_measured(shape: tuple[int, int]) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    assert np.isfinite(astuple(measure(picture))).all()


def test_a_large_picture_is_measured_as_its_parts_are_put_together() -> None:
    tile = np.asarray(photo("coffee", 600))
    large = np.tile(tile, (3, 3, 1))
    whole, part = measure(large), measure(tile)
    assert whole.brightness_p50 == pytest.approx(part.brightness_p50, abs=1e-3)
    assert whole.contrast == pytest.approx(part.contrast, abs=1e-6)
    assert whole.colourfulness == pytest.approx(part.colourfulness, rel=1e-4)
    assert whole.noise == pytest.approx(part.noise, rel=0.05)


def test_luma_is_that_of_pillow() -> None:
    image = photo("astronaut")
    expected = np.asarray(image.convert("L"))
    assert np.array_equal(luma(planes_of(np.asarray(image))), expected)


@pytest.mark.parametrize("size", [(64, 48), (7, 200), (333, 222)])
def test_what_is_shrunk_is_what_pillow_makes_of_it(size: tuple[int, int]) -> None:
    image = photo("astronaut", 500)
    expected = np.asarray(image.resize(size)).astype(int)
    found = np.moveaxis(shrunk(planes_of(np.asarray(image)), size[1], size[0]), 0, 2)
    assert np.abs(found - expected).max() <= 1
    assert (found != expected).mean() < 5e-3


def test_means_over_areas_keep_the_mean_and_whole_blocks() -> None:
    plane = np.random.default_rng(3).integers(0, 256, (60, 90), dtype=np.uint8)
    blocks = plane.reshape(20, 3, 30, 3).mean((1, 3))
    np.testing.assert_allclose(averaged(plane, 30), blocks, atol=1e-3)
    assert averaged(plane, 41).mean() == pytest.approx(plane.mean(), abs=1e-3)


def test_the_map_is_blurred_where_the_picture_is() -> None:
    image = photo("astronaut", 512)
    half = image.crop((0, 0, 256, image.height)).filter(ImageFilter.GaussianBlur(6))
    image.paste(half, (0, 0))
    values = blur_map(scaled_luma(np.asarray(image)))
    left, right = values[:, :15], values[:, 17:]
    assert np.nanmedian(left) > np.nanmedian(right) + 0.2


def test_cells_without_detail_have_no_blur() -> None:
    values = blur_map(scaled_luma(plain(80, 80, 80, height=100, width=70)))
    assert values.shape == (7, 5)
    assert np.isnan(values).all()
