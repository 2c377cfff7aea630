"""Geometry: how a picture lies in the model's input, to the pixel and back."""

from dataclasses import dataclass
from typing import NamedTuple

# EXIF 2.32 §4.6.5: what is done to upright coordinates to find the stored ones.
_MIRRORED_X = {2, 3, 6, 7}
_MIRRORED_Y = {3, 4, 7, 8}
_SWAPPED = {5, 6, 7, 8}


class Box(NamedTuple):
    """A rectangle in pixels, right and bottom exclusive; the corner is (0, 0)."""

    left: float
    top: float
    right: float
    bottom: float


@dataclass(frozen=True, slots=True)
class Geometry:
    """Where the pixels of a picture went, and which patch tokens they became.

    `source` and `content` lie on whole pixels.

    Attributes:
        image_width: pixels of the picture as shown, upright.
        image_height: pixels of the picture as shown, upright.
        orientation: EXIF 2.32 §4.6.5, 1 to 8: how the stored rows were turned to
            stand upright.
        source: the part of the upright picture that the model saw.
        content: where that part lies in the model's input; what is outside is
            padding.
        width: pixels of the model's input.
        height: pixels of the model's input.
        patch_px: side of the square of input pixels behind one patch token.
    """

    image_width: int
    image_height: int
    orientation: int
    source: Box
    content: Box
    width: int
    height: int
    patch_px: int

    @property
    def rows(self) -> int:
        """Rows of patch tokens."""
        return self.height // self.patch_px

    @property
    def columns(self) -> int:
        """Columns of patch tokens."""
        return self.width // self.patch_px

    def patch_box(self, row: int, column: int) -> Box:
        """Return the square behind a patch token, in upright pixels of the picture.

        Not rounded. Where the patch holds padding, the box reaches beyond `source`,
        and may lie outside the picture altogether.

        Raises:
            IndexError: there is no such row or column.
        """
        if not (0 <= row < self.rows and 0 <= column < self.columns):
            raise IndexError(f"no patch ({row}, {column})")
        side = self.patch_px
        return Box(
            self._x_of(column * side),
            self._y_of(row * side),
            self._x_of((column + 1) * side),
            self._y_of((row + 1) * side),
        )

    def patch_at(self, x: float, y: float) -> tuple[int, int] | None:
        """Return row and column of the patch over a point of the upright picture.

        None where the model did not see the point, NaN included: outside the
        picture, or cut off.
        """
        source, content = self.source, self.content
        if not (source.left <= x < source.right and source.top <= y < source.bottom):
            return None
        across = (x - source.left) * (content.right - content.left)
        down = (y - source.top) * (content.bottom - content.top)
        column = content.left + across / (source.right - source.left)
        row = content.top + down / (source.bottom - source.top)
        # Rounding may lift a point just within the last edge onto it.
        return (
            min(int(row // self.patch_px), self.rows - 1),
            min(int(column // self.patch_px), self.columns - 1),
        )

    def stored_box(self, box: Box) -> Box:
        """Return the same rectangle in the pixels of the file, before it is turned.

        Args:
            box: in upright pixels of the picture.
        """
        left, top, right, bottom = box
        if self.orientation in _MIRRORED_X:
            left, right = self.image_width - right, self.image_width - left
        if self.orientation in _MIRRORED_Y:
            top, bottom = self.image_height - bottom, self.image_height - top
        if self.orientation in _SWAPPED:
            return Box(top, left, bottom, right)
        return Box(left, top, right, bottom)

    def _x_of(self, column_px: float) -> float:
        source, content = self.source, self.content
        ratio = (column_px - content.left) * (source.right - source.left)
        return source.left + ratio / (content.right - content.left)

    def _y_of(self, row_px: float) -> float:
        source, content = self.source, self.content
        ratio = (row_px - content.top) * (source.bottom - source.top)
        return source.top + ratio / (content.bottom - content.top)
