"""Pictures as tests need them: plausible photos, and files that go wrong.

Everything is made in memory. Answers hold under the default limits: 32 MiB,
64,000,000 pixels, 16,384 pixels a side.
"""

import io
import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_ORIENTATION = 0x0112


@dataclass(frozen=True, slots=True)
class OddFile:
    """A file and what becomes of it.

    Attributes:
        name: unique, with the extension a caller would send it under.
        answer: `ok`, or the code of the error.
    """

    name: str
    data: bytes = field(repr=False)
    answer: str


def photo(
    seed: int,
    width: int = 500,
    height: int = 375,
    format: str = "JPEG",  # noqa: A002 - Pillow's word
) -> bytes:
    """Return a picture with gradients, shapes and texture; a seed is a picture."""
    random = np.random.default_rng(seed)
    picture = Image.fromarray(_texture(random, width, height))
    draw = ImageDraw.Draw(picture)
    for _ in range(12):
        x, y = random.uniform(-0.2, 1.0, 2) * (width, height)
        w, h = random.uniform(0.05, 0.5, 2) * (width, height)
        shape = draw.ellipse if random.random() < 0.5 else draw.rectangle
        red, green, blue = (int(value) for value in random.integers(0, 256, 3))
        shape((x, y, x + w, y + h), fill=(red, green, blue))
    return encoded(picture, format)


def _texture(random: np.random.Generator, width: int, height: int) -> NDArray[np.uint8]:
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    slopes = random.uniform(-120, 120, (2, 3))
    waves = np.sin(40 * (x * random.uniform(-1, 1) + y * random.uniform(-1, 1)))
    smooth = 128 + x[..., None] * slopes[0] + y[..., None] * slopes[1]
    noise = random.normal(0, 6, (height, width, 1))
    return np.clip(smooth + 15 * waves[..., None] + noise, 0, 255).astype(np.uint8)


def arrow() -> Image.Image:
    """Return 12 x 8 RGB in four flat quarters that tell every turn apart."""
    picture = Image.new("RGB", (12, 8), (250, 10, 10))
    picture.paste((10, 250, 10), (6, 0, 12, 4))
    picture.paste((10, 10, 250), (0, 4, 6, 8))
    picture.paste((250, 250, 10), (6, 4, 12, 8))
    return picture


def chunk(kind: bytes, body: bytes = b"") -> bytes:
    """Return one PNG chunk with its true checksum."""
    checksum = zlib.crc32(kind + body)
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", checksum)


def png(
    size: tuple[int, int], bits: int, colour: int, rows: bytes, *more: bytes
) -> bytes:
    """Return a PNG with this header and data, true or not.

    Args:
        size: width and height as the header says.
        bits: for each sample.
        colour: 0 grey, 2 RGB, 3 palette, 4 grey and alpha, 6 RGBA.
        rows: each begun by its filter byte.
        more: whole chunks before the data.
    """
    header = struct.pack(">IIBBBBB", *size, bits, colour, 0, 0, 0)
    data = chunk(b"IDAT", zlib.compress(rows, 9))
    return SIGNATURE + chunk(b"IHDR", header) + b"".join(more) + data + chunk(b"IEND")


def interlaced(rows: bytes) -> bytes:
    """Return a 3 x 3 grey PNG in Adam7 order, whose rows may be missing."""
    plain = png((3, 3), 8, 0, rows)
    header = struct.pack(">IIBBBBB", 3, 3, 8, 0, 0, 0, 1)
    return SIGNATURE + chunk(b"IHDR", header) + plain[33:]


def gif(canvas: tuple[int, int], frame: tuple[int, int, int, int]) -> bytes:
    """Return a GIF whose one frame lies at (x, y, width, height) of the canvas."""
    screen = struct.pack("<HHBBB", *canvas, 0x80, 0, 0) + bytes(3) + b"\xff" * 3
    # Disposal 2: Pillow fills an area of the frame's size while it opens the file.
    control = b"!\xf9\4" + bytes([0b1001, 0, 0, 0, 0])
    return (
        b"GIF89a"
        + screen
        + control
        + b","
        + struct.pack("<HHHHB", *frame, 0)
        + b"\2\2\x4c\1\0;"
    )


def encoded(
    picture: Image.Image,
    format: str,  # noqa: A002 - Pillow's word
    **options: object,
) -> bytes:
    """Return the picture as a file; options are those of Pillow's encoder."""
    target = io.BytesIO()
    picture.save(target, format, **options)
    return target.getvalue()


def oriented(
    orientation: int,
    format: str = "PNG",  # noqa: A002 - Pillow's word
    **options: object,
) -> bytes:
    """Return `arrow` as stored, with this EXIF orientation, 1 to 8."""
    exif = Image.Exif()
    exif[_ORIENTATION] = orientation
    return encoded(arrow(), format, exif=exif, **options)


def tiff(tags: Mapping[int, int | tuple[int, ...]], data: bytes) -> bytes:
    """Return an uncompressed TIFF of one strip with these further tags.

    Values are SHORT; more than two of them lie behind the data.
    """
    start = 8 + 2 + (len(tags) + 2) * 12 + 4
    beyond = data
    entries: list[tuple[int, bytes]] = [
        (273, struct.pack("<HII", 4, 1, start)),
        (279, struct.pack("<HII", 4, 1, len(data))),
    ]
    for tag, value in tags.items():
        values = value if isinstance(value, tuple) else (value,)
        packed = struct.pack(f"<{len(values)}H", *values)
        if len(packed) > 4:
            packed, beyond = struct.pack("<I", start + len(beyond)), beyond + packed
        entries.append((tag, struct.pack("<HI4s", 3, len(values), packed)))
    table = b"".join(struct.pack("<H", tag) + entry for tag, entry in sorted(entries))
    header = b"II*\0" + struct.pack("<IH", 8, len(entries))
    return header + table + bytes(4) + beyond


def endless_tiff(strips: int) -> bytes:
    """Return a TIFF that paints 80 x 80 pixels once for every two strips."""
    table = 8 + 2 + 8 * 12 + 4
    tags = {256: 80, 257: 80, 258: 1, 259: 1, 262: 1, 273: table, 277: 1, 278: 79}
    entries = (
        struct.pack("<HHII", tag, 4, strips if tag == 273 else 1, value)
        for tag, value in tags.items()
    )
    directory = struct.pack("<H", len(tags)) + b"".join(entries) + bytes(4)
    # Every strip is the same 790 bytes of this file, its own table among them.
    return b"II*\0" + struct.pack("<I", 8) + directory + struct.pack("<I", 8) * strips


def endless_jpeg(scans: int) -> bytes:
    """Return a progressive JPEG with this many passes over 64 x 64 pixels more."""
    data = encoded(Image.new("L", (64, 64), 77), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:-2] + data[last:-2] * scans + b"\xff\xd9"


def odd_files() -> list[OddFile]:
    """Return every odd file, the good ones first."""
    good = [OddFile(name, data, "ok") for name, data in _good()]
    bad = [OddFile(name, data, answer) for name, data, answer in _bad()]
    return good + bad


def _animated(format: str) -> bytes:  # noqa: A002 - Pillow's word
    frames = [Image.new("RGB", (20, 10), colour) for colour in ("red", "lime", "blue")]
    return encoded(
        frames[0],
        format,
        save_all=True,
        append_images=frames[1:],
        duration=50,
        lossless=True,
    )


def _good() -> Iterator[tuple[str, bytes]]:
    yield "one-pixel.png", encoded(Image.new("RGB", (1, 1), "navy"), "PNG")
    yield "thin.png", encoded(Image.new("L", (1, 16_384), 9), "PNG")
    yield "png-named.jpg", photo(1, 64, 48, "PNG")
    yield "cmyk.jpg", encoded(arrow().convert("CMYK"), "JPEG")
    yield "grey.jpg", encoded(arrow().convert("L"), "JPEG")
    yield "grey-16-bit.png", png((1, 2), 16, 0, b"\0\x12\x34\0\xff\xff")
    yield "rgb-16-bit.png", png((1, 1), 16, 2, b"\0\x12\x34\x56\x78\x9a\xbc")
    yield "one-bit.png", encoded(arrow().convert("1"), "PNG")
    yield "grey-alpha.png", encoded(Image.new("LA", (3, 2), (7, 99)), "PNG")
    yield "palette-transparent.png", encoded(_palette(), "PNG", transparency=1)
    yield "animated.gif", _animated("GIF")
    yield "animated.webp", _animated("WEBP")
    yield "frame-outside-canvas.gif", _small_canvas(_animated("GIF"))
    yield "lying-taller.jpg", lying_jpeg(4000)
    for orientation in range(1, 9):
        yield f"turned-{orientation}.jpg", oriented(orientation, "JPEG")


def _bad() -> Iterator[tuple[str, bytes, str]]:
    yield "empty.jpg", b"", "image-empty"
    for format in ("JPEG", "PNG", "WEBP"):  # noqa: A001 - Pillow's word
        half = photo(2, 64, 48, format)
        name = f"truncated.{format.lower()}"
        yield name, half[: len(half) // 2], "image-damaged"
    yield "garbage.jpg", b"\xff\xd8\xff" + _noise(500), "image-damaged"
    yield "lying-taller.png", png((100, 9000), 8, 0, bytes(101 * 9)), "image-damaged"
    yield "text-bomb.png", _text_bomb(), "image-damaged"
    yield "endless.tiff", endless_tiff(200), "image-damaged"
    yield "endless.jpg", endless_jpeg(200), "image-damaged"
    for name, data in _too_large():
        yield name, data, "image-too-large"
    for name, data in _not_images():
        yield name, data, "image-unsupported"


def _too_large() -> Iterator[tuple[str, bytes]]:
    yield "bomb.png", png((60_000, 60_000), 1, 0, bytes(7501 * 300))
    yield "too-many-pixels.png", png((16_000, 16_000), 1, 0, bytes(2001 * 300))
    yield "tall.png", encoded(Image.new("L", (1, 20_000), 9), "PNG")
    yield "huge-canvas.gif", gif((65_535, 65_535), (0, 0, 1, 1))
    yield "huge-frame.gif", gif((1, 1), (0, 0, 65_535, 65_535))
    yield "huge-canvas.webp", _webp_header(2**24, 2**24)


def _not_images() -> Iterator[tuple[str, bytes]]:
    vector = b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>'
    yield "vector.png", b'<?xml version="1.0"?>\n' + vector
    yield "page.jpg", b"<!DOCTYPE html><html><body>404</body></html>"
    yield "document.jpg", b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n"
    yield "phone.jpg", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(64)
    yield "noise.png", _noise(500)
    yield "text.png", b"BM is how a bitmap begins, but this is text."
    yield "float.tiff", encoded(Image.new("F", (3, 2)), "TIFF")
    yield "integer.tiff", encoded(Image.new("I", (3, 2)), "TIFF")
    yield "lab.tiff", encoded(Image.new("LAB", (3, 2)), "TIFF")


def lying_jpeg(height: int) -> bytes:
    """Return a JPEG of 64 x 48 whose header gives another height."""
    data = photo(3, 64, 48)
    frame = data.index(b"\xff\xc0")
    return data[: frame + 5] + struct.pack(">H", height) + data[frame + 7 :]


def _palette() -> Image.Image:
    picture = Image.new("P", (2, 1))
    picture.putpalette([10, 20, 30, 40, 50, 60])
    picture.putpixel((1, 0), 1)
    return picture


def _small_canvas(animation: bytes) -> bytes:
    return animation[:6] + struct.pack("<HH", 10, 10) + animation[10:]


def _webp_header(width: int, height: int) -> bytes:
    sides = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    body = b"WEBPVP8X" + struct.pack("<II", 10, 0x12) + sides
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _text_bomb() -> bytes:
    text = chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(50_000_000), 9))
    return png((1, 1), 8, 0, b"\0\0", text)


def _noise(length: int) -> bytes:
    return np.random.default_rng(0).bytes(length)
