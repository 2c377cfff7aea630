"""Regions: the patches of a picture pooled into a few vectors, each with its box."""

import math
from base64 import b64decode, b64encode
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dinoserve.domain.assets import Metadata
from dinoserve.domain.features import Mask, Tokens, seen
from dinoserve.domain.geometry import Box, Geometry
from dinoserve.domain.matching import unit_patches
from dinoserve.domain.scaling import averaged
from dinoserve.domain.vectors import Matrix, Vector

MAX_REGIONS: Final = 16
"""Regions of a picture; fewer where vectors are so long that a trait holds fewer."""

# A trait holds 64 KiB as JSON; base64 makes four bytes of three.
_MAX_BYTES: Final = 45_000
_ROUNDS: Final = 8
# How much one step of the grid of regions weighs beside a squared distance of unit
# vectors (0 to 4): a patch one region away is taken if its cosine is 0.25 greater. A
# convention that keeps regions compact; it was not tuned on pictures.
_STEP_WEIGHT: Final = 0.5
# The mean of ImageNet (RGB), which preprocessing makes 0: it is like nothing.
_NOTHING: Final = (124, 116, 104)
_MAX_SIDE_PX: Final = 1024


class Regions(NamedTuple):
    """What the regions of a picture look like, and where they are.

    Attributes:
        vectors: float32 (n, d), of unit length; stored as float16.
        boxes: float32 (n, 4): left, top, right, bottom in upright pixels.
    """

    vectors: Matrix
    boxes: NDArray[np.float32]

    def to_json(self) -> Metadata:
        """Return what is kept."""
        vectors = self.vectors.astype("<f2").tobytes()
        boxes = np.round(self.boxes, 1).astype(float).tolist()
        return {"vectors": b64encode(vectors).decode(), "boxes": boxes}

    @classmethod
    def read(cls, values: Metadata) -> "Regions":
        """Return what `to_json` was made of, but for rounding."""
        told: Any = values
        boxes = np.array(told["boxes"], np.float32)
        raw = np.frombuffer(b64decode(told["vectors"]), "<f2")
        vectors = raw.reshape(len(boxes), -1).astype(np.float32)
        return cls(unit_patches(vectors), boxes)

    def best(self, query: Vector) -> tuple[float, Box]:
        """Return the greatest cosine to float32 (d,) of unit length, and its box."""
        scores = self.vectors @ query
        at = int(np.argmax(scores))
        left, top, right, bottom = self.boxes[at].tolist()
        return float(np.clip(scores[at], -1, 1)), Box(left, top, right, bottom)


def method_of(recipe: str) -> str:
    """Return the method of traits that hold regions of this recipe."""
    return f"regions-1:{recipe}"


def pooled(patches: Tokens, geometry: Geometry) -> Regions:
    """Return a picture's regions: patches that look alike and lie together.

    Args:
        patches: float32 (rows, columns, d), as the model gave them.
        geometry: which pixels they show.

    Returns:
        At most `MAX_REGIONS`; each vector is the unit mean of its unit patches, each
        box holds all of them.

    Source:
        k-means over looks and place from seeds on a grid: Achanta et al., "SLIC
        Superpixels Compared to State-of-the-Art Superpixel Methods" (2012), on patch
        vectors instead of colours, every patch against every seed.
    """
    shown = seen(geometry)
    looks = unit_patches(patches[shown])
    places = np.argwhere(shown)
    side = _side(patches.shape[-1])
    points = np.concatenate([looks, _weighted(places, side)], axis=1)
    owner = _clustered(points, _seeds(places, side))
    kept = np.unique(owner)
    vectors = np.stack([looks[owner == one].mean(axis=0) for one in kept])
    boxes = [_box(places[owner == one], geometry) for one in kept]
    return Regions(unit_patches(vectors), np.array(boxes, np.float32))


def mean_look(patches: Tokens, mask: Mask) -> Vector:
    """Return float32 (d,), the unit mean of the unit patches that a mask shows."""
    [look] = unit_patches(unit_patches(patches[mask]).mean(axis=0, keepdims=True))
    return look


def cut(
    picture: NDArray[np.uint8], box: Box, mask: NDArray[np.bool_] | None
) -> NDArray[np.uint8]:
    """Return the part of a picture in a box, uint8 (h, w, 3).

    What a mask leaves out gets the colour that preprocessing makes 0.

    Args:
        picture: uint8 (height, width, 3), upright.
        box: inside it; whole pixels that it touches are taken.
        mask: bool (height, width).
    """
    rows = slice(int(box.top), math.ceil(box.bottom))
    columns = slice(int(box.left), math.ceil(box.right))
    part = picture[rows, columns]
    if mask is not None:
        part = np.where(mask[rows, columns, None], part, np.array(_NOTHING, np.uint8))
    if max(part.shape[:2]) <= _MAX_SIDE_PX:
        return np.ascontiguousarray(part)
    planes = [np.ascontiguousarray(one) for one in np.moveaxis(part, 2, 0)]
    scaled = [averaged(plane, _MAX_SIDE_PX) for plane in planes]
    return np.rint(np.stack(scaled, axis=2)).astype(np.uint8)


def box_of(mask: NDArray[np.bool_]) -> Box:
    """Return the smallest box around what a mask shows; something must be."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return Box(
        float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)
    )


def _side(width: int) -> int:
    """Return how many regions lie side by side, for vectors of this width."""
    return math.isqrt(max(1, min(MAX_REGIONS, _MAX_BYTES // (2 * width))))


def _weighted(places: NDArray[np.intp], side: int) -> Matrix:
    """Return float32 (n, 2): places, one step of the grid as far as `_STEP_WEIGHT`."""
    extent = np.ptp(places, axis=0) + 1
    scale = side * math.sqrt(_STEP_WEIGHT) / extent
    return ((places - places.min(axis=0)) * scale).astype(np.float32)


def _seeds(places: NDArray[np.intp], side: int) -> NDArray[np.intp]:
    """Return for each patch the cell of the grid that it begins in."""
    extent = np.ptp(places, axis=0) + 1
    cells = (places - places.min(axis=0)) * side // extent
    return cells[:, 0] * side + cells[:, 1]


def _clustered(points: Matrix, owner: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return the cluster of each point: k-means from these, until nothing moves."""
    for _ in range(_ROUNDS):
        kept = np.unique(owner)
        centres = np.stack([points[owner == one].mean(axis=0) for one in kept])
        # |p - c|^2 without |p|^2, which is the same for every centre.
        far = np.sum(np.square(centres), axis=1) - 2 * points @ centres.T
        nearest = kept[np.argmin(far, axis=1)]
        if np.array_equal(nearest, owner):
            break
        owner = nearest
    return owner


def _box(places: NDArray[np.intp], geometry: Geometry) -> Box:
    """Return the box around patches, cut to the part of the picture that was seen."""
    top, left = (int(one) for one in places.min(axis=0))
    bottom, right = (int(one) for one in places.max(axis=0))
    first, last = geometry.patch_box(top, left), geometry.patch_box(bottom, right)
    source = geometry.source
    return Box(
        max(first.left, source.left),
        max(first.top, source.top),
        min(last.right, source.right),
        min(last.bottom, source.bottom),
    )
