"""Labelled pairs: who is who among them, and two halves that share nobody."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np

from dinoserve.domain.verification import Identities, Truths
from dinoserve.errors import InvalidInputError

MAX_PAIRS: Final = 100_000
"""Pairs of one calibration, of which a thousand resamples take some seconds."""

MIN_EACH: Final = 10
"""Pairs of the same, and of different identities, that each half has at least."""

_MIN_IDENTITIES: Final = 4
_SPLITS: Final = 32


class LabelledPair(NamedTuple):
    """Two assets, and whether they show the same; the order does not matter."""

    left: str
    right: str
    same: bool


class Halves(NamedTuple):
    """Which pairs belong to which half: bool (n,) each, never both.

    Attributes:
        validation: thresholds and curves are fitted on it.
        test: figures are measured on it.
    """

    validation: Truths
    test: Truths


class Divided(NamedTuple):
    """Labelled pairs as arrays.

    Attributes:
        left: int (n,): identity of each pair's left asset, counted from 0.
        right: int (n,): of its right one.
        same: bool (n,).
        halves: no identity is in both.
    """

    left: Identities
    right: Identities
    same: Truths
    halves: Halves


def divide(pairs: Sequence[LabelledPair], names: Mapping[str, str]) -> Divided:
    """Return the pairs in two halves by identity, the same for the same input.

    Of 32 random divisions of the identities the one is taken that leaves the most
    pairs in the half and of the kind that has fewest; scores are not looked at.

    Args:
        pairs: labelled.
        names: identity by asset id, as far as known.

    Raises:
        InvalidInputError: too few pairs or identities, or labels that contradict each
            other.
    """
    _check_pairs(pairs)
    identity = _identities(pairs, names)
    numbers = {name: at for at, name in enumerate(sorted(set(identity.values())))}
    _check_identities(len(numbers))
    sides = [
        np.array([numbers[identity[asset]] for asset in assets], np.intp)
        for assets in ([pair.left for pair in pairs], [pair.right for pair in pairs])
    ]
    same = np.array([pair.same for pair in pairs], np.bool_)
    halves = _best_halves(sides[0], sides[1], same, len(numbers))
    return Divided(sides[0], sides[1], same, halves)


def _identities(
    pairs: Sequence[LabelledPair], names: Mapping[str, str]
) -> dict[str, str]:
    """Return one asset that stands for each asset's identity."""
    above: dict[str, str] = {}

    def top(asset: str) -> str:
        while (parent := above.setdefault(asset, asset)) != asset:
            above[asset] = above[parent]
            asset = parent
        return asset

    for pair in pairs:
        first, second = sorted((top(pair.left), top(pair.right)))
        if pair.same:
            above[second] = first
    assets = sorted(above)
    named: dict[str, str] = {}
    for asset in assets:
        if asset in names:
            _check_name(named.setdefault(top(asset), names[asset]), names[asset], asset)
    # Those of one name are one identity, even if no pair says so.
    first_of = {name: stand for stand, name in reversed(list(named.items()))}
    identity = {
        asset: first_of[named[top(asset)]] if top(asset) in named else top(asset)
        for asset in assets
    }
    _check_labels(pairs, identity)
    return identity


def _check_name(known: str, told: str, asset: str) -> None:
    if known != told:
        raise InvalidInputError(
            f"The labels contradict each other: asset {asset} is {told!r}, but pairs"
            f" of the same say that it is {known!r}.",
            field="identities",
            value=asset,
        )


def _check_labels(pairs: Iterable[LabelledPair], identity: Mapping[str, str]) -> None:
    for at, pair in enumerate(pairs):
        if not pair.same and identity[pair.left] == identity[pair.right]:
            raise InvalidInputError(
                f"The labels contradict each other: pairs[{at}] is said to be"
                " different, but other pairs or identities make it the same.",
                field=f"pairs[{at}]",
                value=[pair.left, pair.right],
            )


def _check_pairs(pairs: Sequence[LabelledPair]) -> None:
    if len(pairs) > MAX_PAIRS:
        raise InvalidInputError(
            f"A calibration takes {MAX_PAIRS} pairs at most.",
            field="pairs",
            limit=MAX_PAIRS,
            value=len(pairs),
        )
    met: dict[frozenset[str], int] = {}
    for at, pair in enumerate(pairs):
        both = frozenset((pair.left, pair.right))
        if len(both) == 1:
            reason = "pairs an asset with itself"
        elif met.setdefault(both, at) != at:
            reason = f"has the assets of pairs[{met[both]}]"
        else:
            continue
        raise InvalidInputError(f"pairs[{at}] {reason}.", field=f"pairs[{at}]")


def _check_identities(count: int) -> None:
    if count < _MIN_IDENTITIES:
        raise InvalidInputError(
            f"The pairs show {count} identities; it takes {_MIN_IDENTITIES}, two for"
            " finding the threshold and two others for trying it.",
            field="pairs",
            limit=_MIN_IDENTITIES,
            value=count,
        )


def _best_halves(
    left: Identities, right: Identities, same: Truths, count: int
) -> Halves:
    rng = np.random.default_rng(0)
    divisions = [
        _halves(left, right, rng.permutation(count) < count // 2)
        for _ in range(_SPLITS)
    ]
    best = max(divisions, key=lambda halves: _fewest(halves, same))
    if (fewest := _fewest(best, same)) < MIN_EACH:
        raise InvalidInputError(
            f"Too few pairs: identities are divided into two halves, and each half"
            f" needs {MIN_EACH} pairs of the same and {MIN_EACH} of different"
            f" identities of its own; the best division leaves {fewest}.",
            field="pairs",
            limit=MIN_EACH,
            value=fewest,
        )
    return best


def _halves(left: Identities, right: Identities, is_first: Truths) -> Halves:
    return Halves(is_first[left] & is_first[right], ~is_first[left] & ~is_first[right])


def _fewest(halves: Halves, same: Truths) -> int:
    kinds = (same, ~same)
    return min(int((half & kind).sum()) for half in halves for kind in kinds)
