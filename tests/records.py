"""Assets and vectors for the tests of stores."""

import hashlib
from datetime import UTC, datetime

import numpy as np

from dinoserve.domain.assets import Asset, ImageInfo, Metadata, asset_id
from dinoserve.domain.recipes import Recipe
from dinoserve.domain.vectors import Embedding, Vector, normalise

NOON = datetime(2026, 11, 23, 12, 0, 0, 123456, tzinfo=UTC)
# Of every kind that a database or its query language might stumble over.
ODD_TEXTS = [
    "it's",
    '"quoted"',
    "'; DROP TABLE asset; --",
    "日本語",
    "🦕",
    "a\0b",
    "%_",
    "",
    "$.x[0]",
    "line\nbreak",
    "x" * 500,
]


def digest(seed: object) -> str:
    """Return the SHA-256 of something, in hex."""
    return hashlib.sha256(str(seed).encode()).hexdigest()


def an_asset(  # noqa: PLR0913 - each test names only what it is about
    seed: object,
    *,
    collection: str = "default",
    created_at: datetime = NOON,
    tags: tuple[str, ...] = (),
    metadata: Metadata | None = None,
    subject: str | None = None,
    filename: str | None = "a.jpg",
) -> Asset:
    """Return an asset whose bytes are named by the seed."""
    sha256 = digest(seed)
    return Asset(
        id=asset_id(collection, sha256),
        collection=collection,
        sha256=sha256,
        filename=filename,
        image=ImageInfo("image/jpeg", 640, 480),
        size_bytes=48213,
        created_at=created_at,
        tags=tags,
        metadata=metadata or {},
        subject=subject,
    )


def a_vector(seed: int, width: int = 8) -> Vector:
    """Return a unit vector that the seed alone decides."""
    numbers = np.random.default_rng(seed).standard_normal(width)
    return normalise(numbers.astype(np.float32))


def an_embedding(asset: Asset, recipe: str = "r1", seed: int = 0) -> Embedding:
    """Return an embedding of the asset."""
    return Embedding(asset.id, recipe, a_vector(seed))


def a_recipe(model: str = "bundled") -> Recipe:
    """Return a recipe that differs by its model."""
    return Recipe(model, "local", "0" * 64, "1" * 64, "hf-224x224-lvd-v1", "cls", 384)
