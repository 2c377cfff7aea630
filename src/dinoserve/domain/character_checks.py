"""Character checks: how alike a subject looks in two pictures, part by part."""

from collections.abc import Sequence
from typing import Final, Literal, NamedTuple, TypeAlias

import numpy as np

from dinoserve.domain.features import Colours, Mask, Tokens, mean_of, with_alpha
from dinoserve.domain.geometry import Box, Geometry
from dinoserve.domain.matching import mutual_nearest, unit_patches
from dinoserve.domain.vectors import Matrix, Vector

Origin: TypeAlias = Literal["box", "mask", "found"]
Score: TypeAlias = Literal["whole_image", "foreground", "pair_mean"]
"""Parts of a likeness that do not change when its two sides do."""

DRIFTED_BELOW: Final = 0.5
"""A patch of the reference that no patch of the subject reaches this cosine to has
drifted. A convention, not a measurement: no threshold for DINOv3 is known."""

_ORANGE, _BLUE, _ALPHA = (0xE6, 0x9F, 0x00), (0x00, 0x72, 0xB2), 128


class Subject(NamedTuple):
    """What a picture shows of its subject.

    Attributes:
        vector: float32 (d,), unit length: the embedding of the whole picture.
        patches: float32 (n, d), rows of unit length: of the foreground, row by row.
        mean: float32 (d,), unit length: of the mean of the foreground's patches; zero
            if they cancel out.
        mask: bool (rows, columns): the foreground, n patches, at least one.
        origin: who said that it is.
    """

    vector: Vector
    patches: Matrix
    mean: Vector
    mask: Mask
    geometry: Geometry
    origin: Origin


class Likeness(NamedTuple):
    """How alike two subjects look; parts that are never made one number.

    Attributes:
        whole_image: cosine of the embeddings, background and all, in [-1, 1].
        foreground: cosine of the mean patches of the foregrounds, in [-1, 1].
        pairs: how many patches are each other's nearest.
        reference_share: share of the reference's foreground that has a pair, in [0, 1].
        asset_share: the same of the asset's foreground.
        pair_mean: mean cosine of the pairs, in [-1, 1].
        reference_mean: mean of the greatest cosine of each patch of the reference.
        asset_mean: the same of each patch of the asset.
    """

    whole_image: float
    foreground: float
    pairs: int
    reference_share: float
    asset_share: float
    pair_mean: float
    reference_mean: float
    asset_mean: float


class Part(NamedTuple):
    """Patches of the reference's foreground that hang together, all found or drifted.

    Attributes:
        box: around them, in upright pixels of the reference.
        patches: how many.
        score: mean of the greatest cosine of each to the asset's, in [-1, 1].
    """

    box: Box
    patches: int
    score: float

    def told(self) -> dict[str, object]:
        """Return the part as JSON: `box`, `patches`, `similarity`."""
        return {
            "box": [round(edge, 2) for edge in self.box],
            "patches": self.patches,
            "similarity": round(self.score, 6),
        }


class Comparison(NamedTuple):
    """A reference and an asset.

    Attributes:
        reference_scores: float32 (rows, columns) of the reference: of each patch of its
            foreground the greatest cosine to the asset's foreground; 0 elsewhere.
        asset_scores: the same of the asset, to the reference's foreground.
    """

    likeness: Likeness
    reference_scores: Tokens
    asset_scores: Tokens


def subject(
    tokens: tuple[Vector, Tokens], mask: Mask, geometry: Geometry, origin: Origin
) -> Subject:
    """Return the subject of a picture.

    Args:
        tokens: the embedding, and float32 (rows, columns, d): all patches.
        mask: bool (rows, columns), at least one true.
        geometry: of the patches.
        origin: who said what the mask says.
    """
    vector, patches = tokens
    inside = patches[mask]
    mean = unit_patches(mean_of(inside)[None])[0]
    return Subject(vector, unit_patches(inside), mean, mask, geometry, origin)


def compare(reference: Subject, asset: Subject) -> Comparison:
    """Return how alike two subjects look.

    Source:
        the set of scores: cosine of the class tokens; of masked mean patches; and
        best-buddies pairs, see `domain.matching.mutual_nearest`.
    """
    matches = mutual_nearest(reference.patches, asset.patches)
    likeness = Likeness(
        whole_image=cosine(reference.vector, asset.vector),
        foreground=cosine(reference.mean, asset.mean),
        pairs=len(matches.left),
        reference_share=matches.left_share,
        asset_share=matches.right_share,
        pair_mean=matches.mean_cosine,
        reference_mean=matches.left_mean,
        asset_mean=matches.right_mean,
    )
    return Comparison(
        likeness,
        _on_grid(reference.mask, matches.left_best),
        _on_grid(asset.mask, matches.right_best),
    )


def cosine(left: Vector, right: Vector) -> float:
    """Return the product of two vectors of unit length, in [-1, 1]."""
    return float(np.clip(np.dot(left, right), -1.0, 1.0))


def best_of(comparisons: Sequence[Comparison]) -> int:
    """Return the place of the greatest foreground cosine, the first of several."""
    return int(np.argmax([each.likeness.foreground for each in comparisons]))


def parts_of_subject(scores: Tokens, mask: Mask, geometry: Geometry) -> list[Part]:
    """Return the parts that some patches fall into, largest first.

    Patches hang together where they share an edge.

    Args:
        scores: float32 (rows, columns) of the reference.
        mask: bool (rows, columns): which patches.
        geometry: of the reference.
    """
    left = set(zip(*(axis.tolist() for axis in np.nonzero(mask)), strict=True))
    parts: list[Part] = []
    while left:
        cells = _spread_from(min(left), left)
        mean = float(np.mean([scores[cell] for cell in cells], dtype=np.float64))
        parts.append(Part(box_around(cells, geometry), len(cells), mean))
    return sorted(parts, key=lambda part: (-part.patches, part.box))


def box_around(cells: Sequence[tuple[int, int]], geometry: Geometry) -> Box:
    """Return the box around patches, cut to what the model saw, in upright pixels."""
    boxes = [geometry.patch_box(*cell) for cell in cells]
    source = geometry.source
    return Box(
        max(min(box.left for box in boxes), source.left),
        max(min(box.top for box in boxes), source.top),
        min(max(box.right for box in boxes), source.right),
        min(max(box.bottom for box in boxes), source.bottom),
    )


def found_and_drifted(
    comparison: Comparison, reference: Subject, drifted_below: float
) -> tuple[list[Part], list[Part]]:
    """Return the parts of the reference that the asset shows, and those it does not.

    Args:
        comparison: of the reference.
        reference: whose parts.
        drifted_below: the least cosine of a patch that was found, in [-1, 1].
    """
    scores, mask = comparison.reference_scores, reference.mask
    is_drifted = mask & (scores < drifted_below)
    return (
        parts_of_subject(scores, mask & ~is_drifted, reference.geometry),
        parts_of_subject(scores, is_drifted, reference.geometry),
    )


def colours_of(scores: Tokens, mask: Mask, drifted_below: float) -> Colours:
    """Return uint8 (rows, columns, 4): blue where found, orange where drifted.

    Both are half transparent, and what is not in the mask wholly.

    Source:
        Okabe & Ito, "Color Universal Design" (2008): two colours that people with any
        colour vision tell apart.
    """
    rgb = np.where((scores < drifted_below)[..., None], _ORANGE, _BLUE)
    return with_alpha(rgb.astype(np.uint8), mask, _ALPHA)


def _on_grid(mask: Mask, values: Matrix) -> Tokens:
    grid = np.zeros(mask.shape, np.float32)
    grid[mask] = values
    return grid


def _spread_from(
    start: tuple[int, int], left: set[tuple[int, int]]
) -> list[tuple[int, int]]:
    """Take from `left` what hangs together with a patch, and return it."""
    left.discard(start)
    cells = [start]
    for row, column in cells:  # it grows while it is walked
        beside = {
            (row - 1, column),
            (row + 1, column),
            (row, column - 1),
            (row, column + 1),
        } & left
        left -= beside
        cells += sorted(beside)
    return cells
