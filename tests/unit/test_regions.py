"""Patches pooled into regions, and parts cut out of pictures."""

import json

import numpy as np
import pytest

from dinoserve.domain.framing import Framing, lay_out
from dinoserve.domain.geometry import Box, Geometry
from dinoserve.domain.matching import unit_patches
from dinoserve.domain.regions import (
    MAX_REGIONS,
    Regions,
    box_of,
    cut,
    mean_look,
    method_of,
    pooled,
)

WIDE = lay_out(Framing("224x224", "letterbox"), 448, 224, 16)
SQUARE = lay_out(Framing("224x224", "squash"), 448, 224, 16)


def two_halves(width: int = 8) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """Patches that look one way on the left, and another on the right."""
    patches = np.zeros((14, 14, width), np.float32)
    patches[:, :7, 0] = 3.0
    patches[:, 7:, 1] = 5.0
    return patches


def test_no_region_holds_patches_that_look_unlike() -> None:
    found = pooled(two_halves(), SQUARE)
    assert np.allclose(np.abs(found.vectors).max(axis=1), 1, atol=1e-6)
    for vector, box in zip(found.vectors, found.boxes, strict=True):
        assert (box[2] <= 224) if vector[0] > 0.5 else (box[0] >= 224)


def test_regions_are_few_and_of_unit_length() -> None:
    patches = np.random.default_rng(1).standard_normal((14, 14, 32)).astype(np.float32)
    found = pooled(patches, SQUARE)
    assert 1 < len(found.vectors) <= MAX_REGIONS
    assert np.allclose(np.linalg.norm(found.vectors, axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("geometry", [WIDE, SQUARE])
def test_boxes_lie_inside_the_picture(geometry: Geometry) -> None:
    patches = np.random.default_rng(1).standard_normal((14, 14, 32)).astype(np.float32)
    boxes = pooled(patches, geometry).boxes
    assert (boxes >= 0).all()
    assert (boxes[:, 2:] <= [448, 224]).all()
    assert (boxes[:, :2] < boxes[:, 2:]).all()


@pytest.mark.parametrize("width", [192, 384, 1024, 1280, 4096])
def test_what_is_kept_fits_a_trait(width: int) -> None:
    patches = np.random.default_rng(1).standard_normal((14, 14, width))
    values = pooled(patches.astype(np.float32), SQUARE).to_json()
    assert len(json.dumps(values)) <= 64 * 1024


def test_what_was_kept_comes_back_but_for_rounding() -> None:
    patches = np.random.default_rng(1).standard_normal((14, 14, 32)).astype(np.float32)
    found = pooled(patches, SQUARE)
    again = Regions.read(json.loads(json.dumps(found.to_json())))
    assert np.allclose(again.vectors, found.vectors, atol=1e-3)
    assert np.allclose(again.boxes, found.boxes, atol=0.06)


def test_the_best_region_is_told_with_its_box() -> None:
    vectors = np.eye(3, dtype=np.float32)
    boxes = np.arange(12, dtype=np.float32).reshape(3, 4)
    score, box = Regions(vectors, boxes).best(vectors[1])
    assert (score, box) == (1.0, Box(4, 5, 6, 7))


def test_the_look_of_a_part_is_the_mean_of_its_patches() -> None:
    patches = two_halves()
    mask = np.zeros((14, 14), np.bool_)
    mask[0, 6:8] = True
    wanted = unit_patches(np.array([[1, 1, 0, 0, 0, 0, 0, 0]], np.float32))[0]
    assert np.allclose(mean_look(patches, mask), wanted)


def test_a_recipe_has_a_method_of_its_own() -> None:
    assert method_of("a" * 16) != method_of("b" * 16)


def test_every_pixel_that_a_box_touches_is_cut_out() -> None:
    picture = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    assert np.array_equal(cut(picture, Box(0.5, 1, 2.5, 2), None), picture[1:2, 0:3])


def test_what_a_mask_leaves_out_is_like_nothing() -> None:
    picture = np.full((2, 2, 3), 9, np.uint8)
    mask = np.array([[True, False], [True, True]])
    part = cut(picture, Box(0, 0, 2, 2), mask)
    assert part[0, 1].tolist() == [124, 116, 104]
    assert (part[mask] == 9).all()


def test_a_large_part_is_scaled_to_1024_pixels() -> None:
    picture = np.full((30, 3000, 3), 7, np.uint8)
    part = cut(picture, Box(0, 0, 3000, 30), None)
    assert part.shape == (10, 1024, 3)
    assert (part == 7).all()


def test_the_box_of_a_mask_holds_all_of_it() -> None:
    mask = np.zeros((5, 6), np.bool_)
    mask[1, 2] = mask[3, 4] = True
    assert box_of(mask) == Box(2, 1, 5, 4)
