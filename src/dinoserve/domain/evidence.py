"""What shows a character, and by what evidence: relations of kind `depicts`."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final, NamedTuple, cast

from dinoserve.domain.character_members import accepted
from dinoserve.domain.characters import Character, Check, Reference
from dinoserve.domain.labelled_pairs import LabelledPair
from dinoserve.domain.relations import Node, Relation, RelationKey

DEPICTS: Final = "depicts"

REFERENCE: Final = "reference"
REVIEW: Final = "review"
CHECK: Final = "check"
DERIVED: Final = frozenset({REFERENCE, REVIEW, CHECK})
"""Origins of `depicts` that follow from what is kept of characters."""


class Known(NamedTuple):
    """What people decided of a character.

    Attributes:
        references: assets.
        same: other assets that reviews say show it.
        apart: assets that reviews say differ from a reference.
    """

    character: Character
    references: Mapping[str, Reference]
    same: Collection[str]
    apart: Collection[str]

    @classmethod
    def of(cls, character: Character, pairs: Sequence[LabelledPair]) -> "Known":
        """Return what these reviews say of the character."""
        references = {each.asset_id: each for each in character.references}
        same = accepted(character, pairs) - references.keys()
        differing = {
            key
            for left, right, is_same in pairs
            if not is_same and not references.keys().isdisjoint((left, right))
            for key in (left, right)
        }
        return cls(character, references, same, differing - references.keys())

    def relations(self, now: datetime) -> list[Relation]:
        """Return the relations of references and reviews, each of weight 1."""
        own = self.character
        shown = [
            replace(_said(own, key, now, REFERENCE), attributes=_region(each))
            for key, each in self.references.items()
        ]
        return shown + [_said(own, key, now, REVIEW) for key in sorted(self.same)]

    def found(self, checks: Iterable[Check]) -> list[Relation]:
        """Return the relations of those checks that count.

        A check counts while its best reference is one, unless people decided of the
        asset, its foreground cosine is not above 0, or a calibration says that it is
        no match: that of the foreground's cosine, else any.
        """
        return [
            _from_check(self.character, check)
            for check in checks
            if self._counts(check)
        ]

    def is_over(self, relation: Relation) -> bool:
        """Tell whether a check's relation has lost what it rests on."""
        asset_id = relation.key.source.partition(":")[2]
        decided = asset_id in self.references or asset_id in self.same
        best = relation.attributes.get("reference")
        return decided or asset_id in self.apart or best not in self.references

    def _counts(self, check: Check) -> bool:
        decided = {*self.references, *self.same, *self.apart}
        return (
            check.reference_id in self.references
            and check.asset_id not in decided
            and _likeness(check)["foreground"] > 0
            and not _is_no_match(check)
        )


def linked_to(assets: Collection[str], pairs: Iterable[LabelledPair]) -> set[str]:
    """Return the assets, and what pairs say shows the same as one of them."""
    same: defaultdict[str, set[str]] = defaultdict(set)
    for left, right, is_same in pairs:
        if is_same:
            same[left].add(right)
            same[right].add(left)
    found, waiting = set(assets), list(assets)
    while waiting:
        new = same[waiting.pop()] - found
        found |= new
        waiting += new
    return found


def node(character_id: str) -> str:
    """Return the id of a character's node."""
    return str(Node("character", character_id))


def key_of(asset_id: str, character_id: str) -> RelationKey:
    """Return which relation says that the asset shows the character."""
    return RelationKey(str(Node("asset", asset_id)), node(character_id), DEPICTS)


def _said(character: Character, asset_id: str, now: datetime, origin: str) -> Relation:
    key = key_of(asset_id, character.id)
    return Relation(key, 1.0, now, origin, collection=character.collection)


def _from_check(character: Character, check: Check) -> Relation:
    likeness = _likeness(check)
    return Relation(
        key_of(check.asset_id, character.id),
        min(likeness["foreground"], 1.0),
        check.checked_at,
        CHECK,
        check.recipe,
        character.collection,
        {
            "reference": check.reference_id,
            "appearance_similarity": likeness,
            "judgements": _judgements(check),
        },
    )


def _region(reference: Reference) -> dict[str, object]:
    region = reference.region
    if region.mask is not None:
        return {"subject": "mask"}
    if region.box is not None:
        return {"subject": "box", "box": list(region.box)}
    return {"subject": "found"}


def _likeness(check: Check) -> dict[str, float]:
    told = cast("Mapping[str, Any]", check.findings["appearance_similarity"])
    return {name: float(value) for name, value in told.items()}


def _judgements(check: Check) -> list[dict[str, Any]]:
    return [dict(each) for each in cast("Any", check.findings.get("judgements", ()))]


def _is_no_match(check: Check) -> bool:
    verdicts = {each["score"]: each["verdict"] for each in _judgements(check)}
    own = verdicts.get("foreground")
    return "no_match" in ([own] if own else verdicts.values())
