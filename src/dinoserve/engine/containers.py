"""What a file says of itself in its first bytes, before anything decodes it."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

Size: TypeAlias = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Container:
    """A kind of image file that is read here.

    Attributes:
        name: as people call it; Pillow names its decoder the same.
        media_type: as IANA registers it.
        starts: tells from the first bytes whether a file is of this kind.
    """

    name: str
    media_type: str
    starts: Callable[[bytes], bool]


def _begins(*magics: bytes) -> Callable[[bytes], bool]:
    return lambda data: data.startswith(magics)


def _is_bmp(data: bytes) -> bool:
    # "BM" alone also begins ordinary text; the length of the header that follows
    # has one of eight values (Windows and OS/2 bitmap headers).
    lengths = {12, 16, 40, 52, 56, 64, 108, 124}
    return data[:2] == b"BM" and int.from_bytes(data[14:18], "little") in lengths


def _brands(data: bytes) -> set[bytes]:
    """Brands of an ISO base media file (ISO/IEC 14496-12, `ftyp` box)."""
    if data[4:8] != b"ftyp":
        return set()
    box = data[8 : min(int.from_bytes(data[:4], "big"), 256)]
    return {box[at : at + 4] for at in range(0, len(box), 4)}


CONTAINERS = (
    Container("JPEG", "image/jpeg", _begins(b"\xff\xd8\xff")),
    Container("PNG", "image/png", _begins(b"\x89PNG\r\n\x1a\n")),
    Container("WEBP", "image/webp", lambda data: data[:4] + data[8:12] == b"RIFFWEBP"),
    Container("GIF", "image/gif", _begins(b"GIF87a", b"GIF89a")),
    Container(
        "AVIF", "image/avif", lambda data: bool(_brands(data) & {b"avif", b"avis"})
    ),
    Container("BMP", "image/bmp", _is_bmp),
    Container("TIFF", "image/tiff", _begins(b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")),
)

_HTML = re.compile(rb"<(!doctype )?html", re.IGNORECASE)
_HEIC = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}
_STRANGERS: tuple[tuple[str, Callable[[bytes], bool]], ...] = (
    ("a PDF", _begins(b"%PDF-")),
    ("a HEIC picture", lambda data: bool(_brands(data) & _HEIC)),
    ("a video", lambda data: data[4:8] == b"ftyp" or data[:4] == b"\x1aE\xdf\xa3"),
    ("a JPEG 2000 picture", _begins(b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51")),
    ("a JPEG XL picture", _begins(b"\xff\x0a", b"\0\0\0\x0cJXL ")),
    ("a Photoshop file", _begins(b"8BPS")),
    ("an icon", _begins(b"\0\0\1\0")),
    ("an archive", _begins(b"PK\3\4", b"\x1f\x8b")),
    ("an SVG", lambda data: b"<svg" in data[:1024].lower()),
    (
        "an HTML page",
        lambda data: bool(_HTML.search(data[:1024])),
    ),
)


def container_of(data: bytes) -> Container | None:
    """Return the kind of image the bytes begin like. None: none that is read."""
    return next((kind for kind in CONTAINERS if kind.starts(data)), None)


def stranger(data: bytes) -> str | None:
    """Return what bytes of no known container seem to be, with its article."""
    return next((name for name, starts in _STRANGERS if starts(data)), None)
