"""From a file that Pillow opened to upright, opaque 8-bit RGB."""

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageFile

try:  # faster than Pillow for the same pixels; what is measured needs none
    import simplejpeg
except ImportError:
    simplejpeg = None

_JPEGS = {"JPEG", "MPO"}
_QUICK = {"RGB", "L"}

_UNREAD_PIXELS = {
    "F": "floating-point",
    "I": "signed or 32-bit integer",
    "LAB": "CIE L*a*b*",
    "I;12": "12-bit",
}
# EXIF 2.32 §4.6.5: how the picture must be turned to stand upright.
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def unread_type(image: ImageFile.ImageFile) -> str | None:
    """Return what the pixels of a file just opened are. None: they can be shown."""
    return _UNREAD_PIXELS.get(_stored_as(image)) or _UNREAD_PIXELS.get(image.mode)


def shown(image: ImageFile.ImageFile, data: bytes) -> tuple[NDArray[np.uint8], int]:
    """Return the picture of a file just opened, as a viewer shows it, and its turn.

    Its first frame is decoded, turned as its EXIF orientation says, laid on white
    where it is transparent, and brought to 8-bit RGB; colour profiles are not
    applied.

    Args:
        image: opened, not loaded.
        data: the whole file.

    Returns:
        uint8 (height, width, 3), read-only; and the EXIF orientation, 1 to 8, which
        is 1 where there is none.

    Raises:
        Exception: whatever Pillow's decoders raise.
    """
    _fit_clear_colour(image, _stored_as(image))
    # Only a TIFF is turned by Pillow as it loads; of a PNG, asking first would load.
    told = _orientation(image) if image.format == "TIFF" else 1
    pixels = _quick_jpeg(image, data)
    if pixels is None:
        image.load()
    orientation = _orientation(image)
    if pixels is None or orientation != 1:
        picture = _rgb(image) if pixels is None else Image.fromarray(pixels)
        pixels = np.asarray(_turned(picture, orientation))
    pixels.flags.writeable = False
    return pixels, orientation if told == 1 else told


def loaded(image: ImageFile.ImageFile) -> Image.Image:
    """Return the first frame of a file just opened, upright, its pixels as stored.

    Raises:
        Exception: whatever Pillow's decoders raise.
    """
    _fit_clear_colour(image, _stored_as(image))
    image.load()
    return _turned(image, _orientation(image))


def _turned(picture: Image.Image, orientation: int) -> Image.Image:
    turn = _TURNS.get(orientation)
    return picture if turn is None else picture.transpose(turn)


def _quick_jpeg(image: ImageFile.ImageFile, data: bytes) -> NDArray[np.uint8] | None:
    """Return uint8 (height, width, 3) as stored, equal to Pillow's to the bit.

    None where this is not certain: another kind of file, four colours, a size that
    its two readers do not agree on, or anything to complain of. Pillow then decides
    what becomes of it.
    """
    if simplejpeg is None or image.format not in _JPEGS or image.mode not in _QUICK:
        return None
    try:
        height, width, *_ = simplejpeg.decode_jpeg_header(data)
        if (width, height) != image.size:
            return None
        return simplejpeg.decode_jpeg(data, "RGB")
    except ValueError:  # how it tells of warnings too
        return None


def _stored_as(image: ImageFile.ImageFile) -> str:
    """Return Pillow's name for the pixels in the file, e.g. `RGB;16B`."""
    args = image.tile[0].args if image.tile else ""
    return str(args[0] if isinstance(args, tuple) else args)


def _fit_clear_colour(image: Image.Image, stored: str) -> None:
    """Bring the colour that is transparent to 8 bits, where Pillow brings pixels.

    A PNG states it in its own depth (PNG §11.3.1.1), and Pillow leaves it there.
    """
    match stored, image.info.get("transparency"):
        case ("L;2" | "L;4") as depth, int(grey):
            image.info["transparency"] = grey * (85 if depth == "L;2" else 17)
        case "RGB;16B", (int(red), int(green), int(blue)):
            image.info["transparency"] = (red >> 8, green >> 8, blue >> 8)
        case _:
            pass


def _orientation(image: Image.Image) -> int:
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # noqa: BLE001 - broken EXIF raises anything and spoils no pixel
        return 1
    return orientation if isinstance(orientation, int) and orientation in _TURNS else 1


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16"):
        return _grey(image).convert("RGB")
    if image.mode == "La":
        image = image.convert("LA")
    if not image.has_transparency_data:
        # Converting RGB to RGB would copy it.
        return image if image.mode == "RGB" else image.convert("RGB")
    clear = image.convert("RGBA")
    white = Image.new("RGB", image.size, "white")
    white.paste(clear, (0, 0), clear)
    return white


def _grey(image: Image.Image) -> Image.Image:
    """Return the high bytes of 16-bit grey, white where it is transparent."""
    values = np.asarray(image)
    grey = (values >> 8).astype(np.uint8)
    grey[values == image.info.get("transparency", -1)] = 255
    return Image.fromarray(grey)
