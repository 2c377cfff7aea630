"""Assets as rows of a table: what a file tells of each, with its vector."""

import io
import json
from collections.abc import Iterable, Sequence
from datetime import UTC
from typing import NamedTuple

import numpy as np

from dinoserve.domain.assets import Asset, Metadata
from dinoserve.domain.vectors import Matrix


class Table(NamedTuple):
    """Some assets.

    Attributes:
        records: JSON, one of each asset, as `record` gives it.
        vectors: float32 (len(records), d), of unit length; d is 0 where none are asked
            for.
    """

    records: Sequence[Metadata]
    vectors: Matrix


def record(asset: Asset, recipe: str | None = None) -> Metadata:
    """Return what is told of an asset: JSON with the names that the API has.

    Args:
        asset: which.
        recipe: what its vector means, if the table has vectors.
    """
    told = {
        "id": asset.id,
        "collection": asset.collection,
        "sha256": asset.sha256,
        "filename": asset.filename,
        "media_type": asset.image.media_type,
        "bytes": asset.size_bytes,
        "width": asset.image.width,
        "height": asset.image.height,
        "tags": list(asset.tags),
        "metadata": dict(asset.metadata),
        "subject": asset.subject,
        "created_at": asset.created_at.astimezone(UTC).isoformat()[:-6] + "Z",
        "embeddings": [
            {"recipe": ref.recipe, "dimension": ref.dimension}
            for ref in asset.embeddings
        ],
    }
    return told if recipe is None else told | {"recipe": recipe}


def to_lines(table: Table) -> bytes:
    """Return NDJSON: a line for each record, with its vector as `vector`.

    Every number has the nine digits that decide a float32, so none loses anything.

    Source:
        IEEE 754-2019, 5.12.2: nine significant digits of decimal for binary32.
    """
    width = table.vectors.shape[1]
    if not width:
        return json_lines(table.records)
    numbers = ",".join(["%.9g"] * width)
    lines: list[str] = []
    for each, vector in zip(table.records, table.vectors, strict=True):
        head = _json(each)[:-1].decode()
        lines.append(f'{head},"vector":[{numbers % tuple(vector.tolist())}]}}\n')
    return "".join(lines).encode()


def json_lines(rows: Iterable[Metadata]) -> bytes:
    """Return NDJSON: a line for each row."""
    return b"".join(_json(row) + b"\n" for row in rows)


def pack(table: Table) -> bytes:
    """Return the table as bytes for `unpack`; equal tables give equal bytes."""
    lines = b"\n".join(map(_json, table.records))
    packed = io.BytesIO()
    np.savez(packed, vectors=table.vectors, lines=np.frombuffer(lines, np.uint8))
    return packed.getvalue()


def unpack(packed: bytes | bytearray) -> Table:
    """Return the table that `pack` was given."""
    with np.load(io.BytesIO(packed)) as members:
        lines = members["lines"].tobytes().splitlines()
        return Table([json.loads(line) for line in lines], members["vectors"])


def _json(value: Metadata) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()
