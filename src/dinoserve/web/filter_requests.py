"""Filters: conditions on assets, as requests carry them."""

from typing import Annotated, Self

from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError, PydanticKnownError

from dinoserve.domain.assets import (
    MAX_EXACT_INTEGER,
    Filter,
    Range,
    Scalar,
    check_metadata,
)
from dinoserve.domain.character_members import Membership
from dinoserve.errors import InvalidInputError
from dinoserve.web.character_requests import CharacterIdText
from dinoserve.web.schemas import Body, MediaTypeText, TagList, Time

_MAX_KEYS = 64


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
            raise PydanticCustomError(
                "one_of", "give at least one of `gte`, `gt`, `lte` and `lt`"
            )
        return self

    def to_domain(self) -> Range:
        """Return the bounds."""
        return Range(self.gte, self.gt, self.lte, self.lt)


class CharacterFilterBody(Body):
    """Assets that show a character."""

    id: CharacterIdText
    min_score: float | None = Field(
        default=None,
        ge=-1,
        le=1,
        description="Least foreground cosine of a stored check; default: the threshold"
        " of its calibration, and without one no check counts.",
    )

    def to_domain(self) -> Membership:
        """Return whose members are meant."""
        return Membership(self.id, self.min_score)


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
    character: CharacterFilterBody | None = Field(
        default=None,
        description="References of a character, what reviews accepted for it, and what"
        " checks found to look like it.",
    )

    @property
    def shows(self) -> Membership | None:
        """Whose assets are meant."""
        return self.character and self.character.to_domain()

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
