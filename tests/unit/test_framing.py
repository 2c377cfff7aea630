"""Framing: what may be asked for, and the input that it makes of a picture."""

import pytest

from dinoserve.domain.framing import (
    MAX_INPUT_PATCHES,
    Fit,
    Framing,
    check_framing,
    lay_out,
    read_framing,
)
from dinoserve.domain.geometry import Box
from dinoserve.errors import InvalidInputError


@pytest.mark.parametrize(
    ("size", "fit", "expected"),
    [
        ("224", None, ("224x224", "squash")),
        ("512x768", None, ("512x768", "squash")),
        ("512x768", "letterbox", ("512x768", "letterbox")),
        ("64", "crop", ("64x64", "crop")),
        ("short:512", None, ("short:512", "round")),
        ("long:512", "round", ("long:512", "round")),
    ],
)
def test_a_size_has_one_spelling_and_a_fit_of_its_kind(
    size: str, fit: str | None, expected: tuple[str, str]
) -> None:
    assert read_framing(size, fit) == expected


@pytest.mark.parametrize(
    "size",
    [
        *("", "0", "-1", "1.5", "0224", "1e3", "224 ", " 224", "224\n", "٢٢٤", "224px"),
        *("224x", "x224", "224x0", "1x2x3", "224X224", "224*224", "123456", "auto"),
        *("short:", "short:0", "short:1x2", "Short:512", "side:512", "long:-512"),
    ],
)
def test_what_is_no_size_is_refused_with_its_text(size: str) -> None:
    with pytest.raises(InvalidInputError, match="short:512") as caught:
        read_framing(size)
    assert caught.value.extra == {"field": "size", "value": size}


def test_a_refusal_repeats_only_the_beginning_of_a_long_text() -> None:
    with pytest.raises(InvalidInputError) as caught:
        read_framing("9" * 1000)
    assert caught.value.extra["value"] == "9" * 80


@pytest.mark.parametrize(
    ("size", "fit", "fits"),
    [
        ("224", "round", ["squash", "letterbox", "crop"]),
        ("224", "stretch", ["squash", "letterbox", "crop"]),
        ("224", "", ["squash", "letterbox", "crop"]),
        ("short:512", "crop", ["round"]),
        ("long:512", "squash", ["round"]),
    ],
)
def test_a_fit_that_does_not_go_with_the_size_is_refused(
    size: str, fit: str, fits: list[str]
) -> None:
    with pytest.raises(InvalidInputError, match=fits[0]) as caught:
        read_framing(size, fit)
    assert caught.value.extra == {"field": "fit", "limit": fits, "value": fit}


@pytest.mark.parametrize("size", ["225", "224x225", "225x224", "16x100"])
def test_a_fixed_size_must_suit_the_stride(size: str) -> None:
    with pytest.raises(InvalidInputError, match="multiples of 16") as caught:
        check_framing(Framing(size, "squash"), 16)
    assert (caught.value.extra["field"], caught.value.extra["limit"]) == ("size", 16)


def test_48_suits_a_vit_but_not_a_convnext() -> None:
    framing = Framing("48", "crop")
    assert check_framing(framing, 16) == ("48x48", "crop")
    with pytest.raises(InvalidInputError, match="multiples of 32"):
        check_framing(framing, 32)


def test_a_fixed_size_has_a_bounded_number_of_patches() -> None:
    assert check_framing(Framing("4096", "squash"), 16).size == "4096x4096"
    with pytest.raises(InvalidInputError, match="65536 are allowed") as caught:
        check_framing(Framing("4096x4112", "squash"), 16)
    told = {"field": "size", "limit": MAX_INPUT_PATCHES, "value": 256 * 257}
    assert caught.value.extra == told


def test_an_extreme_aspect_has_a_bounded_number_of_patches() -> None:
    with pytest.raises(InvalidInputError, match="512 x 8388608 pixels") as caught:
        lay_out(Framing("short:512", "round"), 16_384, 1, 16)
    told = {"field": "size", "limit": MAX_INPUT_PATCHES, "value": 32 * 524_288}
    assert caught.value.extra == told


@pytest.mark.parametrize(
    ("size", "image", "stride", "expected"),
    [
        ("short:512", (500, 375), 16, (688, 512)),  # 682.7 is nearer to 688
        ("short:512", (375, 500), 16, (512, 688)),
        ("short:512", (500, 375), 32, (672, 512)),  # and to 672 in steps of 32
        ("long:512", (500, 375), 16, (512, 384)),
        ("short:500", (640, 640), 16, (496, 496)),
        ("short:24", (100, 100), 16, (32, 32)),  # 1.5 patches: a half goes up
        ("short:8", (100, 100), 16, (16, 16)),
        ("short:7", (100, 100), 16, (16, 16)),  # at least one
        ("long:512", (1000, 1), 16, (512, 16)),
        ("long:512", (1, 16_384), 32, (32, 512)),
    ],
)
def test_an_aspect_is_kept_but_for_rounding_each_side_to_the_stride(
    size: str, image: tuple[int, int], stride: int, expected: tuple[int, int]
) -> None:
    geometry = lay_out(read_framing(size), *image, stride)
    assert (geometry.width, geometry.height) == expected
    assert geometry.source == Box(0, 0, *image)
    assert geometry.content == Box(0, 0, *expected)


@pytest.mark.parametrize(
    ("fit", "image", "source", "content"),
    [
        ("squash", (500, 375), Box(0, 0, 500, 375), Box(0, 0, 96, 64)),
        ("letterbox", (500, 375), Box(0, 0, 500, 375), Box(5, 0, 90, 64)),
        ("letterbox", (500, 100), Box(0, 0, 500, 100), Box(0, 22, 96, 41)),
        ("letterbox", (1, 1), Box(0, 0, 1, 1), Box(16, 0, 80, 64)),
        ("letterbox", (5000, 1), Box(0, 0, 5000, 1), Box(0, 31, 96, 32)),
        ("crop", (500, 375), Box(0, 21, 500, 354), Box(0, 0, 96, 64)),
        ("crop", (500, 100), Box(175, 0, 325, 100), Box(0, 0, 96, 64)),
        ("crop", (5000, 1), Box(2499, 0, 2501, 1), Box(0, 0, 96, 64)),
        ("crop", (1, 5000), Box(0, 2499, 1, 2500), Box(0, 0, 96, 64)),
    ],
)
def test_a_fixed_size_of_64_x_96_is_filled_as_the_fit_says(
    fit: Fit, image: tuple[int, int], source: Box, content: Box
) -> None:
    geometry = lay_out(Framing("64x96", fit), *image, 16)
    assert (geometry.source, geometry.content) == (source, content)
    assert (geometry.rows, geometry.columns) == (4, 6)


def test_a_layout_keeps_the_picture_as_it_was_told() -> None:
    geometry = lay_out(Framing("64", "squash"), 30, 20, 16, orientation=6)
    told = (geometry.image_width, geometry.image_height, geometry.orientation)
    assert told == (30, 20, 6)


def test_a_layout_takes_nothing_that_is_no_framing() -> None:
    with pytest.raises(InvalidInputError, match="fit is one of: round"):
        lay_out(Framing("short:64", "crop"), 30, 20, 16)
