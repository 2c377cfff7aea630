"""Members of a character: assets that were said, or found, to show it."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, cast

from dinoserve.domain.characters import Character, Check
from dinoserve.domain.labelled_pairs import LabelledPair


class Membership(NamedTuple):
    """Which assets count as members.

    Attributes:
        character_id: of whom.
        min_score: least foreground cosine of a stored check, in [-1, 1]; None: what a
            calibration says.
    """

    character_id: str
    min_score: float | None = None


def accepted(character: Character, reviewed: Iterable[LabelledPair]) -> set[str]:
    """Return the references, and what reviews say shows the same as one of them.

    Pairs lead on to pairs: what is the same as an accepted asset is accepted, unless it
    was decided to differ from a reference.
    """
    references = {each.asset_id for each in character.references}
    same: defaultdict[str, set[str]] = defaultdict(set)
    apart: set[str] = set()
    for left, right, is_same in reviewed:
        if is_same:
            same[left].add(right)
            same[right].add(left)
        elif not references.isdisjoint((left, right)):
            apart |= {left, right} - references
    found, waiting = set(references), list(references)
    while waiting:
        new = same[waiting.pop()] - found - apart
        found |= new
        waiting += new
    return found


def look_alike(checks: Iterable[Check], min_score: float) -> set[str]:
    """Return the assets whose check has at least this foreground cosine."""
    return {each.asset_id for each in checks if _foreground(each) >= min_score}


def _foreground(check: Check) -> float:
    likeness = cast("Mapping[str, Any]", check.findings["appearance_similarity"])
    return float(likeness["foreground"])
