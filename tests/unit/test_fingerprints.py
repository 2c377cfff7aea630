"""Fingerprints: what changes them, and what does not."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dinoserve.domain.bitmaps import bmp
from dinoserve.domain.fingerprints import (
    TURNS,
    fingerprint,
    look_of,
    near_pairs,
    turned_picture,
)

PICTURES = Path(__file__).parents[1] / "pictures"


def opened(name: str) -> Image.Image:
    return Image.open(PICTURES / f"{name}.jpg").convert("RGB")


def bits_apart(left: Image.Image, right: Image.Image) -> int:
    looks = look_of(np.asarray(left)), look_of(np.asarray(right))
    assert looks[0] is not None
    assert looks[1] is not None
    return (looks[0] ^ looks[1]).bit_count()


def test_the_same_pixels_have_the_same_digest_whatever_the_memory_order() -> None:
    picture = np.asarray(opened("chelsea"))

    assert fingerprint(np.asfortranarray(picture)) == fingerprint(picture)


def test_one_pixel_changes_the_digest() -> None:
    picture = np.asarray(opened("chelsea")).copy()
    before = fingerprint(picture)
    picture[3, 5, 1] ^= 1

    assert fingerprint(picture).pixels != before.pixels


def test_the_same_numbers_in_another_shape_are_other_pixels() -> None:
    wide = np.zeros((2, 8, 3), np.uint8)

    assert fingerprint(wide).pixels != fingerprint(wide.reshape(8, 2, 3)).pixels


def test_a_smaller_copy_keeps_its_hash_nearly() -> None:
    image = opened("coffee")

    assert bits_apart(image, image.resize((image.width // 3, image.height // 3))) <= 3


@pytest.mark.parametrize("other", ["coffee", "rocket", "astronaut"])
def test_another_picture_has_a_hash_far_away(other: str) -> None:
    assert bits_apart(opened("chelsea"), opened(other)) > 20


@pytest.mark.parametrize("level", [0, 128, 255])
def test_a_plain_picture_has_no_hash(level: int) -> None:
    assert look_of(np.full((40, 60, 3), level, np.uint8)) is None


@pytest.mark.parametrize("side", [1, 2, 31, 33])
def test_a_tiny_picture_can_have_a_hash(side: int) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (side, 40, 3), np.uint8)

    assert look_of(noise) is not None


@pytest.mark.parametrize("turn", range(len(TURNS)), ids=TURNS)
def test_a_turned_copy_is_found_with_what_turns_it_back(turn: int) -> None:
    picture = np.asarray(opened("chelsea"))
    other = turned_picture(picture, turn)
    looks = np.array([look_of(picture), look_of(other)], np.uint64)

    [(_, _, distance, back)] = np.stack(near_pairs(looks, 2), axis=1).tolist()

    assert distance == 0
    assert np.array_equal(turned_picture(other, back), picture)


def test_of_many_equal_hashes_each_has_few_pairs_and_all_are_linked() -> None:
    looks = np.full(300, 0x0123456789ABCDEF, np.uint64)

    found = near_pairs(looks, 0)

    assert np.bincount(found.left).max() <= 20
    assert set(range(300)) == {*found.left.tolist(), *found.right.tolist()}


@pytest.mark.parametrize("width", [1, 2, 3, 4, 5])
def test_a_bitmap_is_read_back_as_it_was(width: int) -> None:
    picture = np.random.default_rng(width).integers(0, 256, (3, width, 3), np.uint8)

    image = Image.open(io.BytesIO(bmp(picture)))

    assert image.format == "BMP"
    assert np.array_equal(np.asarray(image.convert("RGB")), picture)
