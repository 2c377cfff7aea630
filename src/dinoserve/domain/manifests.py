"""Manifests: lists of pictures to take in, as CSV with a header or as NDJSON."""

import csv
import io
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final, cast

from dinoserve.domain.assets import Metadata, check_collection, check_metadata
from dinoserve.errors import InvalidInputError

MAX_BYTES: Final = 1024 * 1024
"""Bytes of a manifest in UTF-8: it stays in the job's record, which is read often."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_MAX_SOURCE = 4096
_MAX_FILENAME = 255
_MAX_SUBJECT = 128
_MAX_TAGS = 64
_MAX_TAG = 64


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture to take in, and what is said of it beside what its job says of all.

    Attributes:
        url: https, where it is; None with a path or key.
        path: of a file of the server.
        key: of an object in the bucket.
        tags: beside those of the job.
        metadata: goes before the job's.
    """

    url: str | None = None
    path: str | None = None
    key: str | None = None
    collection: str | None = None
    filename: str | None = None
    subject: str | None = None
    tags: tuple[str, ...] = ()
    metadata: Metadata = field(default_factory=dict[str, object])

    def to_item(self) -> str:
        """Return it as an item of a job: JSON in ASCII, without what is not said."""
        values = ((one.name, getattr(self, one.name)) for one in fields(self))
        return json.dumps({name: value for name, value in values if value})

    @classmethod
    def from_item(cls, item: str) -> "Picture":
        """Return the picture that `to_item` told of."""
        told: dict[str, Any] = json.loads(item)
        told["tags"] = tuple(told.get("tags", ()))
        return cls(**told)

    @property
    def source(self) -> str:
        """Where it is, as it was given."""
        return self.url or self.path or self.key or ""


def pictures(manifest: str) -> list[Picture]:
    """Return the pictures of a manifest, in its order.

    A row has `url` (https) or `path`, and may have `collection`, `filename`,
    `subject`, `tags` (in CSV separated by semicolons) and `metadata` (in CSV a JSON
    object). Text that begins with a brace is NDJSON.

    Raises:
        InvalidInputError: it is too large, has no rows, or one is wrong; `field` is
            `manifest`, `line` which row's last line it is, from 1.
    """
    size = len(manifest.encode(errors="replace"))
    if size > MAX_BYTES:
        raise InvalidInputError(
            f"A manifest may have {MAX_BYTES} bytes; this has {size}. Give several"
            " jobs a part each.",
            field="manifest",
            limit=MAX_BYTES,
            value=size,
        )
    text = manifest.removeprefix("\ufeff")
    read = _json_rows if text.lstrip().startswith("{") else _csv_rows
    found = [_picture(row, line) for line, row in read(text)]
    if not found:
        raise _wrong("it names no pictures", 1)
    return found


def _json_rows(text: str) -> Iterator[tuple[int, Mapping[str, object]]]:
    for line, row in enumerate(text.split("\n"), 1):
        if not row.strip():
            continue
        try:
            value = json.loads(row)
        except (ValueError, RecursionError) as error:
            raise _wrong("it is not JSON", line) from error
        if not isinstance(value, dict):
            raise _wrong("it is no JSON object", line)
        yield line, cast("dict[str, object]", value)


def _csv_rows(text: str) -> Iterator[tuple[int, Mapping[str, object]]]:
    reader = csv.DictReader(
        io.StringIO(text, newline=""), restkey="too much", strict=True
    )
    try:
        header = reader.fieldnames or []
        if len({*header}) < len(header):
            raise _wrong("two columns have one name", 1)
        for row in reader:
            yield reader.line_num, _from_csv(row, reader.line_num)
    except csv.Error as error:
        raise _wrong(f"it is no CSV ({error})", reader.reader.line_num) from error


def _from_csv(row: Mapping[str, str | None], line: int) -> dict[str, object]:
    told: dict[str, object] = {name: one for name, one in row.items() if one}
    if "tags" in told:
        tags = str(told["tags"]).split(";")
        told["tags"] = [tag.strip() for tag in tags if tag.strip()]
    if "metadata" in told:
        try:
            told["metadata"] = json.loads(str(told["metadata"]))
        except (ValueError, RecursionError) as error:
            raise _wrong("its `metadata` is not JSON", line) from error
    return told


def _picture(row: Mapping[str, object], line: int) -> Picture:
    told = {name: one for name, one in row.items() if one is not None}
    if unknown := sorted(told.keys() - _CHECKS.keys()):
        known = ", ".join(_CHECKS)
        raise _wrong(f"it has `{unknown[0][:80]}`; there are {known}", line)
    for name, value in told.items():
        _CHECKS[name](name, value, line)
    if len({"url", "path"} & told.keys()) != 1:
        raise _wrong("it needs just one of `url` and `path`", line)
    tags = cast("list[str]", told.get("tags", []))
    return Picture(
        **cast("dict[str, Any]", told | {"tags": tuple(dict.fromkeys(tags))})
    )


def _text(limit: int) -> Callable[[str, object, int], None]:
    def check(name: str, value: object, line: int) -> None:
        if not isinstance(value, str) or not 0 < len(value) <= limit:
            raise _wrong(f"its `{name}` is no text of 1 to {limit} characters", line)
        if _CONTROL.search(value):
            raise _wrong(f"its `{name}` has control characters", line)

    return check


def _check_url(name: str, value: object, line: int) -> None:
    _text(_MAX_SOURCE)(name, value, line)
    if not str(value).lower().startswith("https://"):
        raise _wrong("its `url` does not begin with https://", line)


def _check_collection(name: str, value: object, line: int) -> None:
    _text(_MAX_TAG)(name, value, line)
    try:
        check_collection(str(value))
    except InvalidInputError as error:
        raise _wrong(error.detail, line) from error


def _check_tags(name: str, value: object, line: int) -> None:
    if not isinstance(value, list) or len(cast("list[object]", value)) > _MAX_TAGS:
        raise _wrong(f"its `tags` are no list of up to {_MAX_TAGS}", line)
    for tag in cast("list[object]", value):
        _text(_MAX_TAG)(name, tag, line)


def _check_metadata(_: str, value: object, line: int) -> None:
    if not isinstance(value, dict):
        raise _wrong("its `metadata` is no JSON object", line)
    try:
        check_metadata(cast("dict[str, object]", value))
    except InvalidInputError as error:
        raise _wrong(error.detail, line) from error


_CHECKS: Final[Mapping[str, Callable[[str, object, int], None]]] = {
    "url": _check_url,
    "path": _text(_MAX_SOURCE),
    "collection": _check_collection,
    "filename": _text(_MAX_FILENAME),
    "subject": _text(_MAX_SUBJECT),
    "tags": _check_tags,
    "metadata": _check_metadata,
}


def _wrong(what: str, line: int) -> InvalidInputError:
    return InvalidInputError(
        f"Line {line} of the manifest: {what}.", field="manifest", line=line
    )
