"""Reading an upload: multipart with a file, or JSON with a URL."""

import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import PurePath
from typing import Any

from fastapi import Request
from pydantic import Field, ValidationError
from starlette.datastructures import FormData, UploadFile

from dinoserve.errors import InvalidInputError
from dinoserve.services.assets import AssetService
from dinoserve.services.spooling import Data, memory_bytes, spooled
from dinoserve.services.upload import Upload
from dinoserve.web.bodies import read_json
from dinoserve.web.forms import (
    FORM,
    JSON,
    data_of,
    media_type_of,
    opened_form,
    single_fields,
)
from dinoserve.web.schemas import Body, CollectionText, SubjectText, TagList

_MAX_FILENAME = 255


class UploadFields(Body):
    """What is said of an image when it is given."""

    collection: CollectionText = "default"
    tags: TagList = Field(default=[], description="In multipart: repeat the field.")
    metadata: dict[str, Any] = Field(
        default={}, description="A JSON object; in multipart: as text."
    )
    subject: SubjectText | None = Field(
        default=None, description="The person the image shows, for erasure on request."
    )


class UrlUpload(UploadFields):
    """An image that the server fetches."""

    url: str = Field(max_length=4096)


UPLOAD_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            FORM: {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "additionalProperties": False,
                    "properties": {
                        "file": {"type": "string", "format": "binary"},
                        "collection": {"type": "string", "default": "default"},
                        "tags": {"type": "array", "items": {"type": "string"}},
                        "metadata": {"type": "string", "description": "JSON object"},
                        "subject": {"type": "string"},
                    },
                },
                "encoding": {"tags": {"style": "form", "explode": True}},
            },
            JSON: {
                "schema": {
                    "type": "object",
                    "required": ["url"],
                    "additionalProperties": False,
                    "properties": {
                        "url": {"type": "string", "format": "uri"},
                        "collection": {"type": "string", "default": "default"},
                        "tags": {"type": "array", "items": {"type": "string"}},
                        "metadata": {"type": "object"},
                        "subject": {"type": ["string", "null"]},
                    },
                },
            },
        },
    }
}


@asynccontextmanager
async def opened_upload(request: Request) -> AsyncGenerator[Upload | UrlUpload]:
    """Give the upload a request carries, or the URL where it is.

    A large file is on the disk, and gone after the block.

    Raises:
        InvalidInputError: neither form, or a field of one is wrong.
        OverloadedError: other bodies leave no room for this one.
        RequestValidationError: the JSON or its shape is wrong.
        StorageFullError: no room for a large file while it arrives.
    """
    media_type = media_type_of(request)
    if media_type == FORM:
        async with _from_form(request) as upload:
            yield upload
        return
    if media_type == JSON:
        yield await read_json(request, UrlUpload)
        return
    raise InvalidInputError(
        f"Send {FORM} with a `file`, or {JSON} with a `url`.",
        field="content-type",
        value=media_type[:80],
    )


@asynccontextmanager
async def fetched_upload(
    fields: UrlUpload, assets: AssetService
) -> AsyncGenerator[Upload]:
    """Give the upload behind a URL; errors of fetching as in `ImageFetcher`.

    A large one is on the disk, and gone after the block: in memory are only those
    that are being fetched.
    """
    path = fields.url.split("?")[0].split("#")[0]
    async with spooled(_fetched(fields.url, assets)) as data:
        upload = _upload(fields, data, filename_of(PurePath(path).name))
        yield replace(upload, given_as="url")


async def _fetched(url: str, assets: AssetService) -> AsyncIterator[bytes]:
    try:
        yield await assets.fetch(url)
    except InvalidInputError as error:
        raise error.at("url") from error


@asynccontextmanager
async def _from_form(request: Request) -> AsyncGenerator[Upload]:
    limit = memory_bytes(_declared_bytes(request))
    async with opened_form(request, max_files=1, memory_bytes=limit) as form:
        file = form.get("file")
        if not isinstance(file, UploadFile):
            raise InvalidInputError(
                "The image belongs into a file part named `file`.", field="file"
            )
        fields = _checked(_said(form))
        with data_of(file, limit) as data:
            yield _upload(fields, data, filename_of(file.filename))


def _declared_bytes(request: Request) -> int | None:
    length = request.headers.get("content-length", "")
    return int(length) if length.isdecimal() else None


def _said(form: FormData) -> dict[str, object]:
    said = single_fields(form, "file", "tags")
    if tags := form.getlist("tags"):
        said["tags"] = tags
    if isinstance(text := said.get("metadata"), str):
        said["metadata"] = _metadata(text)
    return said


def _metadata(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidInputError("This is not JSON.", field="metadata") from error


def _checked(value: object) -> UploadFields:
    try:
        return UploadFields.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"]) or "body"
        raise InvalidInputError(f"{field}: {first['msg']}", field=field) from error


def _upload(fields: UploadFields, data: Data, filename: str | None) -> Upload:
    return Upload(
        data=data,
        collection=fields.collection,
        filename=filename,
        tags=tuple(dict.fromkeys(fields.tags)),
        metadata=fields.metadata,
        subject=fields.subject,
    )


def filename_of(name: str | None) -> str | None:
    """Return the last part of what the caller calls the file, printable only."""
    last = (name or "").replace("\\", "/").rsplit("/", 1)[-1]
    return "".join(c for c in last if c.isprintable())[:_MAX_FILENAME] or None
