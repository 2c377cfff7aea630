"""What each kind of job takes, and what it does not."""

from collections.abc import Mapping
from typing import Annotated, Final, Literal, Self, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    StringConstraints,
    model_validator,
)
from pydantic_core import PydanticCustomError

from dinoserve.domain.assets import check_metadata
from dinoserve.domain.character_checks import DRIFTED_BELOW
from dinoserve.domain.manifests import MAX_BYTES
from dinoserve.domain.quality_typicality import MAX_NEIGHBOURS
from dinoserve.errors import InvalidInputError
from dinoserve.services.sequences import MAX_SHOTS
from dinoserve.web.character_requests import BoxList, CharacterIdText
from dinoserve.web.comparing import GroupingFields, SoughtFields
from dinoserve.web.quality_requests import ThresholdsBody, WeightsBody
from dinoserve.web.schemas import (
    AssetIdText,
    CollectionText,
    SubjectText,
    TagList,
    TagText,
)

MAX_ASSETS: Final = 10_000
"""Asset ids that one job may name."""

MAX_MANIFEST_BYTES: Final = MAX_BYTES
"""Bytes of a manifest in UTF-8."""

_T = TypeVar("_T")


def _once_each(values: list[_T]) -> list[_T]:
    return list(dict.fromkeys(values))


def _few_bytes(text: str) -> str:
    size = len(text.encode())
    if size > MAX_MANIFEST_BYTES:
        told = {"limit": MAX_MANIFEST_BYTES, "size": size}
        raise PydanticCustomError(
            "too_long", "this has {size} bytes in UTF-8; it may have {limit}", told
        )
    return text


def _as_metadata(metadata: dict[str, JsonValue]) -> dict[str, JsonValue]:
    try:
        check_metadata(metadata)
    except InvalidInputError as error:
        raise PydanticCustomError(
            "metadata", "{told}", {"told": error.detail}
        ) from None
    return metadata


Once = AfterValidator(_once_each)
AssetIds = Annotated[
    list[AssetIdText], Field(min_length=1, max_length=MAX_ASSETS), Once
]
SomeTags = Annotated[list[TagText], Field(min_length=1, max_length=64), Once]
PlaceText = Annotated[
    str,
    StringConstraints(min_length=1, max_length=1024, pattern=r"^[^\x00-\x1f\x7f]+$"),
]
ManifestText = Annotated[
    str,
    StringConstraints(min_length=1, max_length=MAX_MANIFEST_BYTES),
    AfterValidator(_few_bytes),
]
RecipeText = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{16}$")]


class Parameters(BaseModel):
    """What a kind of job takes: exact types, and nothing misspelt."""

    model_config = ConfigDict(extra="forbid", strict=True)

    def _given(self, *names: str) -> list[str]:
        return [name for name in names if getattr(self, name) is not None]

    def _need_one(self, *names: str) -> None:
        if len(self._given(*names)) != 1:
            told = {"names": ", ".join(f"`{name}`" for name in names)}
            raise PydanticCustomError("one_of", "give just one of {names}", told)


class EmbedParameters(Parameters):
    """Which assets are to get a vector of the loaded recipe; default: all."""

    assets: AssetIds | None = None
    collection: CollectionText | None = None

    @model_validator(mode="after")
    def _one_choice(self) -> Self:
        if self.assets:
            self._need_one("assets", "collection")
        return self


class EraseParameters(Parameters):
    """Which assets are to be erased: these, or those of which all of this is true."""

    assets: AssetIds | None = None
    collection: CollectionText | None = None
    subject: SubjectText | None = None
    tags: SomeTags | None = None

    @model_validator(mode="after")
    def _one_choice(self) -> Self:
        conditions = self._given("collection", "subject", "tags")
        if bool(self.assets) == bool(conditions):
            raise PydanticCustomError(
                "one_of",
                "give `assets`, or at least one of `collection`, `subject`, `tags`",
            )
        return self


class ReembedParameters(Parameters):
    """Which assets move to the loaded recipe; default: all."""

    recipe: RecipeText | None = Field(
        default=None, description="The loaded one, named so that no other is meant."
    )
    collection: CollectionText | None = None
    remove_old: bool = Field(
        default=True, description="Vectors of other recipes are removed at the end."
    )


class IngestParameters(Parameters):
    """Where images are to be taken from, and what is to be said of them."""

    folder: PlaceText | None = Field(default=None, description="On the server.")
    prefix: PlaceText | None = Field(default=None, description="Of keys in the bucket.")
    manifest: ManifestText | None = Field(
        default=None, description=f"CSV or NDJSON, up to {MAX_MANIFEST_BYTES} bytes."
    )
    collection: CollectionText = "default"
    tags: TagList = Field(default=[])
    subject: SubjectText | None = None
    metadata: Annotated[dict[str, JsonValue], AfterValidator(_as_metadata)] = Field(
        default={}
    )
    embed: bool = Field(default=True, description="`false` only stores.")

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        self._need_one("folder", "prefix", "manifest")
        return self


class SimilarityParameters(Parameters):
    """Which assets are compared, each with each."""

    assets: AssetIds | None = None
    collection: CollectionText | None = None
    mode: Literal["matrix", "neighbours"] = "neighbours"
    k: int = Field(default=10, ge=1, le=1000, description="Neighbours of each asset.")
    min_score: float | None = Field(default=None, ge=-1, le=1)
    format: Literal["ndjson", "npz"] | None = Field(
        default=None, description="Default: ndjson of neighbours, npz of a matrix."
    )

    @model_validator(mode="after")
    def _one_choice(self) -> Self:
        self._need_one("assets", "collection")
        if self.mode == "matrix" and self.format == "ndjson":
            raise PydanticCustomError("format", "a matrix is written as npz only")
        return self


class DuplicatesParameters(Parameters, SoughtFields):
    """Among which assets duplicates are sought, and what is taken for one."""

    assets: AssetIds | None = None
    collection: CollectionText | None = None
    collections: (
        Annotated[list[CollectionText], Field(min_length=1, max_length=20), Once] | None
    ) = None

    @model_validator(mode="after")
    def _one_choice(self) -> Self:
        self._need_one("assets", "collection", "collections")
        return self


class GroupsParameters(Parameters, GroupingFields):
    """Which assets are grouped, and how."""

    assets: AssetIds | None = None
    collection: CollectionText | None = None

    @model_validator(mode="after")
    def _one_choice(self) -> Self:
        self._need_one("assets", "collection")
        return self


class RegionsParameters(Parameters):
    """Of which assets regions are stored, under the loaded recipe."""

    assets: AssetIds | None = None
    collection: CollectionText | None = None

    @model_validator(mode="after")
    def _one_choice(self) -> Self:
        self._need_one("assets", "collection")
        return self


class ExportParameters(Parameters):
    """Which assets are written into a file, and how; default: all."""

    collection: CollectionText | None = None
    tags: SomeTags | None = Field(default=None, description="All must be there.")
    format: Literal["ndjson", "parquet", "npz"] = "ndjson"
    vectors: bool = True


class QualityParameters(Parameters):
    """Which assets are measured, and where issues begin."""

    assets: AssetIds | None = None
    collection: CollectionText | None = None
    thresholds: ThresholdsBody = Field(default={})
    weights: WeightsBody | None = None
    reference: CollectionText | None = Field(
        default=None, description="The collection that typicality is told of."
    )
    k: int = Field(default=10, ge=1, le=MAX_NEIGHBOURS)

    @model_validator(mode="after")
    def _one_choice(self) -> Self:
        self._need_one("assets", "collection")
        return self


class ShotParameters(Parameters):
    """A shot, and the box that its subject is in."""

    asset: AssetIdText
    box: BoxList | None = Field(
        default=None, description="Left, top, right, bottom in upright pixels."
    )


class SequenceParameters(Parameters):
    """Shots in order, and what they are compared with."""

    shots: list[AssetIdText | ShotParameters] = Field(
        min_length=2, max_length=MAX_SHOTS
    )
    collection: CollectionText = Field(
        default="default", description="Of all shots, and of the character."
    )
    character: CharacterIdText | None = Field(
        default=None, description="Default: the first shot is the reference."
    )
    drifted_below: float = Field(default=DRIFTED_BELOW, ge=-1, le=1)


class CompactParameters(Parameters):
    """What is no longer needed."""

    remove_recipes: (
        Annotated[list[RecipeText], Field(min_length=1, max_length=100), Once] | None
    ) = None
    older_than_days: int | None = Field(default=None, ge=1, le=36_500)


PARAMETERS: Final[Mapping[str, type[Parameters]]] = {
    "embed": EmbedParameters,
    "erase": EraseParameters,
    "reembed": ReembedParameters,
    "ingest": IngestParameters,
    "similarity": SimilarityParameters,
    "duplicates": DuplicatesParameters,
    "groups": GroupsParameters,
    "regions": RegionsParameters,
    "export": ExportParameters,
    "quality": QualityParameters,
    "sequence": SequenceParameters,
    "compact": CompactParameters,
}
"""What each kind takes."""
