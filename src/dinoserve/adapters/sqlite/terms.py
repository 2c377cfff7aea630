"""Terms: tags and metadata as rows that filters look up.

A term is a key and a value that SQLite compares as `domain.assets.matches` compares
tags and scalars. SQLite never reads a number or text out of JSON for it: it would
round floats its own way and cut text at NUL.
"""

import hashlib
import math
from collections.abc import Collection, Mapping
from typing import TypeAlias

Term: TypeAlias = tuple[str, str | int | float | bytes]

_INT64 = range(-(2**63), 2**63)
# Longer text is looked up by its digest, which keeps the index small.
_MAX_TEXT = 64


def terms(tags: Collection[str], metadata: Mapping[str, object]) -> set[Term]:
    """Return the terms of an asset, or those that a filter asks for.

    An asset satisfies a filter if and only if it has all terms of the filter.
    Values that are no scalars give no term.
    """
    found: set[Term] = {("tag", _comparable(tag)) for tag in tags}
    found |= {
        (key_of(key), _comparable(value))
        for key, value in metadata.items()
        if not isinstance(value, dict | list)
    }
    return found


def key_of(name: str) -> str:
    """Return the key of the terms that this metadata has."""
    return f"metadata.{name}"


def _comparable(value: object) -> str | int | float | bytes:
    """Return what is equal in SQLite if and only if the scalar is equal in JSON.

    Bytes equal no number and no text, so they stand for what SQLite lacks.
    """
    match value:
        case bool() | None:
            return str(value).encode()
        case str():
            return value if len(value) <= _MAX_TEXT else _digest(value)
        case int() if value not in _INT64:
            return _beyond_int64(value)
        case float() if math.isnan(value):
            return b"NaN"
        case int() | float():
            return value
        case _:
            raise TypeError(f"{type(value).__name__} is no JSON scalar")


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def _beyond_int64(value: int) -> float | bytes:
    try:
        near = float(value)
    except OverflowError:
        return str(value).encode()
    return near if near == value else str(value).encode()
