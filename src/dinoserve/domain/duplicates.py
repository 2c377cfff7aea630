"""Duplicates: four kinds of evidence kept apart, and which of a group to keep."""

from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, TypeAlias, TypeVar

import numpy as np

from dinoserve.domain.assets import Asset
from dinoserve.domain.groups import components

List: TypeAlias = Literal["exact", "same_pixels", "near", "look_alike"]

LISTS: Final[tuple[List, ...]] = ("exact", "same_pixels", "near", "look_alike")
"""From the strongest evidence to the weakest; a pair stands in the first it fits."""

# Formats that keep every pixel; those that may or may not are taken for lossy. GIF
# keeps 256 colours only.
_LOSSLESS: Final = frozenset({"image/png", "image/bmp", "image/tiff"})

_Key = TypeVar("_Key", bound=Hashable)


class Best(NamedTuple):
    """Which asset of a group to keep.

    Attributes:
        reasons: in words, in the order in which they decided.
    """

    asset: str
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Same:
    """Assets with one digest.

    Attributes:
        digest: SHA-256 in hex: of the bytes, or of the decoded pixels.
        assets: ids, rising.
    """

    digest: str
    assets: tuple[str, ...]
    keep: Best


@dataclass(frozen=True, slots=True)
class NearPair:
    """Two assets whose perceptual hashes differ little.

    Attributes:
        left: id; less than `right`.
        distance: of 64 bits, those that differ.
        turn: what makes the right picture lie as the left one; see `TURNS`.
        patch_share: of the patches, those whose mutual nearest one lies in the same
            place, in [0, 1]: the smaller share of the two. None: not compared.
        patch_cosine: mean cosine of these pairs of patches, in [-1, 1].
    """

    left: str
    right: str
    distance: int
    turn: str
    patch_share: float | None = None
    patch_cosine: float | None = None


@dataclass(frozen=True, slots=True)
class Near:
    """Assets that are linked by near pairs; not every two of them need be a pair."""

    assets: tuple[str, ...]
    pairs: tuple[NearPair, ...]
    keep: Best


@dataclass(frozen=True, slots=True)
class Alike:
    """Two assets whose vectors are close: similar, which is no duplicate."""

    left: str
    right: str
    score: float


@dataclass(frozen=True, slots=True)
class Duplicates:
    """What was found in a set of assets.

    Attributes:
        near: groups of pairs that the patches confirm, or that were not compared.
        unconfirmed: pairs whose hashes are near and whose patches are not.
    """

    exact: Sequence[Same] = ()
    same_pixels: Sequence[Same] = ()
    near: Sequence[Near] = ()
    unconfirmed: Sequence[NearPair] = ()
    look_alike: Sequence[Alike] = ()

    def only(self, lists: Collection[List]) -> "Duplicates":
        """Return these lists, and the others empty."""
        return Duplicates(
            exact=self.exact if "exact" in lists else (),
            same_pixels=self.same_pixels if "same_pixels" in lists else (),
            near=self.near if "near" in lists else (),
            unconfirmed=self.unconfirmed if "near" in lists else (),
            look_alike=self.look_alike if "look_alike" in lists else (),
        )


def same_by(
    assets: Mapping[str, Asset],
    digest: Callable[[str], str | None],
) -> tuple[list[Same], list[str]]:
    """Return the groups of one digest, and an asset for each digest.

    Args:
        assets: by id.
        digest: of an asset; None: it has none, and stands for itself.

    Returns:
        Groups of two and more by their digest; ids, rising: of each group the one to
        keep, and all that are in none.
    """
    by_digest = _collected((digest(key), key) for key in sorted(assets))
    groups: list[Same] = []
    standing: list[str] = by_digest.pop(None, [])
    for value, keys in sorted(by_digest.items(), key=lambda item: str(item[0])):
        keep = _first([assets[key] for key in keys])
        standing.append(keep.asset)
        if len(keys) > 1:
            groups.append(Same(str(value), tuple(keys), keep))
    return groups, sorted(standing)


def near_groups(
    pairs: Sequence[NearPair],
    assets: Mapping[str, Asset],
    sharpness: Mapping[str, float],
) -> list[Near]:
    """Return the groups that the pairs link, the largest first.

    Args:
        pairs: that count.
        assets: all that are in pairs, by id.
        sharpness: where it was measured.
    """
    ids = sorted({key for pair in pairs for key in (pair.left, pair.right)})
    place = {key: at for at, key in enumerate(ids)}
    left = np.array([place[pair.left] for pair in pairs], np.int32)
    right = np.array([place[pair.right] for pair in pairs], np.int32)
    labels: list[int] = components(len(ids), left, right).tolist()
    members = _collected(zip(labels, ids, strict=True))
    linking: dict[int, list[NearPair]] = {}
    for pair in pairs:
        linking.setdefault(labels[place[pair.left]], []).append(pair)
    groups = [
        Near(
            tuple(keys),
            tuple(linking[label]),
            best([assets[key] for key in keys], sharpness),
        )
        for label, keys in members.items()
    ]
    return sorted(groups, key=lambda group: (-len(group.assets), group.assets))


def best(assets: Sequence[Asset], sharpness: Mapping[str, float]) -> Best:
    """Return the asset to keep: most pixels, lossless, sharpest, most bytes, oldest.

    Each criterion is asked among those that the ones before left over. What nothing
    else decides, the time of upload does, and then the id.

    Args:
        assets: at least one.
        sharpness: by asset id, where it was measured; used if all of those left have
            one.
    """
    left, reasons = list(assets), list[str]()
    for rank, word in _criteria(sharpness):
        values = {asset.id: rank(asset) for asset in left}
        if any(value is None for value in values.values()):
            continue
        most = max(value for value in values.values() if value is not None)
        kept = [asset for asset in left if values[asset.id] == most]
        if len(kept) < len(left):
            reasons.append(word(kept[0]))
        left = kept
    if len(left) > 1:
        reasons.append("equal in all that was compared, and uploaded first")
    return Best(_oldest(left).id, tuple(reasons))


def _first(assets: Sequence[Asset]) -> Best:
    """Return which to keep of assets that show the same pixels: the oldest.

    Neither format nor bytes tell more of them: a PNG that was made of a JPEG is larger,
    and no better.
    """
    reasons = ("the same pixels, and uploaded first",) if len(assets) > 1 else ()
    return Best(_oldest(assets).id, reasons)


def _oldest(assets: Sequence[Asset]) -> Asset:
    return min(assets, key=lambda asset: (asset.created_at, asset.id))


_Criterion: TypeAlias = tuple[Callable[[Asset], float | None], Callable[[Asset], str]]


def _criteria(sharpness: Mapping[str, float]) -> list[_Criterion]:
    return [
        (
            lambda asset: asset.image.width * asset.image.height,
            lambda asset: f"most pixels: {asset.image.width} x {asset.image.height}",
        ),
        (
            lambda asset: asset.image.media_type in _LOSSLESS,
            lambda asset: f"lossless: {asset.image.media_type}",
        ),
        (
            lambda asset: sharpness.get(asset.id),
            lambda asset: f"sharpest: {sharpness[asset.id]:.3g}",
        ),
        (
            lambda asset: asset.size_bytes,
            lambda asset: f"most bytes: {asset.size_bytes}",
        ),
    ]


def _collected(
    pairs: Iterable[tuple[_Key, str]],
) -> dict[_Key, list[str]]:
    found: dict[_Key, list[str]] = {}
    for key, value in pairs:
        found.setdefault(key, []).append(value)
    return found
