"""Reading what is not JSON: the kind of a body, and forms with files."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import Request
from python_multipart.multipart import parse_options_header
from starlette.datastructures import FormData, ImmutableMultiDict
from starlette.exceptions import HTTPException

from dinoserve.errors import InvalidInputError, StorageFullError

FORM = "multipart/form-data"
JSON = "application/json"
_MAX_FIELD_BYTES = 65_536


def media_type_of(request: Request) -> str:
    """Return the media type of the body, in lower case, without parameters."""
    media_type, _ = parse_options_header(request.headers.get("content-type"))
    return media_type.decode("latin-1").lower()


@asynccontextmanager
async def opened_form(request: Request, max_files: int) -> AsyncGenerator[FormData]:
    """Read a form; its files are gone after the block.

    Raises:
        InvalidInputError: it cannot be read, or holds too much.
        StorageFullError: no room for a large file while it arrives.
    """
    _, parameters = parse_options_header(request.headers.get("content-type"))
    # Any codec of Python would be taken, some of which cost minutes.
    if parameters.get(b"charset", b"utf-8").lower() != b"utf-8":
        raise InvalidInputError("Forms are read as UTF-8.", field="content-type")
    form = await _form(request, max_files)
    try:
        yield form
    finally:
        await form.close()


def single_fields(
    given: ImmutableMultiDict[str, Any], *repeatable: str
) -> dict[str, object]:
    """Return the fields of a form or query that may be given once, by name.

    Raises:
        InvalidInputError: one is given twice.
    """
    names = [name for name, _ in given.multi_items() if name not in repeatable]
    for name in names:
        if names.count(name) > 1:
            raise InvalidInputError("This field may be given once.", field=name[:80])
    return {name: given[name] for name in names}


async def _form(request: Request, max_files: int) -> FormData:
    try:
        return await request.form(
            max_files=max_files, max_fields=200, max_part_size=_MAX_FIELD_BYTES
        )
    except HTTPException as error:
        raise InvalidInputError(
            f"The multipart body cannot be read: {error.detail}", field="body"
        ) from error
    except UnicodeError as error:
        raise InvalidInputError("A part is not UTF-8.", field="body") from error
    except OSError as error:  # large files wait on the disk for temporary files
        raise StorageFullError(
            "The disk for temporary files is full; nothing was stored.",
            port="temporary",
        ) from error
