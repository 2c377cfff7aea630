"""Drawing patches over the picture they were made of, with Pillow."""

import asyncio
import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dinoserve.domain.geometry import Box, Geometry
from dinoserve.engine.images import ImageLimits, decode
from dinoserve.ports import Painted

MAX_SIDE_PX = 1024
"""Pixels of the longer side of what is drawn; smaller pictures keep their size."""

_GAP_PX = 16
_FAST_DEFLATE = 1  # zlib's level: what is drawn here is looked at once


@dataclass(frozen=True, slots=True)
class PillowRenderer:
    """Implements `ports.Renderer`; works in threads, off the event loop.

    Attributes:
        limits: what a picture to draw over may be.
    """

    limits: ImageLimits

    async def png(
        self,
        colours: NDArray[np.uint8],
        geometry: Geometry,
        picture: bytes | None = None,
    ) -> bytes:
        """Return a PNG of the upright picture's aspect; see `ports.Renderer.png`."""
        return await asyncio.to_thread(self._draw, colours, geometry, picture)

    async def beside(self, left: Painted, right: Painted) -> bytes:
        """Return a PNG of two pictures; see `ports.Renderer.beside`."""
        return await asyncio.to_thread(self._draw_beside, left, right)

    def _draw_beside(self, left: Painted, right: Painted) -> bytes:
        drawn = [self._drawn(*each) for each in (left, right)]
        height = min(each.height for each in drawn)
        scaled = [
            each.resize((max(1, round(each.width * height / each.height)), height))
            for each in drawn
        ]
        width = scaled[0].width + _GAP_PX + scaled[1].width
        sheet = Image.new("RGB", (width, height), "white")
        sheet.paste(scaled[0], (0, 0))
        sheet.paste(scaled[1], (scaled[0].width + _GAP_PX, 0))
        return _png(sheet)

    def _draw(
        self, colours: NDArray[np.uint8], geometry: Geometry, picture: bytes | None
    ) -> bytes:
        return _png(self._drawn(colours, geometry, picture))

    def _drawn(
        self, colours: NDArray[np.uint8], geometry: Geometry, picture: bytes | None
    ) -> Image.Image:
        size = _size(geometry)
        layer = _layer(colours, geometry, size)
        if picture is None:
            return layer
        below = Image.fromarray(decode(picture, self.limits).rgb).resize(size)
        below.paste(layer, (0, 0), layer)
        return below


def _png(image: Image.Image) -> bytes:
    with io.BytesIO() as file:
        image.save(file, "PNG", compress_level=_FAST_DEFLATE)
        return file.getvalue()


def _size(geometry: Geometry) -> tuple[int, int]:
    longer = max(geometry.image_width, geometry.image_height)
    scale = min(1.0, MAX_SIDE_PX / longer)
    width = max(1, round(geometry.image_width * scale))
    return width, max(1, round(geometry.image_height * scale))


def _layer(
    colours: NDArray[np.uint8], geometry: Geometry, size: tuple[int, int]
) -> Image.Image:
    """Return RGBA of this size: the content of the grid lies at its source."""
    scales = (size[0] / geometry.image_width, size[1] / geometry.image_height)
    place = _pixels(geometry.source, scales)
    part = tuple(edge / geometry.patch_px for edge in geometry.content)
    drawn = Image.fromarray(colours).resize(
        (place[2] - place[0], place[3] - place[1]),
        # Every patch keeps its edges: nothing is made up between them.
        Image.Resampling.NEAREST,
        box=(part[0], part[1], part[2], part[3]),
    )
    layer = Image.new("RGBA", size)
    layer.paste(drawn, place[:2])
    return layer


def _pixels(box: Box, scales: tuple[float, float]) -> tuple[int, int, int, int]:
    """Return the box in whole pixels of the drawing, at least one each way."""
    left, top = (round(box[at] * scales[at]) for at in (0, 1))
    right, bottom = (round(box[at + 2] * scales[at]) for at in (0, 1))
    return left, top, max(right, left + 1), max(bottom, top + 1)
