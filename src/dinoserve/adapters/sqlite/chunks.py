"""Lists of values in SQL: question marks, few enough for one statement."""

from collections.abc import Collection, Iterator
from itertools import islice

# SQLite takes 32,766 (sqlite.org/limits.html §9); few sizes keep its cache useful.
_MAX_VALUES = 500


def marks(count: int) -> str:
    """Return that many question marks, to stand between parentheses."""
    return ", ".join("?" * count)


def chunks(values: Collection[str]) -> Iterator[list[str]]:
    """Yield the values in lists that fit into one statement."""
    rest = iter(values)
    while chunk := list(islice(rest, _MAX_VALUES)):
        yield chunk
