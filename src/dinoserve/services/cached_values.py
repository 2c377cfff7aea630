"""What is kept of values: bytes that give back exactly what they were made of."""

import json
import struct
from dataclasses import asdict
from datetime import datetime
from typing import Any

from dinoserve.domain.assets import Asset, EmbeddingRef, ImageInfo
from dinoserve.domain.geometry import Box, Geometry
from dinoserve.domain.recipes import Recipe
from dinoserve.domain.similarity import Hit
from dinoserve.domain.vectors import from_bytes, to_bytes
from dinoserve.ports import Embedded, Features, Nearest

_LENGTH = struct.Struct("<I")


def asset_to_bytes(asset: Asset) -> bytes:
    """Return a record as bytes."""
    fields = asdict(asset) | {"created_at": asset.created_at.isoformat()}
    return _json(fields)


def asset_from_bytes(raw: bytes) -> Asset:
    """Return the record that `asset_to_bytes` was given."""
    fields: dict[str, Any] = json.loads(raw)
    fields["image"] = ImageInfo(**fields["image"])
    fields["created_at"] = datetime.fromisoformat(fields["created_at"])
    fields["tags"] = tuple(fields["tags"])
    fields["embeddings"] = tuple(EmbeddingRef(**ref) for ref in fields["embeddings"])
    return Asset(**fields)


def embedded_to_bytes(embedded: Embedded) -> bytes:
    """Return an image's vector, what decoding told and its tokens as bytes."""
    head = {"image": asdict(embedded.image), "tokens": embedded.tokens}
    return _with_head(head, to_bytes(embedded.vector))


def embedded_from_bytes(raw: bytes) -> Embedded:
    """Return what `embedded_to_bytes` was given."""
    head, body = _split(raw)
    return Embedded(from_bytes(body), ImageInfo(**head["image"]), head["tokens"])


def features_to_bytes(features: Features) -> bytes:
    """Return an image's tokens, where they lie and their recipe as bytes."""
    head = {
        "width": features.tokens.shape[1],
        "registers": features.registers,
        "geometry": asdict(features.geometry),
        "image": asdict(features.image),
        "recipe": asdict(features.recipe),
    }
    return _with_head(head, features.tokens.astype("<f4", copy=False).tobytes())


def features_from_bytes(raw: bytes) -> Features:
    """Return what `features_to_bytes` was given; the tokens are read-only."""
    head, body = _split(raw)
    geometry: dict[str, Any] = head["geometry"]
    for name in ("source", "content"):
        geometry[name] = Box(*geometry[name])
    return Features(
        tokens=from_bytes(body).reshape(-1, head["width"]),
        registers=head["registers"],
        geometry=Geometry(**geometry),
        image=ImageInfo(**head["image"]),
        recipe=Recipe(**head["recipe"]),
    )


def nearest_to_bytes(found: Nearest) -> bytes:
    """Return hits in order, and how they were found, as bytes, never empty."""
    hits = [[hit.asset_id, hit.score] for hit in found.hits]
    return _json([hits, found.path, found.is_exact])


def nearest_from_bytes(raw: bytes) -> Nearest:
    """Return what `nearest_to_bytes` was given."""
    hits, path, is_exact = json.loads(raw)
    return Nearest([Hit(*hit) for hit in hits], path, is_exact)


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _with_head(head: object, body: bytes) -> bytes:
    told = _json(head)
    return _LENGTH.pack(len(told)) + told + body


def _split(raw: bytes) -> tuple[dict[str, Any], bytes]:
    begin = _LENGTH.size
    end = begin + _LENGTH.unpack_from(raw)[0]
    return json.loads(raw[begin:end]), raw[end:]
