"""Vectors and recipes: what a connection does for `ports.EmbeddingStore`."""

import json
import sqlite3
from collections.abc import Collection
from dataclasses import asdict
from typing import NamedTuple

from dinoserve.adapters.sqlite.chunks import chunks, marks
from dinoserve.domain.recipes import Recipe
from dinoserve.domain.vectors import Embedding, Vector, from_bytes, to_bytes
from dinoserve.errors import AssetNotFoundError
from dinoserve.ports import IndexEntry

# About 1 MB of the widest DINOv3 vectors (4096 numbers) a batch.
BATCH = 512


class Batch(NamedTuple):
    """Some entries of a scan, and the position behind which the next ones lie."""

    entries: list[IndexEntry]
    last: int


def put(connection: sqlite3.Connection, embedding: Embedding) -> None:
    """Store or replace; absent asset: AssetNotFoundError."""
    stored = connection.execute(
        """INSERT INTO embedding (asset_id, recipe, vector)
        SELECT id, ?, ? FROM asset WHERE id = ?
        ON CONFLICT (asset_id, recipe) DO UPDATE SET vector = excluded.vector""",
        (embedding.recipe, to_bytes(embedding.vector), embedding.asset_id),
    )
    if stored.rowcount == 0:
        raise AssetNotFoundError(f"No asset has the id {embedding.asset_id}.")


def vectors(
    connection: sqlite3.Connection, ids: Collection[str], recipe: str
) -> dict[str, Vector]:
    """Return float32 vectors by asset id, absent ones left out."""
    found: dict[str, Vector] = {}
    for chunk in chunks(ids):
        rows = connection.execute(
            f"""SELECT asset_id, vector FROM embedding
            WHERE recipe = ? AND asset_id IN ({marks(len(chunk))})""",  # noqa: S608 - only question marks are put in
            [recipe, *chunk],
        )
        found |= {row[0]: from_bytes(row[1]) for row in rows}
    return found


def batch(connection: sqlite3.Connection, recipe: str, after: int) -> Batch:
    """Return up to `BATCH` entries of the recipe behind a position; 0 begins."""
    rows = connection.execute(
        """SELECT collection, asset_id, vector, position
        FROM embedding JOIN asset ON asset.id = asset_id
        WHERE recipe = ? AND position > ? ORDER BY position LIMIT ?""",
        (recipe, after, BATCH),
    ).fetchall()
    entries = [IndexEntry(row[0], row[1], from_bytes(row[2])) for row in rows]
    return Batch(entries, rows[-1][3] if rows else after)


def counts(connection: sqlite3.Connection) -> dict[str, int]:
    """Return how many embeddings each recipe id has."""
    return dict(
        connection.execute("SELECT recipe, count(*) FROM embedding GROUP BY recipe")
    )


def save_recipe(connection: sqlite3.Connection, recipe: Recipe) -> None:
    """Keep the recipe under its id; twice is the same as once."""
    connection.execute(
        "INSERT OR IGNORE INTO recipe (id, contents) VALUES (?, ?)",
        (recipe.id, json.dumps(asdict(recipe))),
    )


def recipes(connection: sqlite3.Connection) -> list[Recipe]:
    """Return every recipe kept, as first kept."""
    rows = connection.execute("SELECT contents FROM recipe ORDER BY position")
    return [Recipe(**json.loads(row[0])) for row in rows]
