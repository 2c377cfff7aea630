"""Models over HTTP: what is loaded, and which recipes vectors have."""

from dataclasses import asdict
from typing import Any, Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field

from dinoserve.errors import ModelNotFoundError, UnavailableError
from dinoserve.ports import EngineLoad, ModelCard
from dinoserve.services.models import StoredRecipe
from dinoserve.web.deps import ServicesDep
from dinoserve.web.problems import openai_responses

router = APIRouter(prefix="/v1/models", tags=["models"])


class RecipeView(BaseModel):
    """Everything that decides what a vector means."""

    id: str
    model: str
    revision: str
    weights_sha256: str
    config_sha256: str
    preprocessing: str
    pooling: str
    dimension: int


class StoredRecipeView(RecipeView):
    """A recipe, and how many vectors are stored under it."""

    embeddings: int
    loaded: bool


class QueueView(BaseModel):
    """Images admitted to the engine and not yet answered, and how many it admits."""

    waiting: int
    capacity: int
    bulk: int = Field(description="Those of `waiting` that are `bulk`.")
    oldest_s: float = Field(description="Seconds the oldest has waited; 0 if none.")


class ModelView(BaseModel):
    """A loaded model; the first four fields are OpenAI's."""

    id: str
    object: Literal["model"] = "model"
    created: int = 0
    owned_by: str
    kind: str
    engine: str
    device: str
    precision: str
    parameters: int
    registers: int = Field(description="Register tokens that features have.")
    licence: str
    note: str
    recipe: RecipeView
    queue: QueueView
    details: dict[str, Any]


class ModelList(BaseModel):
    """Loaded models, and every recipe that vectors are stored under."""

    object: Literal["list"] = "list"
    data: list[ModelView]
    recipes: list[StoredRecipeView]


@router.get("", responses=openai_responses(UnavailableError))
async def list_models(services: ServicesDep) -> ModelList:
    """List what is loaded, and the recipes of stored vectors."""
    models = services.models
    return ModelList(
        data=[_view(models.card, models.load)],
        recipes=[_stored(item) for item in await models.recipes()],
    )


@router.get("/{name:path}", responses=openai_responses(ModelNotFoundError))
async def get_model(name: str, services: ServicesDep) -> ModelView:
    """Show one model; `default` is the loaded one."""
    return _view(services.models.named(name), services.models.load)


def _view(card: ModelCard, load: EngineLoad) -> ModelView:
    recipe = card.recipe
    return ModelView(
        id=recipe.model,
        owned_by=recipe.model.partition("/")[0],
        kind=card.kind,
        engine=card.engine,
        device=card.device,
        precision=card.precision,
        parameters=card.parameters,
        registers=card.registers,
        licence=card.licence,
        note=card.note,
        recipe=RecipeView(id=recipe.id, **asdict(recipe)),
        queue=_queue(load),
        details=dict(card.details),
    )


def _queue(load: EngineLoad) -> QueueView:
    return QueueView(
        waiting=load.waiting,
        capacity=load.capacity,
        bulk=load.bulk,
        oldest_s=round(load.oldest_s, 3),
    )


def _stored(item: StoredRecipe) -> StoredRecipeView:
    return StoredRecipeView(
        id=item.recipe.id,
        **asdict(item.recipe),
        embeddings=item.embeddings,
        loaded=item.is_loaded,
    )
