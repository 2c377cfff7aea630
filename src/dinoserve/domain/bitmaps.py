"""Pictures as files that take no library to write."""

import struct

import numpy as np
from numpy.typing import NDArray

_HEADER_BYTES = 54


def bmp(picture: NDArray[np.uint8]) -> bytes:
    """Return a picture, uint8 (height, width, 3) RGB, as a Windows bitmap of 24 bits.

    Source:
        BITMAPFILEHEADER and BITMAPINFOHEADER of the Windows GDI: rows from the bottom
        up, blue first, each filled up to four bytes.
    """
    height, width = picture.shape[:2]
    rows = np.zeros((height, (width * 3 + 3) // 4 * 4), np.uint8)
    rows[:, : width * 3] = picture[::-1, :, ::-1].reshape(height, width * 3)
    size = _HEADER_BYTES + rows.size
    file = struct.pack("<2sIHHI", b"BM", size, 0, 0, _HEADER_BYTES)
    info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, rows.size, *[0] * 4)
    return file + info + rows.tobytes()
