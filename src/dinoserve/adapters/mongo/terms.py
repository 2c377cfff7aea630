"""Terms: tags and metadata as text that one index of MongoDB finds.

A term is JSON in one spelling, so that two terms are the same text if and only if
`domain.assets.matches` calls tags or scalars equal: `["hero"]` is a tag,
`["scene",12]` the metadata `scene` = 12. MongoDB never compares a number for it.
"""

import hashlib
import json
from collections.abc import Collection, Mapping

# Longer ones are looked up by their digest, which keeps the index small.
_MAX_TEXT = 100


def terms(tags: Collection[str], metadata: Mapping[str, object]) -> list[str]:
    """Return the terms of an asset, or those that a filter asks for, sorted.

    An asset satisfies a filter if and only if it has all terms of the filter.
    Values that are no scalars give no term.
    """
    found = {_term(tag) for tag in tags}
    found |= {
        _term(key, _one_spelling(value))
        for key, value in metadata.items()
        if not isinstance(value, dict | list)
    }
    return sorted(found)


def _term(*parts: object) -> str:
    # Not ASCII only, so that lone surrogates are refused when they are encoded.
    text = json.dumps(parts, ensure_ascii=False, separators=(",", ":"))
    # No term begins like a digest: it begins with a bracket.
    return text if len(text) <= _MAX_TEXT else hashlib.sha256(text.encode()).hexdigest()


def _one_spelling(value: object) -> object:
    """Return 1 for 1.0, as they are equal in JSON; everything else as it is."""
    return int(value) if isinstance(value, float) and value.is_integer() else value
