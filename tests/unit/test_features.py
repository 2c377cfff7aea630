"""Tokens by name, principal components, foreground, colours and cosine maps."""

import numpy as np
import pytest

from dinoserve.domain.features import (
    Tokens,
    component_colours,
    cosine_map,
    fits_float16,
    foregrounds,
    heat_colours,
    mean_of,
    parts_of,
    principal,
    seen,
    with_alpha,
)
from dinoserve.domain.geometry import Box, Geometry
from dinoserve.domain.places import Place, Point, patches_at
from dinoserve.errors import InvalidInputError


def noise(*shape: int, seed: int = 0) -> Tokens:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def geometry(content: Box, width: int = 64, height: int = 48) -> Geometry:
    return Geometry(640, 480, 1, Box(0, 0, 640, 480), content, width, height, 16)


def test_tokens_are_the_class_the_registers_and_the_patches_row_by_row() -> None:
    tokens = noise(1 + 4 + 6, 5)

    parts = parts_of(tokens, registers=4, rows=2, columns=3)

    assert np.array_equal(parts.cls, tokens[0])
    assert np.array_equal(parts.registers, tokens[1:5])
    assert np.array_equal(parts.patches[1, 2], tokens[10])
    assert np.shares_memory(parts.patches, tokens)


def test_a_patch_is_seen_if_its_centre_is_in_the_picture() -> None:
    mask = seen(geometry(Box(8, 16, 41, 32)))

    assert mask.tolist() == [
        [False, False, False, False],
        [True, True, True, False],
        [False, False, False, False],
    ]


def test_the_mean_of_patches_is_taken_by_dimension() -> None:
    assert mean_of(np.array([[1, 5], [3, 7]], np.float32)).tolist() == [2, 6]


@pytest.mark.parametrize(
    ("value", "fits"), [(65_504, True), (-65_504, True), (65_520, False), (-7e4, False)]
)
def test_float16_ends_at_65504(value: float, fits: bool) -> None:  # noqa: FBT001 - a column of the table
    assert fits_float16(np.array([0, value], np.float32)) is fits


@pytest.mark.parametrize("patches", [6, 300])
def test_the_components_are_those_of_a_singular_value_decomposition(
    patches: int,
) -> None:
    values = noise(patches, 20) * np.linspace(1, 5, 20, dtype=np.float32)

    basis = principal(values)

    _, lengths, rows = np.linalg.svd(values - values.mean(axis=0))
    assert np.abs(np.sum(basis.components * rows[:3], axis=1)) == pytest.approx(1)
    assert basis.explained == pytest.approx(lengths[:3] ** 2 / np.sum(lengths**2))


def test_the_greatest_entry_of_a_component_is_positive() -> None:
    components = principal(noise(50, 8)).components

    greatest = np.argmax(np.abs(components), axis=1)
    assert np.all(components[np.arange(3), greatest] > 0)


@pytest.mark.parametrize("scale", [1e-30, 1e15])
def test_components_do_not_depend_on_the_scale(scale: float) -> None:
    values = noise(20, 5)

    scaled = principal(values * np.float32(scale))

    own = principal(values)
    assert scaled.explained == pytest.approx(own.explained)
    assert scaled.components == pytest.approx(own.components, abs=1e-4)


def test_patches_that_are_all_alike_have_no_components() -> None:
    basis = principal(np.full((9, 4), 2.5, np.float32))

    assert not basis.components.any()
    assert not basis.explained.any()


def test_patches_on_a_line_have_one_component() -> None:
    steps = np.arange(10, dtype=np.float32)[:, None]

    basis = principal(steps * np.array([3, 0, -4, 0], np.float32))

    assert basis.components[0] == pytest.approx([-0.6, 0, 0.8, 0], abs=1e-6)
    assert basis.explained == pytest.approx([1, 0, 0])
    assert not basis.components[1:].any()


def disc(sign: int) -> Tokens:
    scores = np.full((7, 9), -sign, np.float32)
    scores[2:5, 3:6] = sign
    return scores


@pytest.mark.parametrize("sign", [1, -1])
def test_the_foreground_is_the_side_that_keeps_off_the_edges(sign: int) -> None:
    scores = disc(sign)

    [mask] = foregrounds([scores], [np.ones((7, 9), np.bool_)])

    assert np.array_equal(mask, scores == sign)


def test_padding_is_neither_an_edge_nor_foreground() -> None:
    scores = disc(1)
    visible = np.zeros((7, 9), np.bool_)
    visible[1:6, :] = True
    scores[~visible] = 1  # were padding counted, this side would have the edges

    [mask] = foregrounds([scores], [visible])

    assert np.array_equal(mask, disc(1) == 1)


def test_if_nothing_varies_everything_is_foreground() -> None:
    visible = np.ones((2, 3), np.bool_)

    [mask] = foregrounds([np.zeros((2, 3), np.float32)], [visible])

    assert mask.all()


def test_a_component_is_spread_from_its_1st_to_its_99th_percentile() -> None:
    scores = np.zeros((1, 101, 3), np.float32)
    scores[0, :, 0] = np.arange(101)
    scores[0, :, 1] = -np.arange(101)

    [colours] = component_colours([scores], [np.ones((1, 101), np.bool_)])

    assert colours[0, [0, 1, 50, 99, 100], 0].tolist() == [0, 0, 128, 255, 255]
    assert colours[0, [0, 1, 50, 99, 100], 1].tolist() == [255, 255, 128, 0, 0]
    assert np.all(colours[..., 2] == 128)


def test_colours_of_two_pictures_share_one_scale() -> None:
    low, high = np.zeros((1, 100, 3), np.float32), np.ones((1, 100, 3), np.float32)
    shown = np.ones((1, 100), np.bool_)

    dark, light = component_colours([low, high], [shown, shown])

    assert np.all(dark[..., :3] == 0)
    assert np.all(light[..., :3] == 255)


def test_what_is_not_shown_is_clear_and_black() -> None:
    shown = np.array([[True, False]])

    colours = with_alpha(np.full((1, 2, 3), 7, np.uint8), shown, 200)

    assert colours.tolist() == [[[7, 7, 7, 200], [0, 0, 0, 0]]]


def test_heat_grows_lighter_with_every_step() -> None:
    values = np.linspace(-0.3, 0.9, 40, dtype=np.float32)[None]

    rgb = heat_colours(values, np.ones((1, 40), np.bool_))[0].astype(float)

    lightness = rgb @ [0.2126, 0.7152, 0.0722]  # ITU-R BT.709
    assert np.all(np.diff(lightness) > 0)
    assert rgb[0].tolist() == [0x44, 0x01, 0x54]
    assert rgb[-1].tolist() == [0xFD, 0xE7, 0x25]


def test_heat_is_scaled_by_what_is_shown() -> None:
    values = np.array([[0, 1, 9]], np.float32)

    rgb = heat_colours(values, np.array([[True, True, False]]))

    assert rgb[0, 1].tolist() == [0xFD, 0xE7, 0x25]


def test_a_cosine_map_compares_directions_only() -> None:
    patches = np.array([[[2, 0], [0, 3]], [[-5, 0], [1, 1]]], np.float32)

    cosines = cosine_map(np.array([7, 0], np.float32), patches)

    assert cosines == pytest.approx(np.array([[1, 0], [-1, 0.5**0.5]]))


def test_a_vector_of_zeros_is_like_nothing() -> None:
    patches = np.array([[[0, 0], [1, 0]]], np.float32)

    assert cosine_map(np.ones(2, np.float32), patches)[0, 0] == 0
    assert not cosine_map(np.zeros(2, np.float32), patches).any()


HALF = Geometry(200, 100, 1, Box(50, 0, 150, 100), Box(0, 0, 64, 64), 64, 64, 16)
"""The middle of a picture of 200 x 100, cut out: patches of 25 x 25 of its pixels."""


@pytest.mark.parametrize(
    ("place", "patches"),
    [
        (Point(50, 0), [[0, 0]]),
        (Point(149.9, 99.9), [[3, 3]]),
        (Box(80, 30, 90, 40), [[1, 1]]),
        (Box(75, 25, 125, 50), [[1, 1], [1, 2]]),
        (Box(74, 25, 126, 51), [[r, c] for r in (1, 2) for c in range(4)]),
        (Box(0, 0, 51, 1), [[0, 0]]),
    ],
)
def test_a_place_is_the_patch_of_a_point_or_all_that_a_box_overlaps(
    place: Place, patches: list[list[int]]
) -> None:
    assert np.argwhere(patches_at(place, HALF)).tolist() == patches


@pytest.mark.parametrize(
    "place", [Point(49, 50), Point(150, 50), Box(0, 0, 50, 100), Box(150, 0, 200, 9)]
)
def test_a_place_that_was_cut_off_is_refused_with_what_was_seen(place: Place) -> None:
    with pytest.raises(InvalidInputError, match="cuts off") as caught:
        patches_at(place, HALF)
    assert caught.value.extra["limit"] == [50, 0, 150, 100]


@pytest.mark.parametrize(
    "place",
    [Point(200, 5), Point(5, -1), Box(60, 9, 60, 20), Box(0, 0, 201, 9)],
)
def test_a_place_outside_the_picture_is_refused_with_its_size(place: Place) -> None:
    with pytest.raises(InvalidInputError, match="200 x 100") as caught:
        patches_at(place, HALF)
    assert caught.value.extra["limit"] == [200, 100]
