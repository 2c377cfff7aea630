"""The baselines: vectors of pictures without a model."""

import numpy as np
import pytest
from numpy.typing import NDArray

from dinoserve.domain.baselines import colour_histogram, perceptual_hash
from dinoserve.domain.fingerprints import look_of


def noise(seed: int, height: int = 60, width: int = 90) -> NDArray[np.uint8]:
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (6, 9, 3), np.uint8)
    return np.kron(coarse, np.ones((10, 10, 1), np.uint8))[:height, :width]


def test_a_histogram_has_unit_length_and_counts_where_colours_are() -> None:
    picture = np.zeros((8, 8, 3), np.uint8)
    picture[:, 4:] = (255, 0, 128)
    vector = colour_histogram(picture)
    shares = (vector.astype(np.float64) ** 2).reshape(16, 64)
    assert vector.shape == (1024,)
    assert np.linalg.norm(vector) == pytest.approx(1)
    # Red 3, green 0, blue 2 of 4 levels; the two right columns of cells.
    assert (
        shares[:, 3 * 16 + 2].reshape(4, 4).tolist()
        == [pytest.approx([0, 0, 1 / 16, 1 / 16])] * 4
    )


def test_a_mirrored_picture_has_its_colours_elsewhere() -> None:
    picture = noise(1)
    same = colour_histogram(picture) @ colour_histogram(picture.copy())
    other = colour_histogram(picture) @ colour_histogram(picture[:, ::-1])
    assert same == pytest.approx(1, abs=1e-5)
    assert other < 0.9


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (3, 2), (5, 60)])
def test_pictures_smaller_than_the_grid_have_a_histogram(
    size: tuple[int, int],
) -> None:
    assert np.linalg.norm(colour_histogram(noise(2, *size))) == pytest.approx(1)


def test_products_of_hashes_tell_the_bits_that_differ() -> None:
    left, right = noise(3), noise(4)
    looks = look_of(left), look_of(right)
    assert looks[0] is not None
    assert looks[1] is not None
    differing = (looks[0] ^ looks[1]).bit_count()
    product = perceptual_hash(left) @ perceptual_hash(right)
    assert 0 < differing < 64
    assert product == pytest.approx(1 - differing / 32)


def test_a_flat_picture_is_like_nothing() -> None:
    flat = np.full((40, 40, 3), 128, np.uint8)
    assert perceptual_hash(flat) @ perceptual_hash(flat) == 0
