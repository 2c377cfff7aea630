"""What a file says of itself in its first bytes, before anything decodes it."""

import re
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

Starts: TypeAlias = Callable[[bytes], bool]

_MAX_PARTS = 100_000


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
    starts: Starts


def _begins(*magics: bytes) -> Starts:
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
_STRANGERS: tuple[tuple[str, Starts], ...] = (
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


# Any marker but restarts and the start of the image: what libjpeg acts upon. A 0xff
# of the compressed data is followed by a zero (ITU-T T.81 §B.1.1.5).
_MARKER = re.compile(rb"\xff([\x02-\xcf\xd9-\xfe])")
_SCAN, _END = b"\xda", b"\xd9"


def jpeg_scans(data: bytes) -> int:
    """Return how often a JPEG's decoder would go over the whole picture.

    A few bytes of a progressive JPEG are a pass over every pixel, so a small file
    could keep a decoder busy for hours. More than 100,000 segments count as scans.
    """
    scans, at = 0, 2
    for _ in range(_MAX_PARTS):
        found = _MARKER.search(data, at)
        if found is None or found[1] == _END:
            return scans
        scans += found[1] == _SCAN
        at = found.end() + int.from_bytes(data[found.end() : found.end() + 2], "big")
    return _MAX_PARTS


_BYTE_TYPES = {1, 2, 6, 7}  # TIFF 6.0 §2: BYTE, ASCII, SBYTE, UNDEFINED


def tiff_values(data: bytes) -> int:
    """Return how many numbers the first directory of a TIFF says it holds.

    Text and opaque bytes do not count; positions of strips and tiles do.

    Raises:
        struct.error: there is no whole directory.
    """
    is_big = b"+" in data[2:4]  # version 43; a classic TIFF is version 42
    order = "<" if data[:1] == b"I" else ">"
    offset, count, entry = "8xQ" if is_big else "4xI", "Q" if is_big else "H", "HHQ8x"
    (at,) = struct.unpack_from(order + offset, data)
    (entries,) = struct.unpack_from(order + count, data, at)
    layout = struct.Struct(order + (entry if is_big else "HHI4x"))
    first = at + struct.calcsize(count)
    starts = range(first, first + min(entries, _MAX_PARTS) * layout.size, layout.size)
    fields = (layout.unpack_from(data, start) for start in starts)
    return sum(values for _, kind, values in fields if kind not in _BYTE_TYPES)


_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # PNG §11.2.1, by colour type
_WHOLE = ((0, 0, 1, 1),)
# PNG §8.2: first column and row of each pass, and its steps.
_ADAM7 = (
    (0, 0, 8, 8),
    (4, 0, 8, 8),
    (0, 4, 4, 8),
    (2, 0, 4, 4),
    (0, 2, 2, 4),
    (1, 0, 2, 2),
    (0, 1, 1, 2),
)
_INFLATED_BYTES = 1 << 20


def png_is_short(data: bytes) -> bool:
    """Tell whether a PNG's data ends before the last row its header announces.

    Pillow leaves such rows black without a word. No more is inflated than the rows
    need, a megabyte at a time.

    Raises:
        struct.error, KeyError, zlib.error: header or data are corrupt.
    """
    missing, inflate = _png_bytes(data), zlib.decompressobj()
    for piece in _png_pieces(data):
        rest = piece
        while rows := inflate.decompress(rest, _INFLATED_BYTES):
            missing -= len(rows)
            rest = inflate.unconsumed_tail
            if missing <= 0:
                return False
    return True


def _png_bytes(data: bytes) -> int:
    width, height, bits, colour, interlaced = struct.unpack_from(">IIBBxxB", data, 16)
    depth = bits * _CHANNELS[colour]
    total = 0
    for left, top, right, down in _ADAM7 if interlaced else _WHOLE:
        columns, rows = -((left - width) // right), -((top - height) // down)
        # Each row begins with a byte that names its filter.
        total += rows * (1 + (columns * depth + 7) // 8) if columns > 0 else 0
    return total


def _png_pieces(data: bytes) -> Iterator[bytes]:
    at = 8
    while at < len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        if kind == b"IDAT":
            yield data[at + 8 : at + 8 + length]
        at += 12 + length
