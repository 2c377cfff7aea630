"""Bodies that ask for jobs, and the key that makes two requests one."""

import re
from collections.abc import Collection
from dataclasses import replace
from typing import Any

from fastapi import Request
from pydantic import Field, JsonValue, ValidationError

from dinoserve.domain.assets import COLLECTION_PATTERN
from dinoserve.errors import HeaderError, InvalidInputError
from dinoserve.services.jobs import Asked
from dinoserve.web.bodies import MAX_VALUES, invalid, read_json
from dinoserve.web.forms import JSON
from dinoserve.web.job_parameters import PARAMETERS
from dinoserve.web.parameter_fields import Parameters
from dinoserve.web.schemas import Body, CollectionText

_KEY = "idempotency-key"
_PRINTABLE = re.compile(r"[ -~]{1,200}")
_MAX_KEY = 200
_MAX_PARAMETERS = 32
# A manifest is full of commas, which say nothing of how long parsing takes; texts do.
_MAX_COMMAS = 1_000_000
_SHOWN = 80


class JobBody(Body):
    """A job that somebody asks for, its parameters not looked at yet."""

    kind: str
    collection: CollectionText | None = None
    parameters: dict[str, JsonValue] = Field(default={}, max_length=_MAX_PARAMETERS)

    def to_domain(self, offered: Collection[str]) -> Asked:
        """Return the job with its parameters as its kind takes them.

        Args:
            offered: kinds that the server has.

        Raises:
            InvalidInputError: the kind is not offered, or two collections are named.
            RequestValidationError: a parameter is wrong.
        """
        model = _model(self.kind, offered)
        try:
            parameters = model.model_validate(self._parameters(model))
        except ValidationError as error:
            raise invalid(error, "parameters") from error
        told = parameters.model_dump(exclude_none=True)
        return Asked(self.kind, told, self.collection or told.get("collection"))

    def _parameters(self, model: type[Parameters]) -> dict[str, JsonValue]:
        """Return them with the collection that stands beside them."""
        own, given = self.collection, dict(self.parameters)
        if own is None or "assets" in given or "collection" not in model.model_fields:
            return given
        if given.get("collection") is None:
            given["collection"] = own
        if given["collection"] != own:
            raise InvalidInputError(
                "`parameters.collection` is another one; one of the two is enough.",
                field="collection",
                value=own,
            )
        return given


def job_body() -> dict[str, Any]:
    """Return the `openapi_extra` of the route that reads with `read_job`."""
    kinds = [_body_of(kind, model) for kind, model in PARAMETERS.items()]
    key = {
        "name": _KEY,
        "in": "header",
        "description": "Of two requests with one key, the second gets the first's job.",
        "schema": {
            "type": "string",
            "pattern": f"^[!-~]([ -~]{{0,{_MAX_KEY - 2}}}[!-~])?$",
        },
    }
    content = {JSON: {"schema": {"oneOf": kinds}}}
    return {"requestBody": {"required": True, "content": content}, "parameters": [key]}


async def read_job(request: Request, offered: Collection[str]) -> Asked:
    """Return the job that a request asks for; errors as `JobBody.to_domain`.

    Raises:
        HeaderError: the idempotency key cannot be used.
    """
    key = _key(request)
    _check_texts(await request.body())
    body = await read_json(request, JobBody, _MAX_COMMAS)
    asked = body.to_domain(offered)
    requester = getattr(request.state, "requester", None)
    return replace(asked, key=key, requester=requester)


def _body_of(kind: str, model: type[Parameters]) -> dict[str, Any]:
    text = {"type": "string", "pattern": COLLECTION_PATTERN}
    return {
        "type": "object",
        "required": ["kind"],
        "additionalProperties": False,
        "properties": {
            "kind": {"const": kind},
            "collection": {"anyOf": [text, {"type": "null"}]},
            "parameters": {"$ref": f"#/components/schemas/{model.__name__}"},
        },
    }


def _check_texts(body: bytes) -> None:
    """Refuse what would take the parser long; a quote within a text has a backslash."""
    count = (body.count(b'"') - body.count(b'\\"')) // 2
    if count > MAX_VALUES:
        raise InvalidInputError(
            f"A JSON body may hold {MAX_VALUES} texts.",
            field="body",
            limit=MAX_VALUES,
            value=count,
        )


def _model(kind: str, offered: Collection[str]) -> type[Parameters]:
    known = [each for each in PARAMETERS if each in offered]
    if kind in known:
        return PARAMETERS[kind]
    raise InvalidInputError(
        f"There is no job of this kind here; there are {', '.join(known)}.",
        field="kind",
        limit=known,
        value=kind[:_SHOWN],
    )


def _key(request: Request) -> str | None:
    given = request.headers.getlist(_KEY)
    if not given:
        return None
    if len(given) == 1 and _PRINTABLE.fullmatch(given[0]):
        return given[0]
    raise HeaderError(
        f"{_KEY} is 1 to {_MAX_KEY} printable ASCII characters, given once.",
        field=_KEY,
        limit=_MAX_KEY,
        value=given[0][:_SHOWN],
    )
