"""Models: what is loaded, and which recipes the stored vectors have."""

import logging
from dataclasses import dataclass

from dinoserve.domain.recipes import Recipe
from dinoserve.errors import ModelNotFoundError
from dinoserve.ports import DocumentStore, Embedder, EngineLoad, ModelCard

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class StoredRecipe:
    """A recipe, how many vectors are stored under it, and whether it is loaded."""

    recipe: Recipe
    embeddings: int
    is_loaded: bool


@dataclass(frozen=True, slots=True)
class ModelService:
    """Tells about the model and the recipes."""

    documents: DocumentStore
    embedder: Embedder

    @property
    def card(self) -> ModelCard:
        """Return what is loaded."""
        return self.embedder.card

    @property
    def load(self) -> EngineLoad:
        """Return how busy the engine is."""
        return self.embedder.load()

    def named(self, name: str) -> ModelCard:
        """Return the model of this id; `default` is the loaded one.

        Raises:
            ModelNotFoundError: it is not loaded.
        """
        recipe = self.card.recipe
        if name in {"default", recipe.model, f"{recipe.model}@{recipe.revision}"}:
            return self.card
        raise ModelNotFoundError(
            f"The model {name[:120]!r} is not loaded here; `{recipe.model}` is, and"
            " `default` means it.",
            field="model",
            value=name[:120],
        )

    async def recipes(self) -> list[StoredRecipe]:
        """Return every recipe that vectors are stored under, and the loaded one."""
        counts = await self.documents.counts()
        loaded = self.card.recipe.id
        return [
            StoredRecipe(recipe, counts.get(recipe.id, 0), recipe.id == loaded)
            for recipe in await self.documents.recipes()
        ]

    async def announce(self) -> None:
        """Keep the loaded recipe, and warn of vectors that it cannot search."""
        await self.documents.save_recipe(self.card.recipe)
        for stored in await self.recipes():
            if stored.embeddings and not stored.is_loaded:
                _log.warning(
                    "%d vectors have recipe %s (%s), which is not loaded: they are"
                    " not searched; `dinoserve reembed` moves them to %s",
                    stored.embeddings,
                    stored.recipe.id,
                    stored.recipe.model,
                    self.card.recipe.id,
                )
