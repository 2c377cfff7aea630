"""Embeddings over HTTP, in OpenAI's shape."""

import asyncio
import base64
from typing import Annotated, Literal

import orjson
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from dinoserve.domain.vectors import Vector, to_bytes
from dinoserve.errors import (
    AssetNotFoundError,
    FetchDisabledError,
    FetchFailedError,
    FetchRefusedError,
    ImageDamagedError,
    ImageEmptyError,
    ImageTooLargeError,
    ImageUnsupportedError,
    InvalidInputError,
    ModelNotFoundError,
    OverloadedError,
    StorageFullError,
    UnavailableError,
)
from dinoserve.ports import ModelCard
from dinoserve.services.embeddings import Computed, Source
from dinoserve.web.deps import OptionsDep, ServicesDep, unless_caller_leaves
from dinoserve.web.problems import openai_responses
from dinoserve.web.sources import source_of

router = APIRouter(tags=["embeddings"])


class ImageObject(BaseModel):
    """An image, as an object."""

    image: str = Field(description="Data URI, https URL or asset id.")


ImageInput = Annotated[
    str | ImageObject, Field(description="Data URI, https URL or asset id.")
]


class EmbeddingsRequest(BaseModel):
    """What to embed; fields of OpenAI that mean nothing here are ignored."""

    input: ImageInput | Annotated[list[ImageInput], Field(min_length=1)]
    model: str = "default"
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int | None = Field(
        default=None,
        description="Only the model's own dimension: its vectors are whole.",
    )


class EmbeddingItem(BaseModel):
    """One vector: floats, or base64 of little-endian float32."""

    object: Literal["embedding"]
    index: int
    embedding: list[float] | str


class Usage(BaseModel):
    """Tokens the model computed; stored vectors cost none."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingsResponse(BaseModel):
    """Vectors in the order of the input, all of the same recipe."""

    object: Literal["list"]
    data: list[EmbeddingItem]
    model: str
    recipe: str
    usage: Usage


@router.post("/embeddings", include_in_schema=False)
@router.post(
    "/v1/embeddings",
    response_model=EmbeddingsResponse,
    responses=openai_responses(
        ImageEmptyError,
        ImageDamagedError,
        ImageTooLargeError,
        ImageUnsupportedError,
        FetchDisabledError,
        FetchRefusedError,
        FetchFailedError,
        AssetNotFoundError,
        ModelNotFoundError,
        OverloadedError,
        UnavailableError,
        StorageFullError,
    ),
)
async def create_embeddings(
    request: Request,
    body: EmbeddingsRequest,
    services: ServicesDep,
    options: OptionsDep,
) -> Response:
    """Return one unit vector per image; all of them or an error that names one.

    An asset's vector is taken from the store; if it has none of the loaded recipe,
    it is computed from the original and kept, which makes the asset searchable.
    """
    card = services.models.named(body.model)
    _check_dimensions(body.dimensions, card)
    # Base64 of many images takes longer than the event loop may be away.
    sources = await asyncio.to_thread(_sources, body, options.max_inputs)
    work = services.embeddings.embed(sources)
    results = await unless_caller_leaves(request, work)
    return Response(_answer(results, body, card), media_type="application/json")


def _check_dimensions(wanted: int | None, card: ModelCard) -> None:
    own = card.recipe.dimension
    if wanted not in {None, own}:
        raise InvalidInputError(
            f"This model's vectors have {own} numbers and cannot be shortened.",
            field="dimensions",
            limit=own,
            value=wanted,
        )


def _sources(body: EmbeddingsRequest, max_inputs: int) -> list[Source]:
    inputs = body.input if isinstance(body.input, list) else [body.input]
    if len(inputs) > max_inputs:
        raise InvalidInputError(
            f"One request may hold {max_inputs} images (DINOSERVE_MAX_INPUTS).",
            field="input",
            limit=max_inputs,
            value=len(inputs),
        )
    return [
        source_of(item if isinstance(item, str) else item.image, f"input[{at}]")
        for at, item in enumerate(inputs)
    ]


def _answer(results: list[Computed], body: EmbeddingsRequest, card: ModelCard) -> bytes:
    tokens = sum(result.tokens for result in results)
    answer = {
        "object": "list",
        "data": [
            {
                "object": "embedding",
                "index": index,
                "embedding": _encoded(result.vector, body.encoding_format),
            }
            for index, result in enumerate(results)
        ],
        "model": card.recipe.model,
        "recipe": card.recipe.id,
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }
    return orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY)


def _encoded(vector: Vector, encoding_format: str) -> Vector | str:
    if encoding_format == "base64":
        return base64.b64encode(to_bytes(vector)).decode()
    return vector
