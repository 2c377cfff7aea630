"""What is asked of characters and of checks against them."""

from typing import Annotated

from pydantic import Field, FiniteFloat, StringConstraints

from dinoserve.domain.character_checks import DRIFTED_BELOW
from dinoserve.domain.characters import (
    CHARACTER_ID_PATTERN,
    MAX_REFERENCES,
    Reference,
    Region,
    mask_bytes,
)
from dinoserve.domain.geometry import Box
from dinoserve.errors import InvalidInputError
from dinoserve.services.character_checks import MAX_CHECKED, CheckRequest
from dinoserve.services.characters import CharacterChanges, NewCharacter
from dinoserve.web.feature_requests import FramingFields
from dinoserve.web.schemas import AssetIdText, Body, CollectionText, SubjectText

CharacterIdText = Annotated[str, StringConstraints(pattern=CHARACTER_ID_PATTERN)]
_Coordinate = Annotated[FiniteFloat, Field(ge=0)]
BoxList = Annotated[list[_Coordinate], Field(min_length=4, max_length=4)]


class ShownBody(Body):
    """An asset, and where in it the subject is: in a box, in a mask, or found."""

    asset: AssetIdText
    box: BoxList | None = Field(
        default=None, description="Left, top, right, bottom in upright pixels."
    )
    mask: str | None = Field(
        default=None,
        description="A PNG in base64, of the upright picture's size and without"
        " transparency: black is background, all else the subject.",
    )

    def to_domain(self, name: str) -> Reference:
        """Return the reference; `name` is what the caller calls it."""
        if self.box is not None and self.mask is not None:
            raise InvalidInputError("Give a box or a mask.", field=f"{name}.mask")
        if self.mask is not None:
            png = mask_bytes(self.mask, f"{name}.mask")
            return Reference(self.asset, Region(mask=png))
        if self.box is not None:
            left, top, right, bottom = self.box
            return Reference(self.asset, Region(box=Box(left, top, right, bottom)))
        return Reference(self.asset)


Shown = AssetIdText | ShownBody


class CharacterBody(Body):
    """A character as it is given."""

    name: SubjectText = Field(min_length=1)
    collection: CollectionText = "default"
    references: list[Shown] = Field(default=[], max_length=MAX_REFERENCES)
    attributes: dict[str, object] = Field(default={})

    def to_domain(self) -> NewCharacter:
        """Return what is said of the character."""
        references = shown_of(self.references, "references")
        return NewCharacter(self.name, self.collection, references, self.attributes)


class CharacterPatch(Body):
    """What to change; a field left out stays as it is, `references` replace all."""

    name: SubjectText = Field(default="-", min_length=1)
    references: list[Shown] = Field(default=[], max_length=MAX_REFERENCES)
    attributes: dict[str, object] = Field(default={})

    def to_domain(self) -> CharacterChanges:
        """Return the changes that were really asked for."""
        asked = self.model_fields_set
        references = shown_of(self.references, "references")
        return CharacterChanges(
            name=self.name if "name" in asked else None,
            references=references if "references" in asked else None,
            attributes=self.attributes if "attributes" in asked else None,
        )


class CheckBody(FramingFields):
    """Which assets to check, and how."""

    assets: list[Shown] = Field(min_length=1, max_length=MAX_CHECKED)
    drifted_below: float = Field(
        default=DRIFTED_BELOW,
        ge=-1,
        le=1,
        description="A patch of the reference has drifted where its greatest cosine is"
        " below. A convention, not a measured threshold.",
    )
    overlay: bool = Field(
        default=False, description="Draw reference and asset; at most 4 assets."
    )

    def to_domain(self, character_id: str) -> CheckRequest:
        """Return the request; errors as `framing` and of the masks."""
        return CheckRequest(
            character_id,
            shown_of(self.assets, "assets"),
            self.framing(),
            self.drifted_below,
            self.overlay,
        )


def shown_of(shown: list[str | ShownBody], name: str) -> tuple[Reference, ...]:
    """Return the assets, each with where the subject is."""
    return tuple(
        Reference(each) if isinstance(each, str) else each.to_domain(f"{name}[{at}]")
        for at, each in enumerate(shown)
    )
