"""Assets in SQLite: what a connection does for `ports.AssetStore`."""

import json
import sqlite3
from collections.abc import Collection, Mapping
from typing import Any

from dinoserve.adapters.sqlite import embeddings, filters, garbage, relation_writes
from dinoserve.adapters.sqlite.chunks import chunks, marks
from dinoserve.adapters.sqlite.terms import terms
from dinoserve.domain.assets import Asset, EmbeddingRef, Filter, ImageInfo
from dinoserve.domain.paging import AssetQuery, Cursor, Page
from dinoserve.domain.times import from_microseconds, to_microseconds
from dinoserve.domain.vectors import Embedding
from dinoserve.errors import AssetNotFoundError
from dinoserve.ports import AssetChanges

_SELECT = """SELECT id, collection, sha256, filename, media_type, width, height,
    size_bytes, created_at, tags, metadata, subject,
    (SELECT json_group_array(json_array(recipe, length(vector) / 4))
     FROM embedding WHERE asset_id = asset.id)
    FROM asset"""


def add(
    connection: sqlite3.Connection, asset: Asset, embedding: Embedding | None
) -> bool:
    """Store asset and embedding; return True if the asset is new."""
    inserted = connection.execute(
        f"INSERT INTO asset VALUES ({marks(12)}) ON CONFLICT (id) DO NOTHING",  # noqa: S608 - only question marks are put in
        _row(asset),
    )
    is_new = inserted.rowcount == 1
    if is_new:
        _add_terms(connection, asset.id, asset.tags, asset.metadata)
    if embedding is not None:
        embeddings.put(connection, embedding)
    garbage.refer(connection, asset.sha256)
    return is_new


def get(connection: sqlite3.Connection, ids: Collection[str]) -> dict[str, Asset]:
    """Return the assets by id, absent ones left out."""
    found: dict[str, Asset] = {}
    for chunk in chunks(ids):
        rows = connection.execute(f"{_SELECT} WHERE id IN ({marks(len(chunk))})", chunk)
        found |= {row[0]: _asset(row) for row in rows}
    return found


def find(connection: sqlite3.Connection, query: AssetQuery) -> Page:
    """Return a page, newest first, then by descending id."""
    clause, values = _selection(query)
    # One row more than asked for tells whether there is a next page.
    rows = connection.execute(
        f"{_SELECT} WHERE {clause} ORDER BY created_at DESC, id DESC LIMIT ?",
        [*values, query.limit + 1],
    )
    assets = [_asset(row) for row in rows]
    page = assets[: query.limit]
    last = page[-1] if len(assets) > query.limit else None
    return Page(page, Cursor(last.created_at, last.id) if last else None)


def ids(connection: sqlite3.Connection, collection: str, where: Filter) -> set[str]:
    """Return the ids of every asset of the collection that matches."""
    clause, values = _selection(AssetQuery(collection, where))
    rows = connection.execute(f"SELECT id FROM asset WHERE {clause}", values)  # noqa: S608 - the clause holds question marks for every value
    return {row[0] for row in rows}


def update(
    connection: sqlite3.Connection, asset_id: str, changes: AssetChanges
) -> Asset:
    """Return the asset after the change; absent: AssetNotFoundError."""
    asset = _require(connection, asset_id)
    tags = asset.tags if changes.tags is None else changes.tags
    metadata = asset.metadata if changes.metadata is None else changes.metadata
    subject = asset.subject if changes.subject is None else changes.subject
    connection.execute(
        "UPDATE asset SET tags = ?, metadata = ?, subject = ? WHERE id = ?",
        (
            json.dumps(tags),
            json.dumps(dict(metadata)),
            None if changes.clear_subject else subject,
            asset_id,
        ),
    )
    connection.execute("DELETE FROM term WHERE asset_id = ?", (asset_id,))
    _add_terms(connection, asset_id, tags, metadata)
    changed = _require(connection, asset_id)
    if changed != asset:
        relation_writes.mark_edited(connection, f"asset:{asset_id}")
    return changed


def remove(connection: sqlite3.Connection, asset_id: str) -> Asset:
    """Erase and return the asset; mark its bytes if no other asset has them."""
    asset = _require(connection, asset_id)
    connection.execute("DELETE FROM asset WHERE id = ?", (asset_id,))
    garbage.condemn(connection, asset.sha256)
    return asset


def _require(connection: sqlite3.Connection, asset_id: str) -> Asset:
    found = get(connection, [asset_id])
    if asset_id not in found:
        raise AssetNotFoundError(f"No asset has the id {asset_id}.")
    return found[asset_id]


def _add_terms(
    connection: sqlite3.Connection,
    asset_id: str,
    tags: Collection[str],
    metadata: Mapping[str, object],
) -> None:
    connection.executemany(
        "INSERT INTO term VALUES (?, ?, ?)",
        [(asset_id, *term) for term in terms(tags, metadata)],
    )


def _selection(query: AssetQuery) -> tuple[str, list[Any]]:
    """Return the condition of a query, and the values of its question marks."""
    conditions: list[tuple[str, list[Any]]] = [("true", [])]
    if query.collection is not None:
        conditions.append(("collection = ?", [query.collection]))
    if query.created_from is not None:
        conditions.append(("created_at >= ?", [to_microseconds(query.created_from)]))
    if query.created_until is not None:
        conditions.append(("created_at < ?", [to_microseconds(query.created_until)]))
    if query.after is not None:
        place = [to_microseconds(query.after.created_at), query.after.id]
        conditions.append(("(created_at, id) < (?, ?)", place))
    conditions += filters.conditions(query.where)
    clause = " AND ".join(condition for condition, _ in conditions)
    return clause, [value for _, values in conditions for value in values]


def _row(asset: Asset) -> tuple[Any, ...]:
    return (
        asset.id,
        asset.collection,
        asset.sha256,
        asset.filename,
        asset.image.media_type,
        asset.image.width,
        asset.image.height,
        asset.size_bytes,
        to_microseconds(asset.created_at),
        json.dumps(asset.tags),
        json.dumps(dict(asset.metadata)),
        asset.subject,
    )


def _asset(row: tuple[Any, ...]) -> Asset:
    return Asset(
        id=row[0],
        collection=row[1],
        sha256=row[2],
        filename=row[3],
        image=ImageInfo(media_type=row[4], width=row[5], height=row[6]),
        size_bytes=row[7],
        created_at=from_microseconds(row[8]),
        tags=tuple(json.loads(row[9])),
        metadata=json.loads(row[10]),
        subject=row[11],
        embeddings=tuple(EmbeddingRef(*pair) for pair in sorted(json.loads(row[12]))),
    )
