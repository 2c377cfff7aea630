"""Embeddings: vectors for bytes, URLs and assets, and the one rule on recipes."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from dinoserve.domain.assets import Asset
from dinoserve.domain.recipes import Recipe
from dinoserve.domain.vectors import Embedding, Vector
from dinoserve.errors import (
    AssetNotFoundError,
    ConflictError,
    DinoserveError,
    NotEmbeddedError,
    RecipeMismatchError,
)
from dinoserve.ports import DocumentStore, Embedder
from dinoserve.services.assets import AssetService
from dinoserve.services.sources import Kept, Source, bytes_of, told_as

_BATCH: Final = 1000


class Computed(NamedTuple):
    """A vector, and how many tokens were computed for it (0: it was stored)."""

    vector: Vector
    tokens: int


@dataclass(frozen=True, slots=True)
class EmbeddingService:
    """Gives vectors under the recipe that is loaded."""

    documents: DocumentStore
    embedder: Embedder
    assets: AssetService

    @property
    def recipe(self) -> Recipe:
        """Return the recipe that every new vector has."""
        return self.embedder.card.recipe

    async def embed(self, sources: Sequence[Source]) -> list[Computed]:
        """Return one vector per source, in order; all of them or an error.

        An asset's stored vector is used if it has this recipe; else it is computed
        from the original and stored, which is how assets move to a new recipe.

        Raises:
            DinoserveError: the first source that cannot be used; `field` is
                `input[i]`.
        """
        kept = {item.asset_id for item in sources if isinstance(item, Kept)}
        stored = await self.documents.vectors(kept, self.recipe.id)
        results = {
            position: Computed(stored[source.asset_id], 0)
            for position, source in enumerate(sources)
            if isinstance(source, Kept) and source.asset_id in stored
        }
        missing = [at for at in range(len(sources)) if at not in results]
        made = await self._compute(
            [sources[at] for at in missing], [f"input[{at}]" for at in missing]
        )
        computed = dict(zip(missing, made, strict=True))
        await self._store_missing(sources, computed)
        results |= computed
        return [results[position] for position in range(len(sources))]

    async def vectors_of(self, ids: Collection[str]) -> dict[str, Vector]:
        """Return the stored vector of every id, under the loaded recipe.

        Raises:
            AssetNotFoundError: one of them does not exist.
            RecipeMismatchError: one has vectors of another recipe only.
            NotEmbeddedError: one has no vector at all.
        """
        vectors = await self.documents.vectors(ids, self.recipe.id)
        absent = [key for key in ids if key not in vectors]
        if absent:
            found = await self.documents.get(absent)
            raise self.why_no_vector(absent[0], found.get(absent[0]))
        return vectors

    async def stored(self, ids: Sequence[str]) -> dict[str, Vector]:
        """Return the stored vectors of any number of assets, in the order of the ids.

        Under the loaded recipe; assets without one are left out.
        """
        found: dict[str, Vector] = {}
        for start in range(0, len(ids), _BATCH):
            some = ids[start : start + _BATCH]
            there = await self.documents.vectors(some, self.recipe.id)
            found |= {key: there[key] for key in some if key in there}
        return found

    def why_no_vector(self, asset_id: str, asset: Asset | None) -> DinoserveError:
        """Return the error that says why this asset has no usable vector."""
        if asset is None:
            return AssetNotFoundError(
                f"No asset has the id {asset_id}.", value=asset_id
            )
        if asset.embeddings:
            other = asset.embeddings[0].recipe
            return self.mismatch(other, f"Asset {asset_id} has")
        return NotEmbeddedError(
            f"Asset {asset_id} was stored without an embedding."
            ' POST /v1/embeddings {"input": "' + asset_id + '"} gives it one.',
            value=asset_id,
        )

    def mismatch(self, other: str, whose: str = "What was given has") -> ConflictError:
        """Return the error that refuses to let two recipes meet."""
        return RecipeMismatchError(
            f"{whose} vectors of recipe {other}, but this server computes recipe"
            f" {self.recipe.id} ({self.recipe.model}); they cannot be compared."
            " Re-embed with `dinoserve reembed`, or by POST /v1/embeddings with"
            " asset ids, or load the other model (GET /v1/models lists recipes).",
            value=other,
            limit=self.recipe.id,
        )

    async def _compute(
        self, sources: Sequence[Source], fields: Sequence[str]
    ) -> list[Computed]:
        images = await bytes_of(sources, fields, self.assets)
        if not images:
            return []
        with told_as(fields):
            results = await self.embedder.embed(images)
        return [Computed(result.vector, result.tokens) for result in results]

    async def _store_missing(
        self, sources: Sequence[Source], computed: dict[int, Computed]
    ) -> None:
        for position, result in computed.items():
            source = sources[position]
            if isinstance(source, Kept):
                embedding = Embedding(source.asset_id, self.recipe.id, result.vector)
                await self.assets.keep_embedding(embedding)
