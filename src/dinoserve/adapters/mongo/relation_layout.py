"""The collections of relations and of what followers have yet to be told."""

from collections.abc import Mapping
from typing import Final

from pymongo import IndexModel

from dinoserve.adapters.mongo.layout import Layout

_TEXT = {"bsonType": "string"}
_TEXT_OR_NULL = {"bsonType": ["string", "null"]}
_INTEGER = {"bsonType": ["int", "long"]}
_KEY = dict.fromkeys(("_id", "source", "target", "kind"), _TEXT)

RELATIONS: Final[Mapping[str, Layout]] = {
    "relations": Layout(
        # See domain/relations.py. _id: a digest of source, target and kind.
        # created_at: microseconds since 1970 UTC. attributes: JSON.
        {
            **_KEY,
            **dict.fromkeys(("attributes", "origin"), _TEXT),
            **dict.fromkeys(("collection", "recipe"), _TEXT_OR_NULL),
            "weight": {"bsonType": "double"},
            "created_at": _INTEGER,
        },
        (
            IndexModel(
                [("source", 1), ("weight", -1), ("target", 1), ("kind", 1)],
                name="by_source",
            ),
            IndexModel(
                [("target", 1), ("weight", -1), ("source", 1), ("kind", 1)],
                name="by_target",
            ),
            IndexModel([("collection", 1), ("_id", 1)], name="by_collection"),
        ),
    ),
    "relation_followers": Layout({"_id": _TEXT}),
    # See relation_log.py.
    "relation_guards": Layout({"_id": _INTEGER, "writes": _INTEGER}),
    "relation_marks": Layout(
        # Of a node: target and kind are empty.
        {**_KEY, "follower": _TEXT, "version": _INTEGER},
        (IndexModel([("follower", 1), ("version", 1)], name="by_follower"),),
    ),
}
