"""Bodies that several routes share."""

from contextlib import suppress
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
)
from pydantic_core import PydanticCustomError

from dinoserve.domain.assets import (
    ASSET_ID_PATTERN,
    COLLECTION_PATTERN,
    Asset,
)

_NO_CONTROLS = r"^[^\x00-\x1f\x7f]+$"


def _as_time(given: object) -> object:
    """Return the time that a text says; a number is none, as seconds since 1970."""
    if isinstance(given, str) and "-" in given[1:]:
        # Strict validation would take a datetime only: here it is no longer JSON.
        with suppress(ValueError):
            return datetime.fromisoformat(given.upper())
    raise PydanticCustomError("time", "a time looks like 2026-11-23T06:00:00Z")


Time = Annotated[AwareDatetime, BeforeValidator(_as_time)]
AssetIdText = Annotated[str, StringConstraints(pattern=ASSET_ID_PATTERN)]
CollectionText = Annotated[str, StringConstraints(pattern=COLLECTION_PATTERN)]
TagText = Annotated[str, StringConstraints(max_length=64, pattern=_NO_CONTROLS)]
SubjectText = Annotated[str, StringConstraints(max_length=128, pattern=_NO_CONTROLS)]
MediaTypeText = Annotated[
    str, StringConstraints(max_length=64, pattern=r"^image/[a-z0-9.+-]+$")
]
TagList = Annotated[list[TagText], Field(max_length=64)]


class Body(BaseModel):
    """A request body: a misspelt field is an error, not silence."""

    model_config = ConfigDict(extra="forbid")


class EmbeddingRefView(BaseModel):
    """That an asset has an embedding."""

    recipe: str
    dimension: int


class AssetView(BaseModel):
    """An asset as it is shown."""

    id: str
    collection: str
    sha256: str
    filename: str | None
    media_type: str
    bytes: int
    width: int
    height: int
    tags: list[str]
    metadata: dict[str, Any]
    subject: str | None
    created_at: datetime
    embeddings: list[EmbeddingRefView]

    @classmethod
    def of(cls, asset: Asset) -> "AssetView":
        """Return the view of an asset."""
        return cls(
            id=asset.id,
            collection=asset.collection,
            sha256=asset.sha256,
            filename=asset.filename,
            media_type=asset.image.media_type,
            bytes=asset.size_bytes,
            width=asset.image.width,
            height=asset.image.height,
            tags=list(asset.tags),
            metadata=dict(asset.metadata),
            subject=asset.subject,
            created_at=asset.created_at.astimezone(UTC),
            embeddings=[
                EmbeddingRefView(recipe=ref.recipe, dimension=ref.dimension)
                for ref in asset.embeddings
            ],
        )
