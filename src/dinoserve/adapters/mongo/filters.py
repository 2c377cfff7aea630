"""Filters as conditions on documents of `assets`."""

from dataclasses import asdict

from dinoserve.adapters.mongo.records import Document
from dinoserve.adapters.mongo.terms import between, terms
from dinoserve.domain.assets import Filter, Range
from dinoserve.domain.times import to_microseconds


def conditions(where: Filter) -> list[Document]:
    """Return conditions that hold together if the filter does."""
    found: list[Document] = []
    if wanted := terms(where.tags, where.metadata):
        found.append({"terms": {"$all": wanted}})
    for key, bounds in where.ranges.items():
        found.append({"terms": {"$elemMatch": between(key, bounds)}})
    for name, bounds in where.sizes.items():
        found.append({name: _between(bounds)})
    if where.media_types:
        found.append({"media_type": {"$in": sorted(where.media_types)}})
    if where.created_from is not None:
        found.append({"created_at": {"$gte": to_microseconds(where.created_from)}})
    if where.created_until is not None:
        found.append({"created_at": {"$lt": to_microseconds(where.created_until)}})
    return found


def _between(bounds: Range) -> Document:
    return {
        f"${sign}": bound for sign, bound in asdict(bounds).items() if bound is not None
    }
