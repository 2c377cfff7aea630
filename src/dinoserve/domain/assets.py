"""What an asset is: an image somebody gave us, and how assets are selected."""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeAlias, cast

from dinoserve.errors import InvalidInputError

Scalar: TypeAlias = str | int | float | bool | None
Metadata: TypeAlias = Mapping[str, object]

COLLECTION_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
ASSET_ID_PATTERN = r"^[0-9a-f]{32}$"
IMAGE_ENDINGS = (
    *(".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif"),
)
"""How names of images end, in lower case."""

MAX_METADATA_BYTES = 16_384
MAX_METADATA_DEPTH = 32
# Beyond 2**53 - 1 a JSON number is not exact in every reader (RFC 8259 §6).
MAX_EXACT_INTEGER = 2**53 - 1


@dataclass(frozen=True, slots=True)
class ImageInfo:
    """What decoding told about an image.

    Attributes:
        media_type: from the bytes themselves, never from a name or header.
        width: pixels as shown, after the EXIF orientation is applied.
        height: pixels as shown, after the EXIF orientation is applied.
    """

    media_type: str
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class EmbeddingRef:
    """That an asset has an embedding: under which recipe and how wide."""

    recipe: str
    dimension: int


@dataclass(frozen=True, slots=True)
class Asset:
    """An image somebody gave us; its identity is (collection, SHA-256).

    Attributes:
        id: 32 hex digits, see `asset_id`.
        size_bytes: length of the original.
        created_at: aware, UTC, microseconds.
        embeddings: which embeddings the store holds for it, by recipe id.
    """

    id: str
    collection: str
    sha256: str
    filename: str | None
    image: ImageInfo
    size_bytes: int
    created_at: datetime
    tags: tuple[str, ...] = ()
    metadata: Metadata = field(default_factory=dict[str, object])
    subject: str | None = None
    embeddings: tuple[EmbeddingRef, ...] = ()

    def has_recipe(self, recipe: str) -> bool:
        """Tell whether an embedding of this recipe is stored."""
        return any(ref.recipe == recipe for ref in self.embeddings)


@dataclass(frozen=True, slots=True)
class Range:
    """Numbers between bounds; None: no bound.

    Attributes:
        gte: the least.
        gt: less than every one.
        lte: the greatest.
        lt: greater than every one.
    """

    gte: float | None = None
    gt: float | None = None
    lte: float | None = None
    lt: float | None = None

    def has(self, value: object) -> bool:
        """Tell whether this is a number between the bounds; true is none."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        return (
            (self.gte is None or value >= self.gte)
            and (self.gt is None or value > self.gt)
            and (self.lte is None or value <= self.lte)
            and (self.lt is None or value < self.lt)
        )


_ANY = Range()


@dataclass(frozen=True, slots=True)
class Filter:
    """Which assets are meant: every condition must hold.

    Attributes:
        tags: every one of them must be on the asset.
        metadata: each key must be on the asset's top level with an equal value;
            equality is JSON's: 1 equals 1.0, true does not equal 1.
        ranges: each key must be on the asset's top level with a number between the
            bounds; of numbers that metadata may hold, see `check_metadata`.
        media_types: the image's is one of them; none: any.
        width: pixels.
        height: pixels.
        size_bytes: of the original.
        created_from: aware; when it was given, or later.
        created_until: aware; it was given before.
    """

    tags: frozenset[str] = frozenset()
    metadata: Mapping[str, Scalar] = field(default_factory=dict[str, Scalar])
    ranges: Mapping[str, Range] = field(default_factory=dict[str, Range])
    media_types: frozenset[str] = frozenset()
    width: Range = _ANY
    height: Range = _ANY
    size_bytes: Range = _ANY
    created_from: datetime | None = None
    created_until: datetime | None = None

    def __bool__(self) -> bool:
        return self != Filter()

    @property
    def sizes(self) -> dict[str, Range]:
        """The bounds of `width`, `height` and `size_bytes`, those that bound."""
        named = ("width", self.width), ("height", self.height)
        sizes = dict((*named, ("size_bytes", self.size_bytes)))
        return {name: bounds for name, bounds in sizes.items() if bounds != _ANY}


def asset_id(collection: str, sha256: str) -> str:
    """Return the 32 hex digits that (collection, SHA-256) always gives."""
    return hashlib.sha256(f"{collection}\0{sha256}".encode()).hexdigest()[:32]


def matches(asset: Asset, where: Filter) -> bool:
    """Tell whether the asset satisfies every condition of the filter."""
    return (
        where.tags <= set(asset.tags)
        and all(
            key in asset.metadata and is_equal_scalar(asset.metadata[key], value)
            for key, value in where.metadata.items()
        )
        and all(
            bounds.has(asset.metadata.get(key)) for key, bounds in where.ranges.items()
        )
        and _fits(asset, where)
    )


def _fits(asset: Asset, where: Filter) -> bool:
    """Tell whether the record itself satisfies the filter."""
    image = asset.image
    return (
        (not where.media_types or image.media_type in where.media_types)
        and where.width.has(image.width)
        and where.height.has(image.height)
        and where.size_bytes.has(asset.size_bytes)
        and (where.created_from is None or asset.created_at >= where.created_from)
        and (where.created_until is None or asset.created_at < where.created_until)
    )


def is_equal_scalar(left: object, right: object) -> bool:
    """Tell whether two JSON values are equal scalars; true is not 1."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    return not isinstance(left, dict | list) and left == right


def check_collection(name: str) -> str:
    """Return the name, or raise InvalidInputError with the rule it breaks."""
    if re.fullmatch(COLLECTION_PATTERN, name):
        return name
    raise InvalidInputError(
        "A collection's name is 1 to 64 letters, digits, dots, dashes or"
        " underscores and starts with a letter or digit.",
        field="collection",
        value=name[:80],
    )


def check_metadata(metadata: Metadata) -> Metadata:
    """Return the metadata if it survives JSON exactly and is small enough.

    Raises:
        InvalidInputError: numbers that JSON cannot carry exactly, text that is not
            Unicode, or more than `MAX_METADATA_BYTES` as JSON.
    """
    try:
        _check_values(metadata)
        size = len(json.dumps(metadata, ensure_ascii=False, allow_nan=False).encode())
    except (ValueError, RecursionError) as error:
        raise InvalidInputError(
            "Metadata must be JSON: Unicode text, finite numbers, integers within"
            f" ±(2^53 - 1), at most {MAX_METADATA_DEPTH} levels deep.",
            field="metadata",
        ) from error
    if size > MAX_METADATA_BYTES:
        raise InvalidInputError(
            f"Metadata may be {MAX_METADATA_BYTES} bytes as JSON; this is {size}.",
            field="metadata",
            limit=MAX_METADATA_BYTES,
            value=size,
        )
    return metadata


def _check_values(value: object, depth: int = 0) -> None:
    if depth > MAX_METADATA_DEPTH:
        raise ValueError("too deep")
    items: Iterable[object] = ()
    match value:
        case bool():
            pass
        case int() if abs(value) > MAX_EXACT_INTEGER:
            raise ValueError("integer beyond 2^53 - 1")
        case Mapping():
            items = cast("Mapping[str, object]", value).values()
        case list():
            items = cast("list[object]", value)
        case _:
            pass
    for item in items:
        _check_values(item, depth + 1)
