"""Filters as conditions of SQL, each with the values of its question marks."""

from collections.abc import Iterable
from typing import Any, TypeAlias

from dinoserve.adapters.sqlite.terms import key_of, terms
from dinoserve.domain.assets import Filter, Range
from dinoserve.domain.times import to_microseconds

Condition: TypeAlias = tuple[str, list[Any]]


def conditions(where: Filter) -> list[Condition]:
    """Return conditions on `asset` that hold together if the filter does."""
    found = _terms(where) + [_number(*each) for each in where.ranges.items()]
    for column, bounds in where.sizes.items():
        found += _bounds(column, bounds)
    if where.media_types:
        marks = ", ".join("?" * len(where.media_types))
        found.append((f"media_type IN ({marks})", sorted(where.media_types)))
    if where.created_from is not None:
        found.append(("created_at >= ?", [to_microseconds(where.created_from)]))
    if where.created_until is not None:
        found.append(("created_at < ?", [to_microseconds(where.created_until)]))
    return found


def _terms(where: Filter) -> list[Condition]:
    wanted = terms(where.tags, where.metadata)
    if not wanted:
        return []
    rows = ", ".join(["(?, ?)"] * len(wanted))
    condition = f"""id IN (
        SELECT asset_id FROM term WHERE (key, value) IN (VALUES {rows})
        GROUP BY asset_id HAVING count(*) = ?)"""  # noqa: S608 - only question marks are put in
    return [(condition, [part for term in wanted for part in term] + [len(wanted)])]


def _number(key: str, bounds: Range) -> Condition:
    # Text and bytes are greater than every number for SQLite.
    numbers = ("typeof(value) IN ('integer', 'real')", list[Any]())
    clause, values = _joined([numbers, *_bounds("value", bounds)])
    condition = f"id IN (SELECT asset_id FROM term WHERE key = ? AND {clause})"  # noqa: S608 - only question marks are put in
    return condition, [key_of(key), *values]


def _bounds(column: str, bounds: Range) -> list[Condition]:
    signs = (">=", bounds.gte), (">", bounds.gt), ("<=", bounds.lte), ("<", bounds.lt)
    return [
        (f"{column} {sign} ?", [bound]) for sign, bound in signs if bound is not None
    ]


def _joined(found: Iterable[Condition]) -> Condition:
    pairs = list(found)
    clause = " AND ".join(condition for condition, _ in pairs)
    return clause, [value for _, values in pairs for value in values]
