"""Reading what to embed: OpenAI's JSON, a form with files, or an image itself."""

import asyncio
from typing import Annotated, Any, Literal, NamedTuple

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field, ValidationError
from starlette.datastructures import UploadFile

from dinoserve.errors import InvalidInputError
from dinoserve.services.embeddings import Encoded, Source
from dinoserve.web.forms import FORM, JSON, media_type_of, opened_form, single_fields
from dinoserve.web.sources import source_of

_BINARY = "application/octet-stream"


class ImageObject(BaseModel):
    """An image, as an object."""

    image: str = Field(description="Data URI, https URL or asset id.")


ImageInput = Annotated[
    str | ImageObject, Field(description="Data URI, https URL or asset id.")
]


class EmbeddingOptions(BaseModel):
    """How vectors are wanted; fields of OpenAI that mean nothing here are ignored."""

    model: str = "default"
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int | None = Field(
        default=None,
        description="Only the model's own dimension: its vectors are whole.",
    )


class EmbeddingsRequest(EmbeddingOptions):
    """What to embed, in OpenAI's shape."""

    input: ImageInput | Annotated[list[ImageInput], Field(min_length=1)]


class Wanted(NamedTuple):
    """What to embed and how the vectors are wanted."""

    sources: list[Source]
    options: EmbeddingOptions


EMBEDDINGS_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            JSON: {"schema": {"$ref": "#/components/schemas/EmbeddingsRequest"}},
            FORM: {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {
                        "file": {
                            "type": "array",
                            "minItems": 1,
                            "items": {"type": "string", "format": "binary"},
                        },
                        "model": {"type": "string", "default": "default"},
                        "encoding_format": {"enum": ["float", "base64"]},
                        "dimensions": {"type": "integer"},
                    },
                },
            },
            "image/*": {"schema": {"type": "string", "format": "binary"}},
        },
    }
}


async def read_wanted(request: Request, max_inputs: int) -> Wanted:
    """Return what a request wants embedded.

    JSON, a form with one `file` or several, or the bytes of one image with options in
    the query string.

    Raises:
        RequestValidationError: the shape of JSON or options is wrong.
        InvalidInputError: an input cannot be used, or there are too many.
    """
    media_type = media_type_of(request)
    if media_type == FORM:
        return await _from_form(request, max_inputs)
    if media_type.startswith("image/") or media_type == _BINARY:
        options = _checked(EmbeddingOptions, dict(request.query_params))
        return Wanted([Encoded(await request.body())], options)
    # Parsing and base64 of many images take longer than the event loop may be away.
    return await asyncio.to_thread(_from_json, await request.body(), max_inputs)


async def _from_form(request: Request, max_inputs: int) -> Wanted:
    async with opened_form(request, max_inputs) as form:
        files = [file for file in form.getlist("file") if isinstance(file, UploadFile)]
        if not files:
            raise InvalidInputError(
                "Images belong into file parts named `file`.", field="file"
            )
        options = _checked(EmbeddingOptions, single_fields(form, "file"))
        return Wanted([Encoded(await file.read()) for file in files], options)


def _from_json(body: bytes, max_inputs: int) -> Wanted:
    try:
        wanted = EmbeddingsRequest.model_validate_json(body)
    except ValidationError as error:
        raise _invalid(error) from error
    inputs = wanted.input if isinstance(wanted.input, list) else [wanted.input]
    if len(inputs) > max_inputs:
        raise InvalidInputError(
            f"One request may hold {max_inputs} images (DINOSERVE_MAX_INPUTS).",
            field="input",
            limit=max_inputs,
            value=len(inputs),
        )
    sources = [
        source_of(item if isinstance(item, str) else item.image, f"input[{at}]")
        for at, item in enumerate(inputs)
    ]
    return Wanted(sources, wanted)


def _checked(model: type[EmbeddingOptions], value: object) -> EmbeddingOptions:
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise _invalid(error) from error


def _invalid(error: ValidationError) -> RequestValidationError:
    faults = error.errors(include_url=False, include_input=False)
    return RequestValidationError(
        [{**fault, "loc": ("body", *fault["loc"])} for fault in faults]
    )
