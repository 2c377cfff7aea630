"""What parameters ask for, what is offered, and under which name it is kept."""

import pytest

from dinoserve.domain.geometry import Box
from dinoserve.domain.renditions import (
    MAX_SIDE_PX,
    Offer,
    Rendition,
    derived_name,
    derived_prefix,
    drawing,
    read_rendition,
)
from dinoserve.errors import InvalidInputError, RenditionRefusedError

WIDE = (500, 375)
DIGEST = "ab" * 32


def size_of(asked: Rendition, original: tuple[int, int] = WIDE) -> tuple[int, int]:
    drawn = drawing(asked, original, "png")
    return drawn.width, drawn.height


@pytest.mark.parametrize("given", [{}, {"expires": "7", "signature": "x"}])
def test_no_parameter_of_a_rendition_means_the_original(given: dict[str, str]) -> None:
    assert read_rendition(given) is None


def test_a_width_alone_gets_the_usual_rest() -> None:
    assert read_rendition({"width": "320"}) == Rendition(
        320, None, "scale-down", "auto", None
    )


@pytest.mark.parametrize(
    ("given", "field", "limit"),
    [
        ({"width": "0"}, "width", 4096),
        ({"width": "-1"}, "width", 4096),
        ({"width": "4097"}, "width", 4096),
        ({"width": "1000000000"}, "width", 4096),
        ({"width": "1e3"}, "width", 4096),
        ({"width": "64.0"}, "width", 4096),
        ({"width": "٣"}, "width", 4096),
        ({"width": ""}, "width", 4096),
        ({"width": "64", "height": "x"}, "height", 4096),
        ({"width": "64", "quality": "0"}, "quality", 100),
        ({"width": "64", "quality": "101"}, "quality", 100),
        ({"fit": "cover"}, "width", 4096),
        ({"format": "webp"}, "width", 4096),
        ({"width": "64", "fit": "fill"}, "fit", ["scale-down", "contain", "cover"]),
        (
            {"width": "64", "format": "gif"},
            "format",
            ["auto", "avif", "webp", "jpeg", "png"],
        ),
    ],
)
def test_what_cannot_be_is_refused_with_its_field_and_limit(
    given: dict[str, str], field: str, limit: object
) -> None:
    with pytest.raises(InvalidInputError) as caught:
        read_rendition(given)

    assert (caught.value.extra["field"], caught.value.extra["limit"]) == (field, limit)


def test_a_png_has_no_quality() -> None:
    with pytest.raises(InvalidInputError, match="no quality"):
        read_rendition({"width": "64", "format": "png", "quality": "80"})


@pytest.mark.parametrize(
    ("asked", "size"),
    [
        (Rendition(250, None), (250, 188)),
        (Rendition(None, 250), (333, 250)),
        (Rendition(100, 100), (100, 75)),
        (Rendition(1000, None), (500, 375)),
        (Rendition(1000, None, "contain"), (1000, 750)),
        (Rendition(1000, 300, "contain"), (400, 300)),
        (Rendition(300, 300, "cover"), (300, 300)),
        (Rendition(1000, 1000, "cover"), (1000, 1000)),
        (Rendition(1000, None, "cover"), (1000, 750)),
    ],
)
def test_every_fit_gives_its_size(asked: Rendition, size: tuple[int, int]) -> None:
    assert size_of(asked) == size


def test_a_side_that_nobody_asked_for_ends_at_the_limit() -> None:
    assert size_of(Rendition(2048, None, "contain"), (100, 16_384)) == (25, MAX_SIDE_PX)


@pytest.mark.parametrize(
    ("shape", "source"),
    [
        ((100, 100), Box(62.5, 0, 437.5, 375)),
        ((200, 100), Box(0, 62.5, 500, 312.5)),
    ],
)
def test_cover_cuts_off_both_sides_alike(shape: tuple[int, int], source: Box) -> None:
    assert drawing(Rendition(*shape, "cover"), WIDE, "png").source == source


OFFER = Offer(sizes=(64, 128), qualities=(60, 80))


@pytest.mark.parametrize(
    "asked",
    [
        Rendition(64, None),
        Rendition(None, 128),
        Rendition(64, 128, "cover", "webp", 60),
    ],
)
def test_what_is_offered_passes(asked: Rendition) -> None:
    OFFER.check(asked)


@pytest.mark.parametrize(
    ("asked", "field", "limit"),
    [
        (Rendition(65, None), "width", [64, 128]),
        (Rendition(64, 100), "height", [64, 128]),
        (Rendition(64, None, quality=70), "quality", [60, 80]),
    ],
)
def test_what_is_not_offered_is_refused_with_what_is(
    asked: Rendition, field: str, limit: list[int]
) -> None:
    with pytest.raises(RenditionRefusedError, match="links") as caught:
        OFFER.check(asked)

    assert (caught.value.extra["field"], caught.value.extra["limit"]) == (field, limit)


def test_what_comes_out_alike_has_one_name() -> None:
    names = {
        derived_name(DIGEST, drawing(asked, WIDE, "jpeg"), "1")
        for asked in (
            Rendition(1024, None),
            Rendition(2048, 2048),
            Rendition(500, None, "contain"),
            Rendition(500, 375, "cover", quality=80),
        )
    }

    assert len(names) == 1


def test_whatever_makes_a_difference_changes_the_name() -> None:
    drawings = [
        drawing(Rendition(64, None), WIDE, "jpeg"),
        drawing(Rendition(65, None), WIDE, "jpeg"),
        drawing(Rendition(64, 64, "cover"), WIDE, "jpeg"),
        drawing(Rendition(64, 48, "cover"), WIDE, "webp"),
        drawing(Rendition(64, None, quality=79), WIDE, "jpeg"),
        drawing(Rendition(64, None), WIDE, "plain"),
    ]

    names = {
        derived_name(digest, drawn, version)
        for digest in (DIGEST, "cd" * 32)
        for drawn in drawings
        for version in ("1", "2")
    }

    assert len(names) == 24


def test_a_name_is_64_hex_digits_that_begin_as_the_originals() -> None:
    name = derived_name(DIGEST, drawing(Rendition(64, None), WIDE, "png"), "1")

    assert len(bytes.fromhex(name)) == 32
    assert name.startswith(derived_prefix(DIGEST))
    assert DIGEST.startswith(derived_prefix(DIGEST))


def test_an_automatic_png_has_no_quality_in_its_name() -> None:
    one, other = (
        drawing(Rendition(64, None, quality=quality), WIDE, "png")
        for quality in (None, 60)
    )

    assert one == other
