"""Bodies that several routes share."""

from datetime import UTC, datetime
from typing import Annotated, Any, Self

from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)
from pydantic_core import PydanticKnownError

from dinoserve.domain.assets import (
    ASSET_ID_PATTERN,
    COLLECTION_PATTERN,
    MAX_EXACT_INTEGER,
    Asset,
    Filter,
    Range,
    Scalar,
    check_metadata,
)
from dinoserve.errors import InvalidInputError

_MAX_KEYS = 64
_NO_CONTROLS = r"^[^\x00-\x1f\x7f]+$"


def _not_a_number(text: object) -> object:
    """Refuse what pydantic would take as seconds since 1970."""
    if isinstance(text, str) and "-" in text[1:]:
        return text
    raise ValueError("a time looks like 2026-11-23T06:00:00Z")


Time = Annotated[AwareDatetime, BeforeValidator(_not_a_number)]
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


def _check_few(value: object) -> None:
    """Refuse too many keys before the value of each is looked at."""
    if isinstance(value, dict) and (keys := len(value)) > _MAX_KEYS:  # pyright: ignore[reportUnknownArgumentType] - JSON of any shape
        told = {"field_type": "Dictionary", "max_length": _MAX_KEYS}
        raise PydanticKnownError("too_long", told | {"actual_length": keys})


def _few(value: object) -> object:
    _check_few(value)
    return value


Number = Annotated[float, Field(ge=-MAX_EXACT_INTEGER, le=MAX_EXACT_INTEGER)]


class RangeBody(Body):
    """Numbers between bounds."""

    gte: Number | None = None
    gt: Number | None = None
    lte: Number | None = None
    lt: Number | None = None

    @model_validator(mode="after")
    def _has_a_bound(self) -> Self:
        if self.to_domain() == Range():
            raise ValueError("give at least one of `gte`, `gt`, `lte` and `lt`")
        return self

    def to_domain(self) -> Range:
        """Return the bounds."""
        return Range(self.gte, self.gt, self.lte, self.lt)


class FilterBody(Body):
    """Conditions that must all hold."""

    tags: TagList = Field(default=[])
    metadata: Annotated[dict[str, Scalar | RangeBody], BeforeValidator(_few)] = Field(
        default={},
        max_length=_MAX_KEYS,
        description="Top-level keys of the asset's metadata and their values, or"
        " bounds of their numbers.",
    )
    media_type: Annotated[list[MediaTypeText], Field(max_length=16)] = Field(
        default=[], description="The image's is one of these, e.g. `image/png`."
    )
    width: RangeBody | None = Field(default=None, description="Pixels.")
    height: RangeBody | None = Field(default=None, description="Pixels.")
    bytes: RangeBody | None = Field(default=None, description="Of the original.")
    created_from: Time | None = Field(default=None, description="Then or later.")
    created_until: Time | None = Field(default=None, description="Before then.")

    def to_domain(self) -> Filter:
        """Return the filter; its values obey the rules of metadata."""
        ranges = {
            key: value.to_domain()
            for key, value in self.metadata.items()
            if isinstance(value, RangeBody)
        }
        return Filter(
            tags=frozenset(self.tags),
            metadata=self._equal(),
            ranges=ranges,
            media_types=frozenset(self.media_type),
            width=_range_of(self.width),
            height=_range_of(self.height),
            size_bytes=_range_of(self.bytes),
            created_from=self.created_from,
            created_until=self.created_until,
        )

    def _equal(self) -> dict[str, Scalar]:
        equal: dict[str, Scalar] = {
            key: value
            for key, value in self.metadata.items()
            if not isinstance(value, RangeBody)
        }
        try:
            check_metadata(dict.fromkeys(self.metadata) | equal)
        except InvalidInputError as error:
            raise error.at("filter.metadata") from error
        return equal


def _range_of(body: RangeBody | None) -> Range:
    return body.to_domain() if body else Range()
