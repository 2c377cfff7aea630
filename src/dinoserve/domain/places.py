"""Places: what somebody points at in a picture, and the patches there."""

from typing import NamedTuple, TypeAlias

import numpy as np

from dinoserve.domain.features import Mask
from dinoserve.domain.geometry import Box, Geometry
from dinoserve.errors import InvalidInputError


class Point(NamedTuple):
    """A place in a picture, in its upright pixels; the corner is (0, 0)."""

    x: float
    y: float


Place: TypeAlias = Point | Box


def patches_at(place: Place, geometry: Geometry) -> Mask:
    """Return bool (rows, columns): the patches at a place, at least one.

    Of a point it is the patch that it lies in; of a box, every one that it overlaps.

    Raises:
        InvalidInputError: the place is no place in the picture, or one that the
            framing cut off; `field` is `point` or `box`.
    """
    field = "point" if isinstance(place, Point) else "box"
    _check_inside(place, geometry, field)
    mask = np.zeros((geometry.rows, geometry.columns), np.bool_)
    if isinstance(place, Box):
        for row, column in np.ndindex(mask.shape):
            mask[row, column] = _overlap(place, geometry.patch_box(row, column))
    elif found := geometry.patch_at(place.x, place.y):
        mask[found] = True
    if not mask.any():
        raise InvalidInputError(
            f"The {field} lies in a part of the picture that this framing cuts off;"
            f" the model saw {list(geometry.source)}. Try fit `squash`.",
            field=field,
            limit=list(geometry.source),
            value=list(place),
        )
    return mask


def _check_inside(place: Place, geometry: Geometry, field: str) -> None:
    width, height = geometry.image_width, geometry.image_height
    match place:
        case Point(x, y):
            is_inside = 0 <= x < width and 0 <= y < height
        case Box(left, top, right, bottom):
            is_inside = 0 <= left < right <= width and 0 <= top < bottom <= height
    if not is_inside:
        raise InvalidInputError(
            f"The {field} must lie inside the picture, which is {width} x {height}"
            " pixels when upright, right and bottom above left and top.",
            field=field,
            limit=[width, height],
            value=list(place),
        )


def _overlap(one: Box, other: Box) -> bool:
    return (
        one.left < other.right
        and other.left < one.right
        and one.top < other.bottom
        and other.top < one.bottom
    )
