"""Reading JSON bodies without keeping the event loop away from everybody else."""

import asyncio
from typing import Any, TypeVar

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError

from dinoserve.errors import InvalidInputError
from dinoserve.web.forms import JSON, media_type_of

MAX_VALUES = 100_000
"""Values in one JSON body: more than every field at its own bound together."""

INLINE_BYTES = 131_072
"""A body of this size is parsed on the event loop: a thread would cost more."""

_Model = TypeVar("_Model", bound=BaseModel)


def json_body(model: type[BaseModel]) -> dict[str, Any]:
    """Return the `openapi_extra` of a route that reads this model with `read_json`.

    `web/app.py` puts the model itself among the components.
    """
    schema = {"$ref": f"#/components/schemas/{model.__name__}"}
    return {"requestBody": {"required": True, "content": {JSON: {"schema": schema}}}}


async def read_json(
    request: Request, model: type[_Model], max_values: int = MAX_VALUES
) -> _Model:
    """Return the JSON body of a request, validated.

    Raises:
        InvalidInputError: the body is of another media type, or has too many values.
        RequestValidationError: it is no JSON, or its shape is wrong.
    """
    media_type = media_type_of(request)
    if media_type != JSON:
        raise InvalidInputError(
            f"Send {JSON}.", field="content-type", value=media_type[:80]
        )
    body = await request.body()
    if len(body) <= INLINE_BYTES:
        return parse_json(body, model, max_values)
    return await asyncio.to_thread(parse_json, body, model, max_values)


def parse_json(
    body: bytes, model: type[_Model], max_values: int = MAX_VALUES
) -> _Model:
    """Return the JSON text, validated; errors as `read_json`."""
    # The parser keeps the interpreter's lock to its end, in a thread as well: three
    # million keys would stop every other caller for seconds.
    _bound("values", body.count(b",") + 1, max_values)
    try:
        # Strict, as jobs' parameters are: a text is no number, and true is none.
        return model.model_validate_json(body, strict=True)
    except ValidationError as error:
        # A value has one for each type it might have been; telling all takes as long.
        _bound("faults", error.error_count())
        raise invalid(error) from error


def invalid(error: ValidationError, *place: str) -> RequestValidationError:
    """Return what is wrong with a body, or a place in it, as the framework tells it."""
    faults = error.errors(include_url=False)
    return RequestValidationError(
        [{**fault, "loc": ("body", *place, *fault["loc"])} for fault in faults]
    )


def _bound(what: str, value: int, limit: int = MAX_VALUES) -> None:
    if value > limit:
        raise InvalidInputError(
            f"A JSON body may hold {limit} {what}.",
            field="body",
            limit=limit,
            value=value,
        )
