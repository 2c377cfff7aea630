"""What a similarity network's relations say: who is new, and who has whom."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dinoserve.domain.assets import Asset
from dinoserve.domain.neighbours import NOBODY, Neighbours
from dinoserve.domain.network import DECIMALS, reached
from dinoserve.domain.relations import Node, Relation, RelationKey
from dinoserve.services.kinds.asset_sets import AssetSet

SIMILAR: Final = "similar"

Near: TypeAlias = tuple[str, Sequence[tuple[str, float]]]
"""The id of an asset, and of its neighbours, each with its cosine in `DECIMALS`."""

# If so many of the set are new, all are compared: that is not more work.
_MANY: Final = 0.25


@dataclass(frozen=True, slots=True)
class Network:
    """What a network is.

    Attributes:
        k: relations of each asset at most.
        min_score: least cosine of a relation, in (0, 1].
        mutual: keep a relation only where each is among the other's k nearest.
        full: compare every asset anew.
        remove_old: also erase what networks of other recipes related the assets to.
    """

    k: int = 10
    min_score: float = 0.5
    mutual: bool = False
    full: bool = False
    remove_old: bool = False

    def attributes(self, of: int | None) -> dict[str, object]:
        """Return what a relation tells of its network.

        Args:
            of: how many relations its source has; None: it is not told, and the next
                run compares the source anew.
        """
        told: dict[str, object] = {"k": self.k, "min_score": self.min_score}
        if self.mutual:
            told["mutual"] = True
        return told if of is None else {**told, "of": of}


class Stamp(NamedTuple):
    """What all relations of one run have in common."""

    job_id: str
    recipe: str
    made_at: datetime


def node(asset_id: str) -> str:
    """Return the id of an asset's node."""
    return str(Node("asset", asset_id))


def is_found(relation: Relation, recipe: str | None) -> bool:
    """Tell whether a network of this recipe, None: of any, has the relation."""
    return recipe in {None, relation.recipe} and relation.origin.startswith("job:")


def floors_of(
    how: Network, present: Iterable[Relation], places: Mapping[str, int]
) -> dict[int, float]:
    """Return of each asset that had its neighbours what a new one must reach.

    Args:
        how: the network that they must be of.
        present: all relations `similar` of these assets that networks of the recipe
            have.
        places: in the set, by node.

    Returns:
        The cosine, by place; -inf where some of the neighbours are gone. An asset
        without relations, or with some of another network, is new and left out.
    """
    by_source: defaultdict[str, list[Relation]] = defaultdict(list)
    for each in present:
        by_source[each.key.source].append(each)
    found: dict[int, float] = {}
    for source, own in by_source.items():
        told = dict(own[0].attributes)
        of = told.get("of")
        if (
            source in places
            and told == how.attributes(of if isinstance(of, int) else -1)
            and all(dict(each.attributes) == told for each in own)
        ):
            found[places[source]] = _floor(how, own, of, places)
    return found


def _floor(
    how: Network, own: Sequence[Relation], of: object, places: Mapping[str, int]
) -> float:
    if len(own) != of or any(each.key.target not in places for each in own):
        return -math.inf
    return min(each.weight for each in own) if of == how.k else how.min_score


def to_compare(
    members: AssetSet, floors: Mapping[int, float], *, full: bool
) -> NDArray[np.int32]:
    """Return int32 (r,): places of those whose neighbours may be others than before.

    First those that a new one is near to, or that lost a neighbour, then the new ones.

    Args:
        members: the set.
        floors: as `floors_of` gives them.
        full: return all of the set.
    """
    count = len(members.ids)
    least = np.full(count, np.inf, np.float32)
    for at, floor in floors.items():
        least[at] = floor
    is_new = np.isposinf(least)
    new = np.flatnonzero(is_new).astype(np.int32)
    if full or len(new) > _MANY * count:
        old = np.flatnonzero(~is_new)
    else:
        is_near = reached(members.vectors, new, least)
        old = np.flatnonzero(is_near | np.isneginf(least))
    return np.concatenate([old.astype(np.int32), new])


def relations_of(
    how: Network,
    stamp: Stamp,
    assets: Mapping[str, Asset],
    found: Iterable[Near],
    *,
    is_whole: bool,
) -> list[Relation]:
    """Return the relations of these assets.

    Args:
        how: the network.
        stamp: what they have in common.
        assets: by id; those that are not there have none.
        found: assets with their neighbours.
        is_whole: the network is of a whole collection, and nothing of it is missing.
    """
    relations: list[Relation] = []
    for source, near in found:
        if source not in assets:
            continue
        of = len(near) if is_whole and not how.mutual else None
        relations += [
            Relation(
                RelationKey(node(source), node(target), SIMILAR),
                weight,
                stamp.made_at,
                f"job:{stamp.job_id}",
                stamp.recipe,
                assets[source].collection,
                how.attributes(of),
            )
            for target, weight in near
        ]
    return relations


def near_of(
    ids: NDArray[np.bytes_], rows: NDArray[np.int32], found: Neighbours
) -> list[Near]:
    """Return the ids of some members of a set, each with its neighbours.

    Args:
        ids: ASCII (n,): of the set.
        rows: int32 (r,): places of the members in it.
        found: their neighbours.
    """
    told: list[Near] = []
    lists = (each.tolist() for each in (ids[rows], ids[found.indices], *found))
    for own, others, places, scores in zip(*lists, strict=True):
        near = [
            (other.decode(), round(score, DECIMALS))
            for other, place, score in zip(others, places, scores, strict=True)
            if place != NOBODY
        ]
        told.append((own.decode(), near))
    return told
