"""Character groups: who may be who in unknown pictures, and what reviews decided."""

import asyncio
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final, Literal, TypeAlias

import numpy as np

from dinoserve.domain.assets import Filter, check_collection
from dinoserve.domain.character_reviews import (
    MAX_REVIEWED,
    Edge,
    ReviewedPair,
    contradiction,
    kept_together,
    pairs_of,
)
from dinoserve.domain.characters import Reference, check_each_once
from dinoserve.domain.groups import Group, grouped, mutual
from dinoserve.domain.labelled_pairs import LabelledPair
from dinoserve.domain.neighbours import nearest_others
from dinoserve.domain.vectors import Matrix
from dinoserve.errors import InvalidInputError
from dinoserve.ports import ReviewStore
from dinoserve.services.calibrations import MAX_ASSETS, MAX_PAIRS
from dinoserve.services.characters import CharacterService, numbered
from dinoserve.services.subjects import SubjectService

Decision: TypeAlias = Literal["accept", "split", "merge"]

_ASSETS_AT_ONCE = 32
_FEWEST_PARTS: Final[Mapping[Decision, int]] = {"accept": 1, "split": 2, "merge": 2}


@dataclass(frozen=True, slots=True)
class GroupingRequest:
    """Which pictures are grouped, and how.

    Attributes:
        assets: of the collection, each once; empty: all of it, if they are few.
        k: two pictures are linked if each is among the other's k nearest.
        min_score: and if their foreground cosine is at least this.
    """

    collection: str
    assets: Sequence[str] = ()
    k: int = 3
    min_score: float = 0.7


@dataclass(frozen=True, slots=True)
class CharacterGroups:
    """Pictures in groups; every one is in just one group, or ungrouped.

    Attributes:
        ids: of all that have a vector, rising.
        groups: of places in `ids`, the largest first.
        without_vector: how many of the collection have none of the recipe.
    """

    ids: Sequence[str]
    groups: Sequence[Group]
    without_vector: int

    def names(self, group: Group) -> list[str]:
        """Return the assets of a group, who stands for it first."""
        return [self.ids[int(at)] for at in group.members]

    @property
    def ungrouped(self) -> list[str]:
        """The assets that are in no group, rising."""
        held = {key for group in self.groups for key in self.names(group)}
        return [key for key in self.ids if key not in held]


@dataclass(frozen=True, slots=True)
class Review:
    """What somebody decided of groups of pictures.

    Attributes:
        decision: `accept`: one group shows one character; `merge`: several groups show
            the same one; `split`: the assets of a group, parted by character.
        groups: of assets, each once; `MAX_REVIEWED` together.
    """

    collection: str
    decision: Decision
    groups: Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True)
class CharacterGroupService:
    """Groups pictures by the mean vector of their foregrounds, and keeps reviews."""

    characters: CharacterService
    subjects: SubjectService

    async def group(self, request: GroupingRequest) -> CharacterGroups:
        """Return groups that keep to what reviews decided.

        Raises:
            InvalidInputError: the pictures are too many, one twice, or of another
                collection.
            AssetNotFoundError, NotEmbeddedError, RecipeMismatchError: of assets that
                were named.
            OverloadedError, UnavailableError: see `Embedder.features`.
        """
        check_collection(request.collection)
        ids = sorted(request.assets) or await self._all(request.collection)
        shown = numbered("assets", [Reference(key) for key in request.assets])
        check_each_once(list(shown.values()), "assets", MAX_ASSETS)
        await self.characters.check_shown(shown, request.collection)
        held = ids if request.assets else await self._embedded(ids)
        rows = await self._rows(held)
        reviewed = await self._store.get(request.collection)
        groups = await asyncio.to_thread(_grouped, held, rows, reviewed, request)
        return CharacterGroups(held, groups, len(ids) - len(held))

    async def review(self, review: Review) -> list[LabelledPair]:
        """Remember a decision; return the pairs that it labels, durable.

        Raises:
            InvalidInputError: groups do not fit the decision, are too many, or of
                another collection; too many pairs are remembered; or some of them
                contradict the decision, and it does not tell of their assets.
            AssetNotFoundError: an asset does not exist.
        """
        check_collection(review.collection)
        _check_groups(review)
        shown = {
            f"groups[{at}][{place}]": Reference(key)
            for at, group in enumerate(review.groups)
            for place, key in enumerate(group)
        }
        await self.characters.check_shown(shown, review.collection)
        parts = review.groups
        if review.decision == "merge":
            parts = [[key for group in parts for key in group]]
        pairs = pairs_of(parts)
        await self._check_known(review.collection, pairs)
        now = self.characters.now()
        await self._store.put(
            review.collection, [ReviewedPair(pair, now) for pair in pairs]
        )
        told = {key for pair in pairs for key in (pair.left, pair.right)}
        await self.characters.evidence.reviewed(review.collection, told)
        return pairs

    async def reviewed(self, collection: str) -> list[ReviewedPair]:
        """Return what is remembered of a collection, by asset ids."""
        return await self._store.get(collection)

    async def forget(self, collection: str) -> None:
        """Erase what is remembered of a collection."""
        await self._store.remove(collection)
        await self.characters.evidence.reviewed(collection)

    @property
    def _store(self) -> ReviewStore:
        return self.characters.documents.characters.reviews

    async def _all(self, collection: str) -> list[str]:
        ids = await self.characters.documents.ids(collection, Filter())
        if not ids or len(ids) > MAX_ASSETS:
            raise InvalidInputError(
                f"1 to {MAX_ASSETS} pictures are grouped; the collection has"
                f" {len(ids)}. Name some of them in `assets`.",
                field="collection",
                limit=MAX_ASSETS,
                value=len(ids),
            )
        return sorted(ids)

    async def _embedded(self, ids: Sequence[str]) -> list[str]:
        recipe = self.subjects.embeddings.recipe.id
        vectors = await self.characters.documents.vectors(ids, recipe)
        return [key for key in ids if key in vectors]

    async def _rows(self, ids: Sequence[str]) -> Matrix:
        rows: list[Matrix] = []
        waiting: Iterator[str] = iter(ids)
        while some := list(islice(waiting, _ASSETS_AT_ONCE)):
            looked = await self.subjects.look({key: Reference(key) for key in some})
            rows += [one.subject.mean for one in looked.values()]
        width = self.subjects.embeddings.recipe.dimension
        return np.stack(rows) if rows else np.empty((0, width), np.float32)

    async def _check_known(
        self, collection: str, pairs: Sequence[LabelledPair]
    ) -> None:
        known = {each.pair[:2]: each.pair for each in await self._store.get(collection)}
        known |= {pair[:2]: pair for pair in pairs}
        if len(known) > MAX_PAIRS:
            raise InvalidInputError(
                f"{MAX_PAIRS} reviewed pairs of a collection are remembered; these"
                f" would be {len(known)}.",
                field="groups",
                limit=MAX_PAIRS,
                value=len(known),
            )
        await asyncio.to_thread(_check_agree, [*known.values()], pairs)


def _grouped(
    ids: Sequence[str],
    rows: Matrix,
    reviewed: Sequence[ReviewedPair],
    request: GroupingRequest,
) -> list[Group]:
    everyone = np.arange(len(rows), dtype=np.int32)
    k = min(request.k, max(len(rows) - 1, 1))
    left, right = mutual(nearest_others(rows, everyone, k, request.min_score))
    scores = np.einsum("ij,ij->i", rows[left], rows[right])
    linked = zip(left.tolist(), right.tolist(), scores.tolist(), strict=True)
    at = {key: place for place, key in enumerate(ids)}
    decided = [
        (at[pair.left], at[pair.right], pair.same)
        for pair, _ in reviewed
        if pair.left in at and pair.right in at
    ]
    labels = kept_together(len(ids), (Edge(*each) for each in linked), decided)
    return grouped(rows, labels)


def _check_agree(known: Collection[LabelledPair], told: Sequence[LabelledPair]) -> None:
    reviewed = {key for pair in told for key in (pair.left, pair.right)}
    if pair := contradiction(known, reviewed):
        raise InvalidInputError(
            f"The decision contradicts what is remembered: {pair.left} and"
            f" {pair.right} are different, but the same by way of other assets. Review"
            " them together with those assets.",
            field="groups",
            value=[pair.left, pair.right],
        )


def _check_groups(review: Review) -> None:
    every = [Reference(key) for group in review.groups for key in group]
    check_each_once(every, "groups", MAX_REVIEWED)
    least, count = _FEWEST_PARTS[review.decision], len(review.groups)
    fits = count == 1 if review.decision == "accept" else count >= least
    if fits and len(every) > 1 and all(review.groups):
        return
    raise InvalidInputError(
        "`accept` takes one group, `split` and `merge` two or more; none is empty, and"
        " they have two assets or more.",
        field="groups",
        limit=least,
        value=count,
    )
