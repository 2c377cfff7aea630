"""Vectors and recipes: what a connection does for `ports.EmbeddingStore`."""

import json
import sqlite3
from collections.abc import Collection
from dataclasses import asdict

from dinoserve.adapters.sqlite.chunks import chunks, marks
from dinoserve.domain.recipes import Recipe
from dinoserve.domain.vectors import Embedding, Vector, from_bytes, to_bytes
from dinoserve.errors import AssetNotFoundError
from dinoserve.ports import IndexEntry

# 8 MiB a batch of the widest DINOv3 vectors (4096 numbers).
BATCH = 512


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


def last_position(connection: sqlite3.Connection, recipe: str) -> int:
    """Return the position where a scan that begins now ends; 0: nothing to scan."""
    (last,) = connection.execute(
        "SELECT max(position) FROM embedding WHERE recipe = ?", (recipe,)
    ).fetchone()
    return last or 0


def batch(
    connection: sqlite3.Connection, recipe: str, after: int, last: int
) -> list[tuple[int, IndexEntry]]:
    """Return up to `BATCH` entries, by position, in (after, last]."""
    rows = connection.execute(
        """SELECT position, collection, asset_id, vector
        FROM embedding JOIN asset ON asset.id = asset_id
        WHERE recipe = ? AND position > ? AND position <= ?
        ORDER BY position LIMIT ?""",
        (recipe, after, last, BATCH),
    )
    return [(row[0], IndexEntry(row[1], row[2], from_bytes(row[3]))) for row in rows]


def counts(
    connection: sqlite3.Connection, collection: str | None, lacking: str | None
) -> dict[str, int]:
    """Return how many embeddings each recipe id has."""
    rows = connection.execute(
        """SELECT recipe, count(*) FROM embedding AS one
        WHERE (:collection IS NULL OR EXISTS (
            SELECT 1 FROM asset WHERE id = asset_id AND collection = :collection))
        AND (:lacking IS NULL OR NOT EXISTS (
            SELECT 1 FROM embedding AS other
            WHERE other.asset_id = one.asset_id AND other.recipe = :lacking))
        GROUP BY recipe""",
        {"collection": collection, "lacking": lacking},
    )
    return dict(rows)


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
