"""Terms: tags and metadata as text that one index of MongoDB finds.

A term is JSON in one spelling, so that two terms are the same text if and only if
`domain.assets.matches` calls tags or scalars equal: `["hero"]` is a tag,
`["scene",12]` the metadata `scene` = 12. MongoDB never compares a number for it.

A number has a second term that sorts as numbers do, for ranges: a digest of its key,
and 16 hex digits of the number.
"""

import hashlib
import json
import struct
import sys
from collections.abc import Collection, Mapping
from dataclasses import asdict
from typing import Final

from dinoserve.domain.assets import Range

# Longer ones are looked up by their digest, which keeps the index small.
_MAX_TEXT = 100
_MAX_NUMBER: Final = sys.float_info.max
_SIGN: Final = 2**63


def terms(tags: Collection[str], metadata: Mapping[str, object]) -> list[str]:
    """Return the terms of an asset, or those that a filter asks for, sorted.

    An asset satisfies a filter if and only if it has all terms of the filter.
    Values that are no scalars give no term. Numbers that sort are not among them.
    """
    found = {_term(tag) for tag in tags}
    found |= {
        _term(key, _one_spelling(value))
        for key, value in metadata.items()
        if not isinstance(value, dict | list)
    }
    return sorted(found)


def numbers(metadata: Mapping[str, object]) -> list[str]:
    """Return the terms of an asset's numbers that ranges look up, sorted."""
    return sorted(
        _number_key(key) + _sortable(value)
        for key, value in metadata.items()
        if isinstance(value, int | float)
        and not isinstance(value, bool)
        and abs(value) <= _MAX_NUMBER
    )


def between(key: str, bounds: Range) -> Mapping[str, str]:
    """Return the bounds of the terms whose number is between bounds."""
    name = _number_key(key)
    found = {
        f"${sign}": name + _sortable(bound)
        for sign, bound in asdict(bounds).items()
        if bound is not None
    }
    if not {"$gte", "$gt"} & found.keys():
        found["$gte"] = name + _sortable(-_MAX_NUMBER)
    if not {"$lte", "$lt"} & found.keys():
        found["$lte"] = name + _sortable(_MAX_NUMBER)
    return found


def _number_key(key: str) -> str:
    # No other term begins so.
    return f"#{hashlib.sha256(key.encode()).hexdigest()[:32]}:"


def _sortable(number: float) -> str:
    """Return 16 hex digits that sort as the numbers do (IEEE 754, order of bits)."""
    # Adding 0.0 makes -0.0 the 0.0 that it is equal to.
    (bits,) = struct.unpack(">q", struct.pack(">d", float(number) + 0.0))
    return f"{bits + _SIGN if bits >= 0 else ~bits:016x}"


def _term(*parts: object) -> str:
    # Not ASCII only, so that lone surrogates are refused when they are encoded.
    text = json.dumps(parts, ensure_ascii=False, separators=(",", ":"))
    # No term begins like a digest: it begins with a bracket.
    return text if len(text) <= _MAX_TEXT else hashlib.sha256(text.encode()).hexdigest()


def _one_spelling(value: object) -> object:
    """Return 1 for 1.0, as they are equal in JSON; everything else as it is."""
    return int(value) if isinstance(value, float) and value.is_integer() else value
