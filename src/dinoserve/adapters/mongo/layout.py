"""What the documents of one collection must hold, and how they are found."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pymongo import IndexModel


@dataclass(frozen=True, slots=True)
class Layout:
    """What a collection's documents must hold, and how they are found.

    Attributes:
        fields: `$jsonSchema` of each field; every one is required.
        indexes: beside the one of `_id`, which every collection has.
    """

    fields: Mapping[str, Any]
    indexes: tuple[IndexModel, ...] = ()

    @property
    def validator(self) -> dict[str, Any]:
        """The rule that the server holds every write to."""
        return {
            "$jsonSchema": {
                "bsonType": "object",
                "required": sorted(self.fields),
                "properties": dict(self.fields),
            }
        }
