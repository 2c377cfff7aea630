"""What parameters of jobs are made of."""

from typing import Annotated, Final, Self, TypeVar

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
from dinoserve.domain.manifests import MAX_BYTES
from dinoserve.errors import InvalidInputError
from dinoserve.web.schemas import AssetIdText, CollectionText, TagText

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


JsonMetadata = Annotated[dict[str, JsonValue], AfterValidator(_as_metadata)]


class Parameters(BaseModel):
    """What a kind of job takes: exact types, and nothing misspelt."""

    model_config = ConfigDict(extra="forbid", strict=True)

    def given(self, *names: str) -> list[str]:
        """Return those of these that are given."""
        return [name for name in names if getattr(self, name) is not None]

    def need_one(self, *names: str) -> None:
        """Refuse where not just one of these is given: PydanticCustomError."""
        if len(self.given(*names)) != 1:
            told = {"names": ", ".join(f"`{name}`" for name in names)}
            raise PydanticCustomError("one_of", "give just one of {names}", told)


class ChosenAssets(Parameters):
    """Which assets a job works on: these, or those of a collection."""

    assets: AssetIds | None = None
    collection: CollectionText | None = None

    @model_validator(mode="after")
    def _one_choice(self) -> Self:
        self.need_one("assets", "collection")
        return self
