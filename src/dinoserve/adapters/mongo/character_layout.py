"""The collections of characters, of their checks and of calibrations."""

from collections.abc import Mapping
from typing import Final

from pymongo import IndexModel

from dinoserve.adapters.mongo.layout import Layout

_TEXT = {"bsonType": "string"}
_INTEGER = {"bsonType": ["int", "long"]}

CHARACTERS: Final[Mapping[str, Layout]] = {
    "characters": Layout(
        # See domain/characters.py. created_at: microseconds since 1970 UTC.
        # attributes: JSON. mask: a PNG.
        {
            **dict.fromkeys(("_id", "attributes", "collection", "name"), _TEXT),
            "created_at": _INTEGER,
            "references": {
                "bsonType": "array",
                "items": {
                    "bsonType": "object",
                    "required": ["asset_id", "box", "mask"],
                    "properties": {
                        "asset_id": _TEXT,
                        "box": {"bsonType": ["array", "null"]},
                        "mask": {"bsonType": ["binData", "null"]},
                    },
                },
            },
        },
        (
            IndexModel([("created_at", -1), ("_id", -1)], name="by_time"),
            IndexModel(
                [("collection", 1), ("created_at", -1), ("_id", -1)],
                name="by_collection",
            ),
            IndexModel("references.asset_id", name="by_reference"),
        ),
    ),
    "character_checks": Layout(
        # _id: character/asset/recipe. findings: JSON.
        {
            **dict.fromkeys(("_id", "asset_id", "character_id", "findings"), _TEXT),
            **dict.fromkeys(("recipe", "reference_id"), _TEXT),
            "checked_at": _INTEGER,
        },
        (
            IndexModel(
                [
                    ("character_id", 1),
                    ("recipe", 1),
                    ("checked_at", -1),
                    ("asset_id", -1),
                ],
                name="by_character",
            ),
            IndexModel("asset_id", name="by_asset"),
            IndexModel("reference_id", name="by_reference"),
        ),
    ),
    "reviewed_pairs": Layout(
        # See domain/character_reviews.py. _id: left/right. decided_at: as above.
        {
            **dict.fromkeys(("_id", "collection", "left_id", "right_id"), _TEXT),
            "same": {"bsonType": "bool"},
            "decided_at": _INTEGER,
        },
        (
            IndexModel(
                [("collection", 1), ("left_id", 1), ("right_id", 1)],
                name="by_collection",
            ),
            IndexModel("left_id", name="by_left"),
            IndexModel("right_id", name="by_right"),
        ),
    ),
    "calibrations": Layout(
        # See domain/kept_calibrations.py. contents: JSON.
        {
            **dict.fromkeys(("_id", "collection", "contents"), _TEXT),
            **dict.fromkeys(("recipe", "score"), _TEXT),
            "created_at": _INTEGER,
        },
        (IndexModel([("created_at", -1), ("_id", -1)], name="by_time"),),
    ),
}
