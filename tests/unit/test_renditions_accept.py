"""Which encoding suits a caller, by the header it sends."""

import pytest

from dinoserve.domain.renditions import Encoding, Format
from dinoserve.web.renditions import accepted

ALL: tuple[Format, ...] = ("avif", "webp", "jpeg", "png")
CHROME = "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8"
SAFARI = (
    "image/webp,image/avif,image/jxl,video/*;q=0.8,image/png,image/*;q=0.8,*/*;q=0.5"
)
FIREFOX_65 = "image/webp,*/*"


@pytest.mark.parametrize(
    ("accept", "encoding"),
    [
        (CHROME, "avif"),
        (SAFARI, "avif"),
        (FIREFOX_65, "webp"),
        ("*/*", "plain"),
        ("image/*", "plain"),
        ("", "plain"),
        ("application/json", "plain"),
        ("image/jpeg", "jpeg"),
        ("image/png", "png"),
        ("image/png, image/jpeg;q=0.9", "png"),
        ("image/avif;q=0.5, image/webp", "webp"),
        ("image/avif;q=0, */*", "plain"),
        ("image/webp;q=0.2, image/jpeg", "jpeg"),
        ("IMAGE/AVIF ; Q=1.0", "avif"),
        ("image/avif;q=high, nonsense,,;;", "avif"),
    ],
)
def test_the_best_that_a_caller_names_is_sent(accept: str, encoding: Encoding) -> None:
    assert accepted(accept, ALL) == encoding


@pytest.mark.parametrize(
    ("formats", "encoding"),
    [(("webp", "jpeg", "png"), "webp"), (("jpeg", "png"), "plain")],
)
def test_a_format_that_is_not_written_here_is_not_chosen(
    formats: tuple[Format, ...], encoding: Encoding
) -> None:
    assert accepted(CHROME, formats) == encoding
