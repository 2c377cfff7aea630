"""Embeddings over HTTP, in OpenAI's shape."""

import base64
from typing import Literal

import orjson
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel

from dinoserve.domain.vectors import Vector, to_bytes
from dinoserve.errors import (
    AssetNotFoundError,
    InvalidInputError,
    ModelNotFoundError,
    OverloadedError,
    StorageFullError,
    UnavailableError,
)
from dinoserve.ports import ModelCard
from dinoserve.services.embeddings import Computed
from dinoserve.web.deps import (
    options_of,
    refuse_when_full,
    services_of,
    unless_caller_leaves,
)
from dinoserve.web.embedding_requests import EMBEDDINGS_BODY, read_wanted
from dinoserve.web.problems import IMAGE_FAULTS, openai_responses

router = APIRouter(tags=["embeddings"])


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
    openapi_extra=EMBEDDINGS_BODY,
    responses=openai_responses(
        *IMAGE_FAULTS,
        AssetNotFoundError,
        ModelNotFoundError,
        OverloadedError,
        UnavailableError,
        StorageFullError,
    ),
)
async def create_embeddings(request: Request) -> Response:
    """Return one unit vector per image; all of them or an error that names one.

    OpenAI's JSON; or a form with one `file` or several; or the bytes of one image,
    with `encoding_format` and the rest in the query string.

    An asset's vector is taken from the store; if it has none of the loaded recipe,
    it is computed from the original and kept, which makes the asset searchable.
    """
    # Not declared as dependencies: resolving them takes as long as a cached answer.
    await refuse_when_full(request)
    services, options = services_of(request), options_of(request)
    wanted = await read_wanted(request, options.max_inputs)
    card = services.models.named(wanted.options.model)
    _check_dimensions(wanted.options.dimensions, card)
    work = services.embeddings.embed(wanted.sources)
    results = await unless_caller_leaves(request, work)
    content = _answer(results, wanted.options.encoding_format, card)
    return Response(content, media_type="application/json")


def _check_dimensions(wanted: int | None, card: ModelCard) -> None:
    own = card.recipe.dimension
    if wanted not in {None, own}:
        raise InvalidInputError(
            f"This model's vectors have {own} numbers and cannot be shortened.",
            field="dimensions",
            limit=own,
            value=wanted,
        )


def _answer(results: list[Computed], encoding_format: str, card: ModelCard) -> bytes:
    tokens = sum(result.tokens for result in results)
    answer = {
        "object": "list",
        "data": [
            {
                "object": "embedding",
                "index": index,
                "embedding": _encoded(result.vector, encoding_format),
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
