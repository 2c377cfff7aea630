"""Labelled sets of pictures, and what is taken of one to measure on."""

from collections.abc import Sequence
from typing import NamedTuple, TypeVar

import numpy as np

from dinoserve.errors import InvalidInputError

_T = TypeVar("_T")
_SEED = 20_251


class Labelled(NamedTuple):
    """A picture and what it shows."""

    path: str
    label: str


class LabelledSet(NamedTuple):
    """Pictures with labels.

    Attributes:
        name: of the set.
        gallery: where queries look; empty: each query looks among the other ones.
        queries: looked up.
        iconic: one clean picture of some labels, looked up in the gallery.
    """

    name: str
    gallery: Sequence[Labelled]
    queries: Sequence[Labelled]
    iconic: Sequence[Labelled] = ()

    @property
    def is_flat(self) -> bool:
        """Whether the labels are identities, told apart pair by pair."""
        return not self.gallery


class Amounts(NamedTuple):
    """How many pictures of a set are taken at most.

    Attributes:
        gallery: of its gallery.
        queries: of its queries.
        edited: that are distorted, in every way.
        among: pictures that the distorted ones must be recognised among.
        k: neighbours that vote.
    """

    gallery: int = 800
    queries: int = 400
    edited: int = 80
    among: int = 500
    k: int = 10


class Sight(NamedTuple):
    """A picture as it is, or distorted."""

    path: str
    distortion: str | None = None


class Plan(NamedTuple):
    """What is taken of a set, in an order that says nothing of the labels."""

    taken: LabelledSet
    edited: Sequence[str]
    among: Sequence[str]
    distortions: Sequence[str]
    k: int

    def sights(self) -> list[Sight]:
        """Return every picture that is looked at, each once."""
        pictures = [*self.taken.gallery, *self.taken.queries, *self.taken.iconic]
        plain = [Sight(path) for path in (*(one.path for one in pictures), *self.among)]
        changed = [Sight(at, how) for at in self.edited for how in self.distortions]
        return list(dict.fromkeys(plain + changed))


def plan(given: LabelledSet, amounts: Amounts, distortions: Sequence[str]) -> Plan:
    """Return what is taken of a set: the same for the same set and amounts.

    Raises:
        InvalidInputError: fewer than two labels, or nothing to find because no label
            has two pictures.
    """
    check_set(given)
    rng = np.random.default_rng(_SEED)
    taken = LabelledSet(
        given.name,
        _some(given.gallery, amounts.gallery, rng),
        _some(given.queries, amounts.queries, rng),
        _some(given.iconic, amounts.queries, rng),
    )
    known = [one.path for one in (*given.gallery, *given.queries)]
    among = _some(known, amounts.among, rng)
    edited = _some(among, amounts.edited, rng)
    return Plan(taken, edited, among, distortions, amounts.k)


def check_set(given: LabelledSet) -> None:
    """Pass if something can be looked up, and something else mistaken for it.

    Raises:
        InvalidInputError: fewer than two labels, or none with two pictures.
    """
    labels = [one.label for one in given.queries]
    if len(set(labels)) < 2:  # noqa: PLR2004 - one label cannot be mistaken
        raise InvalidInputError(
            f"{given.name}: the pictures to look up have {len(set(labels))} labels; it"
            " takes two.",
            field=given.name,
            limit=2,
            value=len(set(labels)),
        )
    if len(set(labels)) == len(labels):
        raise InvalidInputError(
            f"{given.name}: no label has two pictures to look up, so there is nothing"
            " to find.",
            field=given.name,
        )


def _some(every: Sequence[_T], most: int, rng: np.random.Generator) -> list[_T]:
    return [every[at] for at in rng.permutation(len(every))[:most]]
