"""What is asked of dense features: outputs, size, place, format."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, StrictInt

from dinoserve.domain.framing import Fit, Framing, read_framing
from dinoserve.domain.geometry import Box
from dinoserve.domain.places import Place, Point
from dinoserve.errors import InvalidInputError
from dinoserve.services.features import Output
from dinoserve.services.sources import Source
from dinoserve.web.inputs import ImageInput, ImagesBody, image_of, images_body

Coordinate = Annotated[FiniteFloat, Field(ge=0)]

_FORM_FRAMING: dict[str, dict[str, Any]] = {
    "size": {"type": "string"},
    "fit": {"enum": ["squash", "letterbox", "crop", "round"]},
}


class FramingFields(BaseModel):
    """At which size, and by which rule, a picture becomes the model's input."""

    model_config = ConfigDict(extra="forbid")

    size: Annotated[StrictInt, Field(ge=1, le=99_999)] | str | None = Field(
        default=None,
        description="`224` (text or number), `512x768` (height x width), `short:512`"
        " or `long:512`; default: what embeddings are made with.",
    )
    fit: Fit | None = Field(
        default=None,
        description="`squash`, `letterbox` or `crop` for a fixed size, `round` for"
        " `short` and `long`; default: `squash` or `round`.",
    )

    def framing(self) -> Framing | None:
        """Return what is asked for; None is what embeddings are made with.

        Raises:
            InvalidInputError: no size, or a fit that does not go with it.
        """
        if self.size is not None:
            return read_framing(str(self.size), self.fit)
        if self.fit is not None:
            raise InvalidInputError(
                "A `fit` belongs to a `size`: give both.", field="fit", value=self.fit
            )
        return None


class FeaturesRequest(FramingFields, ImagesBody):
    """Which tokens of which images, and how they are sent."""

    outputs: list[Output] = Field(
        default=["cls", "patches"],
        min_length=1,
        max_length=4,
        description="In a form or query: one text with commas between.",
    )
    format: Literal["json", "npz", "safetensors"] = "json"
    dtype: Literal["float32", "float16"] = "float32"

    @classmethod
    def from_text(cls, fields: Mapping[str, object]) -> Self:
        """Return what the fields of a form or query say."""
        said = dict(fields)
        if isinstance(outputs := said.get("outputs"), str):
            said["outputs"] = [name.strip() for name in outputs.split(",")]
        return super().from_text(said)


class PcaRequest(FramingFields, ImagesBody):
    """Which images are shown by their principal components, and how."""

    foreground: bool = Field(
        default=False, description="Leave out the patches of the background."
    )
    shared: bool = Field(
        default=False, description="One basis and one scale of colours for all images."
    )
    basis: bool = Field(
        default=False, description="Send mean and components along; JSON only."
    )
    format: Literal["json", "png"] = "json"


class SimilarityMapRequest(FramingFields):
    """A place in one image, and the image whose patches it is compared with."""

    source: ImageInput
    target: ImageInput | None = Field(
        default=None, description="Default: the source itself."
    )
    point: Annotated[list[Coordinate], Field(min_length=2, max_length=2)] | None = (
        Field(default=None, description="x, y in upright pixels of the source.")
    )
    box: Annotated[list[Coordinate], Field(min_length=4, max_length=4)] | None = Field(
        default=None,
        description="Left, top, right, bottom in upright pixels of the source.",
    )
    model: str = "default"
    format: Literal["json", "png"] = "json"

    def sources(self) -> tuple[Source, Source | None]:
        """Return source and target, their base64 decoded."""
        source = image_of(self.source, "source")
        target = None if self.target is None else image_of(self.target, "target")
        return source, target

    def place(self) -> Place:
        """Return the one place given.

        Raises:
            InvalidInputError: none, or both.
        """
        match self.point, self.box:
            case [x, y], None:
                return Point(x, y)
            case None, [left, top, right, bottom]:
                return Box(left, top, right, bottom)
            case _:
                raise InvalidInputError(
                    "Give exactly one of `point` and `box`.", field="point"
                )


FEATURES_BODY = images_body(
    FeaturesRequest,
    {
        **_FORM_FRAMING,
        "outputs": {"type": "string", "default": "cls,patches"},
        "format": {"enum": ["json", "npz", "safetensors"]},
        "dtype": {"enum": ["float32", "float16"]},
    },
)
PCA_BODY = images_body(
    PcaRequest,
    {
        **_FORM_FRAMING,
        "foreground": {"type": "boolean"},
        "shared": {"type": "boolean"},
        "basis": {"type": "boolean"},
        "format": {"enum": ["json", "png"]},
    },
)
