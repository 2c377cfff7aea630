"""Duplicates: what is the same in bytes or pixels, nearly the same, or alike."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from dinoserve.domain.assets import Asset
from dinoserve.domain.duplicate_relations import (
    DUPLICATE,
    NEAR_DUPLICATE,
    Findings,
    is_sought,
    node,
)
from dinoserve.domain.duplicates import (
    LISTS,
    Alike,
    Duplicates,
    List,
    NearPair,
    near_groups,
    same_by,
)
from dinoserve.domain.fingerprints import TURNS, Fingerprint, near_pairs
from dinoserve.domain.neighbours import NOBODY, nearest_others
from dinoserve.domain.quality import METHOD as QUALITY
from dinoserve.domain.relations import Relation
from dinoserve.domain.vectors import Vector
from dinoserve.errors import InvalidInputError
from dinoserve.ports import DocumentStore
from dinoserve.services.asset_choice import Choice, check_all_there, records_of
from dinoserve.services.embeddings import EmbeddingService
from dinoserve.services.fingerprints import FingerprintService
from dinoserve.services.job_kinds import grouped
from dinoserve.services.near_pairs import PairService
from dinoserve.services.relating import Relating

MAX_DIRECT: Final = 200
"""Assets that are compared while the caller waits: each is decoded once."""

MAX_SET: Final = 100_000
"""Assets that one job compares."""

MAX_NEAR: Final = 20_000
"""Near pairs whose patches are compared; others are told of as not compared."""

BY_JOB: Final = 'Ask for a job of kind "duplicates".'

# Of the nearest assets, so many may be alike: a thousand of a kind are one finding.
_ALIKE = 20
_BATCH = 1000


@dataclass(frozen=True, slots=True)
class Sought:
    """What is taken for a duplicate.

    Attributes:
        lists: which are wanted.
        max_distance: bits of 64 that the hashes of a near pair differ in at most.
        min_patch_share: least share of patches that confirms a near pair.
        confirm: compare the patches of near pairs.
        min_score: least cosine of assets that look alike.
    """

    lists: Collection[List] = LISTS
    max_distance: int = 12
    min_patch_share: float = 0.05
    confirm: bool = True
    min_score: float = 0.95

    @property
    def takes_pixels(self) -> bool:
        """Whether a list is wanted that takes fingerprints."""
        return bool({"same_pixels", "near"} & set(self.lists))


@dataclass(frozen=True, slots=True)
class Compared:
    """What was found, and among how many.

    Attributes:
        assets: how many were there.
        without_fingerprint: of them, in neither `same_pixels` nor `near`.
        without_vector: of them, not in `look_alike`.
        related: how many relations there are of what was found; None: not asked for.
    """

    recipe: str
    assets: int
    without_fingerprint: int
    without_vector: int
    found: Duplicates
    related: int | None = None


@dataclass(frozen=True, slots=True)
class DuplicateService:
    """Finds duplicates among assets, of one collection or several."""

    embeddings: EmbeddingService
    pairs: PairService

    @property
    def fingerprints(self) -> FingerprintService:
        """Return what makes the fingerprints."""
        return self.pairs.fingerprints

    @property
    def documents(self) -> DocumentStore:
        """Return where the assets are."""
        return self.embeddings.documents

    async def find(
        self, choice: Choice, sought: Sought, *, relate: bool = False
    ) -> Compared:
        """Return the duplicates among a few assets.

        Args:
            choice: which assets.
            sought: what is taken for a duplicate.
            relate: keep what was found as relations, see `related`.

        Raises:
            InvalidInputError: they are too many or none.
            AssetNotFoundError: one that was named does not exist.
            OverloadedError, UnavailableError: see `FingerprintService.of`.
        """
        ids = await choice.ids(self.documents, MAX_DIRECT, BY_JOB)
        if not ids:
            raise InvalidInputError(
                "There are no assets in these collections.",
                field=choice.field,
                value=[*choice.collections],
            )
        assets = await records_of(self.documents, ids)
        if choice.assets:
            check_all_there(ids, assets)
        prints: Mapping[str, Fingerprint] = {}
        if sought.takes_pixels:
            prints = await self.fingerprints.of(assets.values())
        compared = await self.among(assets, prints, sought)
        if relate:
            return await self.related(assets, compared, sought.lists, "duplicates")
        return compared

    async def related(
        self,
        assets: Mapping[str, Asset],
        compared: Compared,
        lists: Collection[List],
        origin: str,
    ) -> Compared:
        """Return what was found once relations tell of it, and of nothing else.

        Those that an earlier search of these lists made between two of the assets are
        replaced; what somebody said stays.

        Args:
            assets: that were compared, by id.
            compared: what was found.
            lists: that were sought.
            origin: of the relations.
        """
        truth = self.embeddings.assets
        collections = {key: asset.collection for key, asset in assets.items()}
        findings = Findings(
            compared.found, collections, compared.recipe, origin, truth.now()
        )
        wanted = await asyncio.to_thread(findings.relations)
        relating, nodes = Relating(truth.documents), {node(key) for key in assets}
        present: list[Relation] = []
        for some in grouped(sorted(nodes), _BATCH):
            kinds = [DUPLICATE, NEAR_DUPLICATE]
            present += await relating.present(some, kinds, "out")
        await relating.replace(
            present, wanted, lambda one: is_sought(one, lists, nodes)
        )
        return replace(compared, related=len(wanted))

    async def among(
        self,
        assets: Mapping[str, Asset],
        prints: Mapping[str, Fingerprint],
        sought: Sought,
    ) -> Compared:
        """Return the duplicates among assets whose fingerprints are known.

        Args:
            assets: by id, in rising order.
            prints: by asset id; an asset without one is compared by its vector only.
            sought: what is taken for a duplicate.

        Raises:
            OverloadedError, UnavailableError: see `PairService.compared`.
        """
        exact, standing = await asyncio.to_thread(
            same_by, assets, lambda key: assets[key].sha256
        )
        some = {key: assets[key] for key in standing}
        pixels, standing = await asyncio.to_thread(
            same_by, some, lambda key: _pixels(prints.get(key))
        )
        near, unconfirmed = await self._near(standing, assets, prints, sought)
        vectors = await self.embeddings.stored(standing)
        told_of = {(pair.left, pair.right) for pair in [*near, *unconfirmed]}
        alike = await asyncio.to_thread(_alike, vectors, sought.min_score, told_of)
        sharp = await self._sharpness(standing)
        groups = await asyncio.to_thread(near_groups, near, assets, sharp)
        found = Duplicates(exact, pixels, groups, unconfirmed, alike)
        return Compared(
            self.embeddings.recipe.id,
            len(assets),
            len(assets) - len(prints),
            len(standing) - len(vectors),
            found.only(sought.lists),
        )

    async def _near(
        self,
        standing: Sequence[str],
        assets: Mapping[str, Asset],
        prints: Mapping[str, Fingerprint],
        sought: Sought,
    ) -> tuple[list[NearPair], list[NearPair]]:
        """Return the pairs that count, and those that the patches do not confirm."""
        if "near" not in sought.lists:
            return [], []
        looks = {key: prints[key].look for key in standing if key in prints}
        pairs = await asyncio.to_thread(_looking_near, looks, sought.max_distance)
        if not sought.confirm:
            return pairs, []
        some, beyond = pairs[:MAX_NEAR], pairs[MAX_NEAR:]
        told = await self.pairs.compared(some, assets)
        least = sought.min_patch_share
        sure = [p for p in told if p.patch_share is None or p.patch_share >= least]
        kept = set(sure)
        return sure, [pair for pair in told if pair not in kept] + beyond

    async def _sharpness(self, ids: Sequence[str]) -> Mapping[str, float]:
        found: dict[str, float] = {}
        for start in range(0, len(ids), _BATCH):
            some = ids[start : start + _BATCH]
            kept = await self.documents.traits.get(some, QUALITY)
            for key, values in kept.items():
                sharp = values.get("sharpness")
                if isinstance(sharp, int | float):
                    found[key] = float(sharp)
        return found


def _pixels(known: Fingerprint | None) -> str | None:
    return known.pixels if known else None


def _looking_near(looks: Mapping[str, int | None], distance: int) -> list[NearPair]:
    """Return the pairs whose hashes are near, by their left asset."""
    ids = [key for key, look in looks.items() if look is not None]
    found = near_pairs(np.array([looks[key] for key in ids], np.uint64), distance)
    rows: list[list[int]] = np.stack(found, axis=1).tolist()
    return [
        NearPair(ids[left], ids[right], bits, TURNS[turn])
        for left, right, bits, turn in rows
    ]


def _alike(
    vectors: Mapping[str, Vector], min_score: float, told_of: set[tuple[str, str]]
) -> list[Alike]:
    """Return the pairs whose vectors are close, best first, unless told of already."""
    if not vectors:
        return []
    ids = list(vectors)
    everyone = np.arange(len(ids), dtype=np.int32)
    rows = np.stack([vectors[key] for key in ids])
    indices, scores = nearest_others(rows, everyone, _ALIKE, min_score)
    found: dict[tuple[str, str], float] = {}
    for at, of in np.argwhere(indices != NOBODY).tolist():
        left, right = sorted((ids[at], ids[int(indices[at, of])]))
        # Both ways round it is the same cosine, but for rounding.
        found.setdefault((left, right), float(scores[at, of]))
    pairs = [Alike(*pair, score) for pair, score in found.items()]
    pairs = [pair for pair in pairs if (pair.left, pair.right) not in told_of]
    return sorted(pairs, key=lambda pair: (-pair.score, pair.left, pair.right))
