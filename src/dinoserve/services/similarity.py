"""Similarity: the cosines of given pairs of assets."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dinoserve.domain.similarity import cosine_matrix
from dinoserve.domain.vectors import Matrix
from dinoserve.services.embeddings import EmbeddingService


@dataclass(frozen=True, slots=True)
class SimilarityResult:
    """Cosines: float32 (left, right), each in [-1, 1], under one recipe."""

    recipe: str
    scores: Matrix


@dataclass(frozen=True, slots=True)
class SimilarityService:
    """Compares assets by their stored vectors."""

    embeddings: EmbeddingService

    async def compare(
        self, left: Sequence[str], right: Sequence[str]
    ) -> SimilarityResult:
        """Return the cosine of every left asset with every right asset.

        Raises:
            AssetNotFoundError, NotEmbeddedError, RecipeMismatchError: see
                `EmbeddingService.vectors_of`.
        """
        vectors = await self.embeddings.vectors_of(list(dict.fromkeys([*left, *right])))
        scores = cosine_matrix(
            np.stack([vectors[key] for key in left]),
            np.stack([vectors[key] for key in right]),
        )
        return SimilarityResult(self.embeddings.recipe.id, scores)
