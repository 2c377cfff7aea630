"""Reading what is not JSON: the kind of a body, and forms with files."""

import os
from collections.abc import AsyncGenerator, Generator
from contextlib import aclosing, asynccontextmanager, contextmanager
from io import FileIO
from typing import Any

from fastapi import Request
from python_multipart.multipart import parse_options_header
from starlette.datastructures import FormData, ImmutableMultiDict, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from dinoserve.errors import InvalidInputError
from dinoserve.services.spooling import Data, Spooled, temporary_disk
from dinoserve.web.body_room import body_of

FORM = "multipart/form-data"
JSON = "application/json"
_MAX_FIELD_BYTES = 65_536
_MAX_FIELDS = 200


def media_type_of(request: Request) -> str:
    """Return the media type of the body, in lower case, without parameters."""
    media_type, _ = parse_options_header(request.headers.get("content-type"))
    return media_type.decode("latin-1").lower()


@asynccontextmanager
async def opened_form(
    request: Request, max_files: int, memory_bytes: int = 0
) -> AsyncGenerator[FormData]:
    """Read a form; its files are gone after the block.

    Args:
        request: has a form for its body.
        max_files: file parts it may have.
        memory_bytes: files with more are on the disk for temporary files; 0: none is.

    Raises:
        InvalidInputError: it cannot be read, or holds too much.
        OverloadedError: other bodies leave no room for this one.
        StorageFullError: no room for a large file while it arrives.
    """
    _, parameters = parse_options_header(request.headers.get("content-type"))
    # Any codec of Python would be taken, some of which cost minutes.
    if parameters.get(b"charset", b"utf-8").lower() != b"utf-8":
        raise InvalidInputError("Forms are read as UTF-8.", field="content-type")
    async with aclosing(request.stream()) as stream:
        form = await _form(_Parser(request, stream, max_files, memory_bytes))
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


@contextmanager
def data_of(file: UploadFile, memory_bytes: int) -> Generator[Data]:
    """Give a file of a form that was opened with the same bound; it may be closed.

    Its bytes are there for the block, and for whoever holds them longer.
    """
    if file.size is not None and file.size <= memory_bytes:
        yield file.file.read()
        return
    # A descriptor of its own: the form closes the other one.
    on_disk = Spooled(FileIO(os.dup(file.file.fileno())))
    with on_disk.held():
        yield on_disk


class _Parser(MultiPartParser):
    """Starlette's parser, which says what of the body is on the disk."""

    def __init__(
        self,
        request: Request,
        stream: AsyncGenerator[bytes],
        max_files: int,
        memory_bytes: int,
    ) -> None:
        super().__init__(
            request.headers,
            self._counted(stream),
            max_files=max_files,
            max_fields=_MAX_FIELDS,
            max_part_size=_MAX_FIELD_BYTES,
        )
        self.spool_max_size = memory_bytes
        self._body = body_of(request)
        self._files: list[UploadFile] = []

    def on_headers_finished(self) -> None:
        super().on_headers_finished()
        if self._current_part.file:
            self._files.append(self._current_part.file)

    async def _counted(self, stream: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
        counted = 0
        async for chunk in stream:
            yield chunk  # and when the next is asked for, this one was written
            on_disk = self._on_disk()
            self._body.spool(on_disk - counted)
            counted = on_disk

    def _on_disk(self) -> int:
        sizes = [file.size or 0 for file in self._files]
        return sum(size for size in sizes if 0 < self.spool_max_size < size)


async def _form(parser: MultiPartParser) -> FormData:
    try:
        with temporary_disk():
            return await parser.parse()
    except MultiPartException as error:
        raise InvalidInputError(
            f"The multipart body cannot be read: {error.message}", field="body"
        ) from error
    except UnicodeError as error:
        raise InvalidInputError("A part is not UTF-8.", field="body") from error
