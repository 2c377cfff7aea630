"""What to embed, in OpenAI's shape."""

from typing import Literal

from fastapi import Request
from pydantic import Field

from dinoserve.web.inputs import ImagesBody, Wanted, images_body, read_images


class EmbeddingsRequest(ImagesBody):
    """What to embed; fields of OpenAI that mean nothing here are ignored."""

    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int | None = Field(
        default=None,
        description="Only the model's own dimension: its vectors are whole.",
    )


EMBEDDINGS_BODY = images_body(
    EmbeddingsRequest,
    {
        "encoding_format": {"enum": ["float", "base64"]},
        "dimensions": {"type": "integer"},
    },
)


async def read_wanted(request: Request, max_inputs: int) -> Wanted[EmbeddingsRequest]:
    """Return what a request wants embedded; errors as `read_images`."""
    return await read_images(request, EmbeddingsRequest, max_inputs)
