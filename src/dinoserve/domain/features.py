"""Dense features: tokens by name, their principal components, and cosine maps."""

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dinoserve.domain.geometry import Geometry

Tokens: TypeAlias = NDArray[np.float32]
Mask: TypeAlias = NDArray[np.bool_]
Colours: TypeAlias = NDArray[np.uint8]

COMPONENTS = 3
"""How many principal components a picture shows: one each as red, green, blue."""

FLOAT16_MAX = 65_504.0
"""The greatest finite number of IEEE 754 binary16."""

_PERCENTILES = (1, 99)
_BLOCK, _ROUNDS, _SEED = 8, 8, 20_260
# matplotlib's viridis (CC0) at ten equal steps: its lightness rises evenly, and it
# reads the same with the common colour vision deficiencies.
_VIRIDIS = np.array(
    [
        (0x44, 0x01, 0x54),
        (0x48, 0x28, 0x78),
        (0x3E, 0x49, 0x89),
        (0x31, 0x68, 0x8E),
        (0x26, 0x82, 0x8E),
        (0x1F, 0x9E, 0x89),
        (0x35, 0xB7, 0x79),
        (0x6E, 0xCE, 0x58),
        (0xB5, 0xDE, 0x2B),
        (0xFD, 0xE7, 0x25),
    ],
    np.float64,
)


class TokenParts(NamedTuple):
    """The tokens of one image by what they are; views, nothing is copied.

    Attributes:
        cls: float32 (d,), the class token.
        registers: float32 (registers, d); none on a ConvNeXt.
        patches: float32 (rows, columns, d).
    """

    cls: Tokens
    registers: Tokens
    patches: Tokens


def parts_of(tokens: Tokens, registers: int, rows: int, columns: int) -> TokenParts:
    """Return the parts of float32 (1 + registers + rows * columns, d)."""
    first_patch = 1 + registers
    patches = tokens[first_patch:].reshape(rows, columns, tokens.shape[1])
    return TokenParts(tokens[0], tokens[1:first_patch], patches)


def seen(geometry: Geometry) -> Mask:
    """Return bool (rows, columns): which patches have their centre in the picture.

    The others show padding.
    """
    content, patch_px = geometry.content, geometry.patch_px
    x = (np.arange(geometry.columns) + 0.5) * patch_px
    y = (np.arange(geometry.rows) + 0.5) * patch_px
    inside_x = (content.left <= x) & (x < content.right)
    inside_y = (content.top <= y) & (y < content.bottom)
    return inside_y[:, None] & inside_x


def mean_of(patches: Tokens) -> Tokens:
    """Return float32 (d,), the mean of float32 (n, d), n at least 1."""
    wide: NDArray[np.float64] = patches.mean(axis=0, dtype=np.float64)
    return wide.astype(np.float32)


def fits_float16(values: Tokens) -> bool:
    """Tell whether no value is beyond the finite numbers of float16."""
    return bool(values.max() <= FLOAT16_MAX and values.min() >= -FLOAT16_MAX)


class Basis(NamedTuple):
    """The first principal components of some patches.

    Attributes:
        mean: float32 (d,), the point they go through.
        components: float32 (3, d), of unit length and at right angles; a row is zero
            where the patches do not vary in so many directions. Of each, the entry of
            greatest magnitude is positive (the first of several), because the sign of
            a principal component is not determined by the data.
        explained: float64 (3,), the share of the variance along each, falling.
    """

    mean: Tokens
    components: Tokens
    explained: NDArray[np.float64]

    def scores(self, patches: Tokens) -> Tokens:
        """Return float32 (…, 3): where patches (…, d) lie along the components."""
        return np.asarray((patches - self.mean) @ self.components.T, np.float32)


def principal(patches: Tokens) -> Basis:
    """Return the first three principal components of float32 (n, d), n at least 1.

    The same patches always give the same. Exact up to rounding where n or d is at most
    64; beyond it the variance found is within rounding of the greatest possible unless
    many directions vary nearly alike, where their choice hardly matters.

    Source:
        block Krylov iteration, Musco & Musco, "Randomized Block Krylov Methods for
        Stronger and Faster Approximate Singular Value Decomposition" (2015),
        algorithm 2, from a fixed start.
    """
    mean = mean_of(patches)
    centred = patches - mean
    # Shares do not depend on the scale, and squares of tiny numbers would be zero.
    centred /= np.abs(centred).max() or 1
    space = _leading_space(centred)
    _, lengths, turns = np.linalg.svd(
        (centred @ space).astype(float), full_matrices=False
    )
    total = float(np.sum(np.square(centred), dtype=np.float64))
    # Below this, a direction is rounding.
    floor = total * max(centred.shape) * float(np.finfo(np.float32).eps)
    rows = np.zeros((COMPONENTS, patches.shape[1]))
    explained = np.zeros(COMPONENTS)
    for at, length in enumerate(lengths[:COMPONENTS]):
        if length**2 > floor:
            rows[at] = _signed(space @ turns[at])
            explained[at] = length**2 / total
    return Basis(mean, rows.astype(np.float32), explained)


def _leading_space(centred: Tokens) -> Tokens:
    """Return float32 (d, k), orthonormal: a space that holds the leading directions."""
    start = np.random.default_rng(_SEED).standard_normal((centred.shape[1], _BLOCK))
    block = start.astype(np.float32)
    blocks: list[Tokens] = []
    for _ in range(_ROUNDS):
        block = np.linalg.qr(centred.T @ (centred @ block))[0]
        blocks.append(block)
    return np.linalg.qr(np.concatenate(blocks, axis=1))[0]


def _signed(vector: NDArray[np.float64]) -> NDArray[np.float64]:
    return vector * np.sign(vector[np.argmax(np.abs(vector))])


def foregrounds(scores: Sequence[Tokens], visible: Sequence[Mask]) -> list[Mask]:
    """Return which patches of each picture show something, told by one component.

    The component is cut at zero, its mean. Foreground is the side that holds the
    smaller share of the patches at the pictures' edges, because what a picture is of
    seldom fills its edges; the positive side if the shares are equal, and everything
    seen if nothing varies.

    Args:
        scores: float32 (rows, columns) of each picture, along the first component.
        visible: bool (rows, columns) of each: which patches show the picture at all.
    """
    edge = np.concatenate(
        [score[_edge(mask)] for score, mask in zip(scores, visible, strict=True)]
    )
    sign = 1 if np.count_nonzero(edge > 0) <= np.count_nonzero(edge < 0) else -1
    found = [
        mask & (sign * score > 0) for score, mask in zip(scores, visible, strict=True)
    ]
    return found if any(mask.any() for mask in found) else list(visible)


def _edge(visible: Mask) -> Mask:
    """Return the patches with a neighbour that is not visible, or none at all."""
    framed = np.pad(visible, 1)
    inside = framed[:-2, 1:-1] & framed[2:, 1:-1] & framed[1:-1, :-2] & framed[1:-1, 2:]
    return visible & ~inside


def component_colours(scores: Sequence[Tokens], shown: Sequence[Mask]) -> list[Colours]:
    """Return uint8 (rows, columns, 4) of each picture: components as RGB, and alpha.

    Each component is scaled by itself over all pictures given: the 1st percentile of
    the patches shown becomes 0, the 99th 255, linear between and clipped outside, so
    that a few stray patches do not flatten the rest. One that does not vary becomes
    128. Alpha is 255 where a patch is shown, else 0.

    Args:
        scores: float32 (rows, columns, 3) of each picture.
        shown: bool (rows, columns) of each; at least one patch in all.
    """
    pooled = np.concatenate(
        [score[mask] for score, mask in zip(scores, shown, strict=True)]
    )
    low, high = np.percentile(pooled, _PERCENTILES, axis=0)
    return [
        with_alpha(_spread(score, low, high), mask, 255)
        for score, mask in zip(scores, shown, strict=True)
    ]


def _spread(
    values: Tokens, low: NDArray[np.float64], high: NDArray[np.float64]
) -> Colours:
    varies = high > low
    share = (values - low) / np.where(varies, high - low, 1)
    levels = np.where(varies, np.clip(share, 0, 1) * 255, 128)
    return np.round(levels).astype(np.uint8)


def with_alpha(rgb: Colours, shown: Mask, alpha: int) -> Colours:
    """Return uint8 (…, 4) of uint8 (…, 3): this alpha where shown, else all zero."""
    opaque = np.full((*rgb.shape[:-1], 1), alpha, np.uint8)
    return np.concatenate([rgb, opaque], axis=-1) * shown[..., None].astype(np.uint8)


def heat_colours(values: Tokens, shown: Mask) -> Colours:
    """Return uint8 (…, 3): viridis from the least of the values shown to the greatest.

    Values that are all alike get the dark end.
    """
    low, high = values[shown].min(), values[shown].max()
    share = np.clip((values - low) / (high - low if high > low else 1), 0, 1)
    stops = np.linspace(0, 1, len(_VIRIDIS))
    rgb = np.empty((*values.shape, 3))
    for channel in range(3):
        rgb[..., channel] = np.interp(share, stops, _VIRIDIS[:, channel])
    return np.round(rgb).astype(np.uint8)


def cosine_map(query: Tokens, patches: Tokens) -> Tokens:
    """Return the cosine of float32 (d,) to each patch of (rows, columns, d).

    Returns:
        float32 (rows, columns), each in [-1, 1]; 0 where a vector is zero.
    """
    lengths = np.linalg.norm(patches, axis=-1) * np.linalg.norm(query)
    products = patches @ query
    cosines = np.divide(
        products, lengths, out=np.zeros_like(products), where=lengths > 0
    )
    return np.clip(cosines, -1.0, 1.0)
