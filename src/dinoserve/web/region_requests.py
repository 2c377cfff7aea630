"""A part of a picture to search by, as it is asked for."""

from typing import Annotated, Literal

from pydantic import Field, FiniteFloat

from dinoserve.domain.characters import mask_bytes
from dinoserve.domain.geometry import Box
from dinoserve.errors import InvalidInputError
from dinoserve.services.regions import CANDIDATES, RegionQuery
from dinoserve.services.sources import Kept, Source
from dinoserve.web.schemas import AssetIdText, Body
from dinoserve.web.sources import source_of

_Coordinate = Annotated[FiniteFloat, Field(ge=0)]


class RegionBody(Body):
    """A part of an asset or an image: a box or a mask in it."""

    asset: AssetIdText | None = None
    image: str | None = Field(default=None, description="Data URI or https URL.")
    box: Annotated[list[_Coordinate], Field(min_length=4, max_length=4)] | None = Field(
        default=None, description="Left, top, right, bottom in upright pixels."
    )
    mask: str | None = Field(
        default=None,
        description="A PNG in base64, of the upright picture's size: black is left out,"
        " all else is searched by.",
    )
    against: Literal["pictures", "regions"] = Field(
        default="pictures",
        description="`pictures`: their vectors; `regions`: what a job of kind `regions`"
        f" stored, of the {CANDIDATES} assets nearest by their whole pictures.",
    )

    def to_domain(self) -> RegionQuery:
        """Return the part, its base64 decoded."""
        source = self._source()
        if (self.box is None) == (self.mask is None):
            raise InvalidInputError("Give a box or a mask.", field="query.region")
        if self.mask is not None:
            png = mask_bytes(self.mask, "query.region.mask")
            return RegionQuery(source, png, self.against)
        left, top, right, bottom = self.box or [0.0] * 4
        return RegionQuery(source, Box(left, top, right, bottom), self.against)

    def _source(self) -> Source:
        if (self.asset is None) == (self.image is None):
            raise InvalidInputError("Give an asset or an image.", field="query.region")
        if self.asset is not None:
            return Kept(self.asset)
        source = source_of(self.image or "", "query.region.image")
        if isinstance(source, Kept):
            raise InvalidInputError(
                "An asset id belongs into `query.region.asset`.",
                field="query.region.image",
            )
        return source
