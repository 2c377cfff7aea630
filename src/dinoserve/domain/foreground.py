"""Foreground: which patches of a picture show its subject, said or found."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from dinoserve.domain.features import Mask, Tokens
from dinoserve.domain.geometry import Geometry
from dinoserve.domain.matching import unit_patches

MAX_PATCHES: Final = 1_024
"""A graph of so many patches has half a million edges, and takes about 0.1 s."""

_ALIKE: Final = 0.2
_HARDLY: Final = 1e-5
# Twelve give the same masks for every picture of docs/decisions/0016-foreground.md; up
# to 25, LAPACK wakes no threads for a millisecond each.
_ROUNDS: Final = 24
_SEED: Final = 20_261


def cut_out(patches: Tokens, visible: Mask) -> Mask:
    """Return bool (rows, columns): the subject, told without training; never empty.

    Patches are the nodes of a graph. An edge weighs 1 where the cosine is above 0.2,
    else 1e-5; the normalised cut splits it at the mean of its second eigenvector.
    Foreground is the side with the patch that lies farthest from that mean. A picture
    that cannot be split is foreground as a whole.

    Args:
        patches: float32 (rows, columns, d); at most `MAX_PATCHES`.
        visible: bool (rows, columns): which patches show the picture at all.

    Source:
        Wang et al., "Self-Supervised Transformers for Unsupervised Object Discovery
        using Normalized Cut" (TokenCut, 2022), equations 2 to 5, with its constants;
        Shi & Malik, "Normalized Cuts and Image Segmentation" (2000).
    """
    units = unit_patches(patches[visible])
    weights = np.where(units @ units.T > _ALIKE, 1.0, _HARDLY)
    if weights.min() == weights.max():
        return visible.copy()
    order = _second_eigenvector(weights)
    order -= order.mean()
    farthest = order[np.argmax(np.abs(order))]
    is_subject = order * np.sign(farthest) > 0
    found = np.zeros_like(visible)
    found[visible] = is_subject
    return found


def _second_eigenvector(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return float64 (n,): of (D - W) y = λ D y, the second least λ; by Lanczos.

    It is the greatest of the normalised weights' once the trivial one, the roots of
    the degrees, is taken out.
    """
    roots = np.sqrt(weights.sum(axis=1))
    trivial = roots / np.linalg.norm(roots)
    normalised = weights / roots[:, None] / roots
    basis = [trivial]
    products: list[NDArray[np.float64]] = []
    latest = np.random.default_rng(_SEED).standard_normal(len(weights))
    for _ in range(min(_ROUNDS, len(weights) - 1)):
        latest = _orthogonal(latest, basis)
        if not latest.any():
            break
        basis.append(latest)
        latest = _times(normalised, latest)
        products.append(latest)
    space = np.stack(basis[1:])
    _, turns = np.linalg.eigh(np.einsum("ik,jk->ij", space, np.stack(products)))
    return _times(space.T, turns[:, -1]) / roots


def _orthogonal(
    vector: NDArray[np.float64], basis: list[NDArray[np.float64]]
) -> NDArray[np.float64]:
    """Return a unit vector at right angles to the basis; zero if there is none."""
    known = np.stack(basis)
    before = np.linalg.norm(vector)
    # Twice, because rounding leaves something the first time.
    for _ in range(2):
        vector = vector - _times(known.T, _times(known, vector))
    length = np.linalg.norm(vector)
    return vector / length if length > before * 1e-10 else np.zeros_like(vector)


def _times(
    matrix: NDArray[np.float64], vector: NDArray[np.float64]
) -> NDArray[np.float64]:
    # BLAS would wake its threads for each of these hundreds of small products.
    return np.einsum("ij,j->i", matrix, vector)


def patches_of(pixels: NDArray[np.bool_], geometry: Geometry) -> Mask:
    """Return bool (rows, columns): patches of which the subject fills at least half.

    Where it fills half of none, those that it fills most.

    Args:
        pixels: bool (height, width) of the upright picture: where the subject is.
        geometry: of the features.

    Returns:
        All false where the part that the model saw shows nothing of the subject.
    """
    left, top, right, bottom = (round(edge) for edge in geometry.source)
    seen_part = pixels[top:bottom, left:right]
    rows = _weights(
        geometry.rows, geometry.patch_px, geometry.content[1::2], bottom - top
    )
    columns = _weights(
        geometry.columns, geometry.patch_px, geometry.content[0::2], right - left
    )
    # A row of patches at a time: a picture of 64 million pixels is large as floats.
    share = np.stack([_across(row, seen_part) @ columns.T for row in rows])
    most = float(share.max(initial=0.0))
    return share >= min(0.5, most) if most > 0 else np.zeros(share.shape, np.bool_)


def _across(row: NDArray[np.float32], pixels: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return float32 (width,): the weighted sum of the rows that have a weight."""
    some = row > 0
    return row[some] @ pixels[some].astype(np.float32)


def _weights(
    count: int, patch_px: int, content: tuple[float, ...], length: int
) -> NDArray[np.float32]:
    """Return float32 (count, length): the share of each patch that each pixel fills."""
    scale = length / (content[1] - content[0])
    edges = (np.arange(count + 1) * patch_px - content[0]) * scale
    low, high = edges[:-1, None], edges[1:, None]
    pixels = np.arange(length)
    overlap = np.minimum(high, pixels + 1) - np.maximum(low, pixels)
    return np.asarray(np.clip(overlap, 0, None) / (high - low), np.float32)
