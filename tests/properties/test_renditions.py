"""Whatever the picture and the parameters: sizes that fit, and nothing distorted."""

from typing import get_args

from hypothesis import given
from hypothesis import strategies as st

from dinoserve.domain.renditions import (
    MAX_QUALITY,
    MAX_SIDE_PX,
    Format,
    Rendition,
    RenditionFit,
    drawing,
    read_rendition,
)
from dinoserve.errors import InvalidInputError

ORIGINALS = st.tuples(st.integers(1, 16_384), st.integers(1, 16_384))
SIDES = st.integers(1, MAX_SIDE_PX)
FITS = st.sampled_from(get_args(RenditionFit))
ASKED = st.builds(Rendition, SIDES, st.none() | SIDES, FITS) | st.builds(
    Rendition, st.none(), SIDES, FITS
)
TEXT = st.text(max_size=6) | st.integers(-5, 5000).map(str)


@given(ASKED, ORIGINALS)
def test_a_rendition_is_never_larger_than_was_asked_for(
    asked: Rendition, original: tuple[int, int]
) -> None:
    drawn = drawing(asked, original, "png")

    assert 1 <= drawn.width <= (asked.width or MAX_SIDE_PX)
    assert 1 <= drawn.height <= (asked.height or MAX_SIDE_PX)


@given(ASKED, ORIGINALS)
def test_what_is_shown_lies_in_the_original(
    asked: Rendition, original: tuple[int, int]
) -> None:
    left, top, right, bottom = drawing(asked, original, "png").source

    assert 0 <= left < right <= original[0]
    assert 0 <= top < bottom <= original[1]


@given(ASKED, ORIGINALS)
def test_nothing_is_distorted_beyond_rounding(
    asked: Rendition, original: tuple[int, int]
) -> None:
    drawn = drawing(asked, original, "png")
    left, top, right, bottom = drawn.source
    sides = ((drawn.width, right - left), (drawn.height, bottom - top))

    # One scale gives both sides, each to the nearest pixel, and one at least.
    lowest = max(0 if side == 1 else (side - 0.5) / length for side, length in sides)
    highest = min((side + 0.5) / length for side, length in sides)
    assert lowest <= highest * (1 + 1e-9)


@given(SIDES, SIDES, ORIGINALS)
def test_cover_fills_exactly_what_was_asked_for(
    width: int, height: int, original: tuple[int, int]
) -> None:
    drawn = drawing(Rendition(width, height, "cover"), original, "png")

    assert (drawn.width, drawn.height) == (width, height)


@given(SIDES, SIDES, ORIGINALS)
def test_contain_shows_everything_and_reaches_one_side(
    width: int, height: int, original: tuple[int, int]
) -> None:
    drawn = drawing(Rendition(width, height, "contain"), original, "png")

    assert drawn.source == (0, 0, *original)
    assert drawn.width == width or drawn.height == height


@given(SIDES, st.none() | SIDES, ORIGINALS)
def test_scale_down_is_contain_that_never_enlarges(
    width: int, height: int | None, original: tuple[int, int]
) -> None:
    down = drawing(Rendition(width, height, "scale-down"), original, "png")
    contained = drawing(Rendition(width, height, "contain"), original, "png")

    is_larger = contained.width > original[0] or contained.height > original[1]
    assert (down.width, down.height) == (
        original if is_larger else (contained.width, contained.height)
    )


@given(
    st.builds(
        Rendition,
        SIDES,
        SIDES,
        FITS,
        st.sampled_from([one for one in get_args(Format) if one != "png"]),
        st.none() | st.integers(1, MAX_QUALITY),
    )
)
def test_a_rendition_is_read_back_from_its_query(asked: Rendition) -> None:
    assert read_rendition(asked.query()) == asked


@given(st.dictionaries(st.sampled_from(Rendition._fields), TEXT))
def test_any_parameters_are_read_or_refused_by_name(given_: dict[str, str]) -> None:
    refused = None
    try:
        read_rendition(given_)
    except InvalidInputError as error:
        refused = error.extra["field"]

    assert refused is None or refused in Rendition._fields
