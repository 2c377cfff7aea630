"""Reading images to work on: JSON, a form with files, or an image itself."""

import asyncio
from collections.abc import Mapping
from typing import Annotated, Any, Generic, NamedTuple, Self, TypeVar

from fastapi import Request
from pydantic import BaseModel, Field, ValidationError
from starlette.datastructures import UploadFile

from dinoserve.errors import InvalidInputError
from dinoserve.services.sources import Encoded, Source
from dinoserve.web.bodies import INLINE_BYTES, invalid, parse_json
from dinoserve.web.forms import FORM, JSON, media_type_of, opened_form, single_fields
from dinoserve.web.sources import source_of

_BINARY = "application/octet-stream"


class ImageObject(BaseModel):
    """An image, as an object."""

    image: str = Field(description="Data URI, https URL or asset id.")


ImageInput = Annotated[
    str | ImageObject, Field(description="Data URI, https URL or asset id.")
]


class ImagesBody(BaseModel):
    """Which images, and the model to give them to."""

    # Its least length is checked later: as a fault of a union it reads badly.
    input: (
        ImageInput
        | Annotated[list[ImageInput], Field(json_schema_extra={"minItems": 1})]
    )
    model: str = "default"

    @classmethod
    def from_text(cls, fields: Mapping[str, object]) -> Self:
        """Return what the fields of a form or query say; the image lies beside them."""
        return cls.model_validate({**fields, "input": "file"})


_Body = TypeVar("_Body", bound=ImagesBody)


class Wanted(NamedTuple, Generic[_Body]):
    """The images, and what is wanted of them; its own `input` means nothing."""

    sources: list[Source]
    options: _Body


def images_body(
    model: type[ImagesBody], fields: Mapping[str, dict[str, Any]]
) -> dict[str, Any]:
    """Return the `openapi_extra` of a route that reads this model with `read_images`.

    Args:
        model: the JSON body; `web/app.py` puts it among the components.
        fields: schemas of what a form or query may carry beside `model`.
    """
    fields = {"model": {"type": "string", "default": "default"}, **fields}
    files = {
        "type": "array",
        "minItems": 1,
        "items": {"type": "string", "format": "binary"},
    }
    form: dict[str, Any] = {
        "type": "object",
        "required": ["file"],
        "properties": {"file": files, **fields},
    }
    content: dict[str, Any] = {
        JSON: {"schema": {"$ref": f"#/components/schemas/{model.__name__}"}},
        FORM: {"schema": form},
        "image/*": {"schema": {"type": "string", "format": "binary"}},
    }
    query = [
        {
            "name": name,
            "in": "query",
            "description": "With the bytes of one image only.",
            "schema": schema,
        }
        for name, schema in fields.items()
    ]
    return {"requestBody": {"required": True, "content": content}, "parameters": query}


async def read_images(
    request: Request, model: type[_Body], max_inputs: int
) -> Wanted[_Body]:
    """Return the images a request carries, and what is wanted of them.

    JSON, a form with one `file` or several, or the bytes of one image with options in
    the query string.

    Raises:
        RequestValidationError: the shape of JSON or options is wrong.
        InvalidInputError: an input cannot be used, or there are too many.
    """
    media_type = media_type_of(request)
    query = single_fields(request.query_params)
    is_image = media_type.startswith("image/") or media_type == _BINARY
    if not is_image:
        _refuse_query(query, model)
    if media_type == FORM:
        return await _from_form(request, model, max_inputs)
    if is_image:
        options = _options(model, query)
        return Wanted([Encoded(await request.body())], options)
    body = await request.body()
    if len(body) <= INLINE_BYTES:
        return _from_json(body, model, max_inputs)
    # Parsing and base64 of many images take longer than the event loop may be away.
    return await asyncio.to_thread(_from_json, body, model, max_inputs)


def image_of(given: ImageInput, field: str) -> Source:
    """Return where the image is that JSON names; errors as `source_of`."""
    return source_of(given if isinstance(given, str) else given.image, field)


async def _from_form(
    request: Request, model: type[_Body], max_inputs: int
) -> Wanted[_Body]:
    async with opened_form(request, max_inputs) as form:
        files = [file for file in form.getlist("file") if isinstance(file, UploadFile)]
        if not files:
            raise InvalidInputError(
                "Images belong into file parts named `file`.", field="file"
            )
        options = _options(model, single_fields(form, "file"))
        return Wanted([Encoded(await file.read()) for file in files], options)


def _from_json(body: bytes, model: type[_Body], max_inputs: int) -> Wanted[_Body]:
    wanted = parse_json(body, model)
    inputs = wanted.input if isinstance(wanted.input, list) else [wanted.input]
    if not inputs:
        raise InvalidInputError(
            "Give at least one image.", field="input", limit=1, value=0
        )
    if len(inputs) > max_inputs:
        raise InvalidInputError(
            f"One request may hold {max_inputs} images (DINOSERVE_MAX_INPUTS).",
            field="input",
            limit=max_inputs,
            value=len(inputs),
        )
    sources = [image_of(item, f"input[{at}]") for at, item in enumerate(inputs)]
    return Wanted(sources, wanted)


def _refuse_query(query: Mapping[str, object], model: type[ImagesBody]) -> None:
    for name in query:
        if name in model.model_fields:
            raise InvalidInputError(
                "The query goes with the bytes of one image; put this into the body.",
                field=name,
            )


def _options(model: type[_Body], fields: Mapping[str, object]) -> _Body:
    if "input" in fields:
        raise InvalidInputError(
            "The image is in the body already; `input` is for JSON.", field="input"
        )
    try:
        return model.from_text(fields)
    except ValidationError as error:
        raise invalid(error) from error
