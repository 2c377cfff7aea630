"""Duplicates as relations: what is the same, and what nearly is."""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Final, NamedTuple

from dinoserve.domain.duplicates import Duplicates, List, NearPair, Same
from dinoserve.domain.relations import Node, Relation, RelationKey

DUPLICATE: Final = "duplicate"
NEAR_DUPLICATE: Final = "near_duplicate"

_BITS: Final = 64
_BY: Final[Mapping[List, str]] = {"exact": "bytes", "same_pixels": "pixels"}


class Findings(NamedTuple):
    """What was found, and what its relations have in common.

    Attributes:
        collections: of the assets, by id.
        recipe: that patches were compared under.
        origin: of the relations.
    """

    found: Duplicates
    collections: Mapping[str, str]
    recipe: str
    origin: str
    found_at: datetime

    def relations(self) -> list[Relation]:
        """Return the relations: from copies to what to keep, and of near pairs.

        Of weight 1, or of a near pair the share of 64 bits that its hashes agree in.
        """
        made = list(self._same(self.found.exact, "exact"))
        made += self._same(self.found.same_pixels, "same_pixels")
        pairs = (pair for group in self.found.near for pair in group.pairs)
        return made + [self._near(pair) for pair in pairs]

    def _same(self, groups: Iterable[Same], name: List) -> Iterable[Relation]:
        for group in groups:
            kept = group.keep.asset
            for copy in group.assets:
                if copy != kept:
                    told: dict[str, object] = {"by": _BY[name], "digest": group.digest}
                    yield self._relation(_key(copy, kept, DUPLICATE), 1.0, told)

    def _near(self, pair: NearPair) -> Relation:
        told: dict[str, object] = {
            "distance": pair.distance,
            "turn": pair.turn,
            "patch_share": pair.patch_share,
            "patch_cosine": pair.patch_cosine,
        }
        key = _key(pair.left, pair.right, NEAR_DUPLICATE)
        return self._relation(key, 1 - pair.distance / _BITS, told)

    def _relation(
        self, key: RelationKey, weight: float, told: dict[str, object]
    ) -> Relation:
        source = key.source.partition(":")[2]
        # What is the same in bytes or pixels is so whatever the model.
        recipe = self.recipe if told.get("patch_share") is not None else None
        return Relation(
            key,
            weight,
            self.found_at,
            self.origin,
            recipe,
            self.collections[source],
            told,
        )


def node(asset_id: str) -> str:
    """Return the id of an asset's node."""
    return str(Node("asset", asset_id))


def is_sought(relation: Relation, lists: Collection[List], nodes: set[str]) -> bool:
    """Tell whether a search for these lists among these nodes would find it."""
    if relation.key.target not in nodes:
        return False
    if relation.key.kind == NEAR_DUPLICATE:
        return "near" in lists
    return relation.attributes.get("by") in {_BY.get(name) for name in lists}


def _key(source: str, target: str, kind: str) -> RelationKey:
    return RelationKey(node(source), node(target), kind)
