"""What jobs take that store, change, write out or erase."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from dinoserve.web.parameter_fields import (
    MAX_MANIFEST_BYTES,
    AssetIds,
    ChosenAssets,
    JsonMetadata,
    ManifestText,
    Once,
    Parameters,
    PlaceText,
    RecipeText,
    SomeTags,
)
from dinoserve.web.schemas import CollectionText, SubjectText, TagList


class EmbedParameters(Parameters):
    """Which assets are to get a vector of the loaded recipe; default: all."""

    assets: AssetIds | None = None
    collection: CollectionText | None = None

    @model_validator(mode="after")
    def _one_choice(self) -> Self:
        if self.assets:
            self.need_one("assets", "collection")
        return self


class EraseParameters(Parameters):
    """Which assets are to be erased: these, or those of which all of this is true."""

    assets: AssetIds | None = None
    collection: CollectionText | None = None
    subject: SubjectText | None = None
    tags: SomeTags | None = None

    @model_validator(mode="after")
    def _one_choice(self) -> Self:
        conditions = self.given("collection", "subject", "tags")
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
    metadata: JsonMetadata = Field(default={})
    embed: bool = Field(default=True, description="`false` only stores.")

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        self.need_one("folder", "prefix", "manifest")
        return self


class RegionsParameters(ChosenAssets):
    """Of which assets regions are stored, under the loaded recipe."""


class ExportParameters(Parameters):
    """Which assets are written into a file, and how; default: all."""

    collection: CollectionText | None = None
    tags: SomeTags | None = Field(default=None, description="All must be there.")
    format: Literal["ndjson", "parquet", "npz"] = "ndjson"
    vectors: bool = True


class CompactParameters(Parameters):
    """What is no longer needed."""

    remove_recipes: (
        Annotated[list[RecipeText], Field(min_length=1, max_length=100), Once] | None
    ) = None
    older_than_days: int | None = Field(default=None, ge=1, le=36_500)
