"""Whatever the picture and the framing: sizes that fit, and maps that go both ways."""

from typing import get_args

from hypothesis import assume, given
from hypothesis import strategies as st

from dinoserve.domain.framing import Fit, Framing, lay_out, read_framing
from dinoserve.domain.geometry import Box, Geometry
from dinoserve.errors import InvalidInputError

SIDES = st.integers(1, 16_384)
STRIDES = st.sampled_from([16, 32])


@st.composite
def framings(draw: st.DrawFn, stride: int) -> Framing:
    kind = draw(st.sampled_from(["short:", "long:", ""]))
    if kind:
        return read_framing(f"{kind}{draw(st.integers(1, 2048))}")
    height, width = (draw(st.integers(1, 64)) * stride for _ in range(2))
    fixed = [fit for fit in get_args(Fit) if fit != "round"]
    return read_framing(f"{height}x{width}", draw(st.sampled_from(fixed)))


@st.composite
def geometries(draw: st.DrawFn) -> Geometry:
    stride = draw(STRIDES)
    framing = draw(framings(stride))
    try:
        return lay_out(
            framing, draw(SIDES), draw(SIDES), stride, draw(st.integers(1, 8))
        )
    except InvalidInputError:
        assume(condition=False)
        raise


def size(box: Box) -> tuple[float, float]:
    return box.right - box.left, box.bottom - box.top


def within(inner: Box, width: int, height: int) -> bool:
    return (
        0 <= inner.left < inner.right <= width
        and 0 <= inner.top < inner.bottom <= height
    )


@given(st.text(max_size=12), st.none() | st.text(max_size=9))
def test_any_text_is_a_framing_or_refused_by_name(size: str, fit: str | None) -> None:
    try:
        framing = read_framing(size, fit)
    except InvalidInputError as error:
        told = error.extra["field"]
    else:
        told = "size" if read_framing(*framing) == framing else "another spelling"
    assert told in {"size", "fit"}


@given(geometries())
def test_every_box_is_whole_pixels_inside_its_picture(geometry: Geometry) -> None:
    assert within(geometry.source, geometry.image_width, geometry.image_height)
    assert within(geometry.content, geometry.width, geometry.height)
    assert all(edge == int(edge) for edge in geometry.source + geometry.content)
    assert (
        geometry.height % geometry.patch_px == geometry.width % geometry.patch_px == 0
    )


@given(geometries())
def test_padding_and_cuts_are_the_same_on_both_sides(geometry: Geometry) -> None:
    for box, width, height in (
        (geometry.source, geometry.image_width, geometry.image_height),
        (geometry.content, geometry.width, geometry.height),
    ):
        assert 0 <= (width - box.right) - box.left <= 1
        assert 0 <= (height - box.bottom) - box.top <= 1


@given(geometries(), st.sampled_from(["letterbox", "crop"]))
def test_letterbox_and_crop_keep_the_aspect_to_half_a_pixel(
    geometry: Geometry, fit: Fit
) -> None:
    framing = Framing(f"{geometry.height}x{geometry.width}", fit)
    image = geometry.image_width, geometry.image_height
    kept = lay_out(framing, *image, geometry.patch_px)
    if fit == "letterbox":
        (width, height), (a, b) = size(kept.content), image
    else:
        (width, height), (a, b) = size(kept.source), (kept.width, kept.height)
    # One side is full; the other is off by half a pixel, or is the one pixel it has.
    assert (
        abs(width - height * a / b) <= 0.5
        or width == 1
        or (abs(height - width * b / a) <= 0.5 or height == 1)
    )


@given(geometries(), st.floats(0, 1), st.floats(0, 1))
def test_the_patch_at_a_point_has_it_in_its_box(
    geometry: Geometry, across: float, down: float
) -> None:
    left, top, right, bottom = geometry.source
    x, y = left + across * (right - left), top + down * (bottom - top)
    patch = geometry.patch_at(x, y)
    if patch is None:
        assert x >= right or y >= bottom
        return
    box = geometry.patch_box(*patch)
    # 1e-9: rounding on a line between two patches.
    slack = 1e-9 * 16_384
    assert box.left - slack <= x <= box.right + slack
    assert box.top - slack <= y <= box.bottom + slack


@given(geometries(), st.data())
def test_the_middle_of_what_a_patch_shows_leads_back_to_it(
    geometry: Geometry, data: st.DataObject
) -> None:
    patch = (
        data.draw(st.integers(0, geometry.rows - 1)),
        data.draw(st.integers(0, geometry.columns - 1)),
    )
    box, seen = geometry.patch_box(*patch), geometry.source
    left, right = max(box.left, seen.left), min(box.right, seen.right)
    top, bottom = max(box.top, seen.top), min(box.bottom, seen.bottom)
    assume(right - left > 1e-6 and bottom - top > 1e-6)
    assert geometry.patch_at((left + right) / 2, (top + bottom) / 2) == patch


@given(geometries())
def test_patches_cover_the_input_edge_to_edge(geometry: Geometry) -> None:
    first = geometry.patch_box(0, 0)
    last = geometry.patch_box(geometry.rows - 1, geometry.columns - 1)
    for row, column, box in ((0, 0, first), (geometry.rows - 1, 0, last)):
        assert geometry.patch_box(row, column)[1::2] == box[1::2]
    assert first.left <= geometry.source.left
    assert first.top <= geometry.source.top
    assert last.right >= geometry.source.right * (1 - 1e-12)
    assert last.bottom >= geometry.source.bottom * (1 - 1e-12)


@given(geometries())
def test_a_stored_box_lies_in_the_stored_picture(geometry: Geometry) -> None:
    shape = (geometry.image_width, geometry.image_height)
    stored = geometry.stored_box(geometry.source)
    assert within(stored, *(shape if geometry.orientation < 5 else shape[::-1]))
    area, stored_area = size(geometry.source), size(stored)
    assert area[0] * area[1] == stored_area[0] * stored_area[1]
