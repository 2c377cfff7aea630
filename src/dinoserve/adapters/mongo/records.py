"""How assets and vectors stand in MongoDB's documents.

Metadata is JSON text: BSON has no keys with NUL, no integers beyond 64 bits, and its
operators read dots and dollars in keys. Times are microseconds since 1970 UTC: BSON's
own are milliseconds. An asset names its embeddings, so that one read shows both.
"""

import json
from collections.abc import Mapping
from typing import Any, TypeAlias

from bson.binary import VECTOR_SUBTYPE, Binary, BinaryVectorDtype

from dinoserve.adapters.mongo.terms import numbers, terms
from dinoserve.domain.assets import Asset, EmbeddingRef, ImageInfo, Metadata
from dinoserve.domain.times import from_microseconds, to_microseconds
from dinoserve.domain.vectors import Embedding, Vector, from_bytes, to_bytes

Document: TypeAlias = dict[str, Any]

# BSON binary vectors begin with the kind of number and the padding (BSON subtype 9).
_FLOAT32_HEAD = BinaryVectorDtype.FLOAT32.value + b"\0"


def document(asset: Asset) -> Document:
    """Return what is stored of an asset that has no embedding yet."""
    return {
        "_id": asset.id,
        "collection": asset.collection,
        "sha256": asset.sha256,
        "filename": asset.filename,
        "media_type": asset.image.media_type,
        "width": asset.image.width,
        "height": asset.image.height,
        "size_bytes": asset.size_bytes,
        "created_at": to_microseconds(asset.created_at),
        "subject": asset.subject,
        "embeddings": [],
        **searched(asset.tags, asset.metadata),
    }


def searched(tags: tuple[str, ...], metadata: Metadata) -> Document:
    """Return the fields that hold tags and metadata, and what filters look up."""
    return {
        "tags": list(tags),
        "metadata": json.dumps(dict(metadata), ensure_ascii=False),
        "terms": terms(tags, metadata) + numbers(metadata),
    }


def asset(found: Mapping[str, Any]) -> Asset:
    """Return the asset that a document holds."""
    return Asset(
        id=found["_id"],
        collection=found["collection"],
        sha256=found["sha256"],
        filename=found["filename"],
        image=ImageInfo(found["media_type"], found["width"], found["height"]),
        size_bytes=found["size_bytes"],
        created_at=from_microseconds(found["created_at"]),
        tags=tuple(found["tags"]),
        metadata=json.loads(found["metadata"]),
        subject=found["subject"],
        embeddings=tuple(
            EmbeddingRef(ref["recipe"], ref["dimension"])
            for ref in sorted(found["embeddings"], key=lambda ref: ref["recipe"])
        ),
    )


def reference(embedding: Embedding) -> Document:
    """Return what an asset's document says of an embedding."""
    return {"recipe": embedding.recipe, "dimension": len(embedding.vector)}


def embedding_id(asset_id: str, recipe: str) -> str:
    """Return the id of the document that holds a vector."""
    return f"{asset_id}/{recipe}"


def asset_of(document_id: str) -> str:
    """Return the id of the asset whose vector a document holds."""
    return document_id.partition("/")[0]


def recipe_of(document_id: str) -> str:
    """Return the recipe id of a document that holds a vector."""
    return document_id.partition("/")[2]


def packed(vector: Vector) -> Binary:
    """Return the vector as a BSON binary vector of float32."""
    return Binary(_FLOAT32_HEAD + to_bytes(vector), VECTOR_SUBTYPE)


def unpacked(raw: bytes) -> Vector:
    """Return read-only float32 (d,) of a BSON binary vector."""
    return from_bytes(raw[len(_FLOAT32_HEAD) :])
