"""What the device resizes is what the CPU prepares."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from dinoserve.domain.framing import Framing, lay_out
from dinoserve.domain.geometry import Geometry
from dinoserve.engine.device_pixels import Upload
from dinoserve.engine.forward import Prepared
from dinoserve.engine.preprocess import (
    SAT_MEAN,
    SAT_STD,
    Preprocessing,
    Rule,
    to_pixels,
)

SQUARE = Framing("224x224", "squash")


def preprocessing(rule: Rule = "hf") -> Preprocessing:
    return Preprocessing(rule, SQUARE, SAT_MEAN, SAT_STD)


def upload(rule: Rule = "hf") -> Upload:
    return Upload(torch.device("cpu"), preprocessing(rule))


def picture(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    noise = np.random.default_rng(seed)
    rgb = noise.integers(0, 256, (height, width, 3), dtype=np.uint8)
    rgb.flags.writeable = False
    return rgb


def laid_out(rgb: NDArray[np.uint8], framing: Framing = SQUARE) -> Geometry:
    height, width, _ = rgb.shape
    return lay_out(framing, width, height, 16)


def as_it_is(rgb: NDArray[np.uint8], framing: Framing = SQUARE) -> Prepared:
    return Prepared(rgb, laid_out(rgb, framing))


def on_the_cpu(rgb: NDArray[np.uint8], framing: Framing = SQUARE) -> Prepared:
    geometry = laid_out(rgb, framing)
    return Prepared(to_pixels(rgb, geometry, preprocessing()), geometry)


@pytest.mark.parametrize(
    "framing",
    [
        SQUARE,
        Framing("96x160", "letterbox"),
        Framing("160x96", "crop"),
        Framing("short:128", "round"),
        Framing("long:256", "round"),
    ],
)
@pytest.mark.parametrize("size", [(375, 500), (500, 375), (1, 1), (7, 90), (224, 224)])
def test_a_picture_is_resized_as_on_the_cpu(
    framing: Framing, size: tuple[int, int]
) -> None:
    rgb = picture(*size)
    expected = on_the_cpu(rgb, framing)
    [ours] = upload()([as_it_is(rgb, framing)]).numpy()
    np.testing.assert_allclose(ours, expected.pixels, rtol=0, atol=1e-5)


def test_pictures_and_pixels_share_a_batch_in_order() -> None:
    pictures = [picture(50 + seed, 70, seed) for seed in range(4)]
    batch = [
        (as_it_is if place % 2 else on_the_cpu)(rgb)
        for place, rgb in enumerate(pictures)
    ]
    expected = [on_the_cpu(rgb).pixels for rgb in pictures]
    ours = upload()(batch).numpy()
    np.testing.assert_allclose(ours, np.stack(expected), rtol=0, atol=1e-5)


def test_pixels_that_are_ready_arrive_unchanged() -> None:
    ready = on_the_cpu(picture(33, 44))
    np.testing.assert_array_equal(upload()([ready]).numpy()[0], ready.pixels)


def test_a_later_batch_leaves_an_earlier_one_alone() -> None:
    bring = upload()
    first = bring([as_it_is(picture(60, 60, 1))])
    before = first.clone()
    bring([as_it_is(picture(90, 90, 2))])
    torch.testing.assert_close(first, before, rtol=0, atol=0)


def test_a_picture_of_four_megapixels_is_resized_on_the_device() -> None:
    assert upload().resizes(laid_out(np.empty((2048, 2048, 3), np.uint8)))


@pytest.mark.parametrize("size", [(2049, 2048), (2, 4000), (4000, 2)])
def test_pictures_too_large_or_too_thin_are_prepared_before(
    size: tuple[int, int],
) -> None:
    assert not upload().resizes(laid_out(np.empty((*size, 3), np.uint8)))


def test_a_rule_that_rounds_is_never_left_to_the_device() -> None:
    assert not upload("readme").resizes(laid_out(picture(60, 60)))
