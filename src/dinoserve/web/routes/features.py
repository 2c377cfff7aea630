"""Dense features over HTTP: arrays, principal components, similarity maps."""

import asyncio
import base64
from collections.abc import Sequence
from typing import Any

import orjson
from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

from dinoserve.domain.geometry import Box, Geometry
from dinoserve.errors import (
    AssetNotFoundError,
    InvalidInputError,
    ModelNotFoundError,
    OverloadedError,
    UnavailableError,
)
from dinoserve.services.features import (
    ComponentPicture,
    ImageFeatures,
    SimilarityMap,
)
from dinoserve.web.bodies import json_body, read_json
from dinoserve.web.deps import (
    NotWhenFull,
    OptionsDep,
    ServicesDep,
    unless_caller_leaves,
)
from dinoserve.web.feature_answers import (
    about,
    entries_of,
    geometry_view,
    to_json,
    to_npz,
    to_safetensors,
)
from dinoserve.web.feature_requests import (
    FEATURES_BODY,
    PCA_BODY,
    FeaturesRequest,
    PcaRequest,
    SimilarityMapRequest,
)
from dinoserve.web.inputs import read_images
from dinoserve.web.problems import IMAGE_FAULTS, responses

router = APIRouter(prefix="/v1/features", tags=["features"])

_FAULTS = responses(
    *IMAGE_FAULTS,
    AssetNotFoundError,
    ModelNotFoundError,
    OverloadedError,
    UnavailableError,
)
_BINARY = {"schema": {"type": "string", "format": "binary"}}
_NPZ, _SAFETENSORS, _PNG = "application/zip", "application/octet-stream", "image/png"
_FILES: dict[int | str, dict[str, Any]] = {
    200: {"content": {_NPZ: _BINARY, _SAFETENSORS: _BINARY}}
}
_PICTURE: dict[int | str, dict[str, Any]] = {200: {"content": {_PNG: _BINARY}}}


class GeometryView(BaseModel):
    """Which pixels became which patch; boxes are left, top, right, bottom."""

    image_width: int = Field(description="Pixels, upright.")
    image_height: int
    orientation: int = Field(description="EXIF, 1 to 8.")
    source: list[float] = Field(description="What the model saw, in upright pixels.")
    content: list[float] = Field(description="Where that lies in the model's input.")
    input_width: int
    input_height: int
    rows: int
    columns: int
    patch_px: int = Field(description="Input pixels on a side of a patch.")


class Described(BaseModel):
    """What computed it."""

    model: str
    recipe: str
    preprocessing: str


class FeaturesView(BaseModel):
    """One image: what was asked for, and no more."""

    geometry: GeometryView
    cls: list[float] | None = None
    patches: list[list[list[float]]] | None = None
    registers: list[list[float]] | None = None
    mean: list[float] | None = None


class FeaturesAnswer(Described):
    """Raw tokens after the final norm, in the order of the input."""

    dtype: str
    images: list[FeaturesView]


class BasisView(BaseModel):
    """The point that the components go through, and the components."""

    mean: list[float]
    components: list[list[float]]


class ComponentsView(BaseModel):
    """One image by its principal components."""

    png: str = Field(description="Base64.")
    explained_variance: list[float] = Field(description="Shares, each in [0, 1].")
    geometry: GeometryView
    basis: BasisView | None = None


class PcaAnswer(Described):
    """Pictures in the order of the input."""

    images: list[ComponentsView]


class BestPatch(BaseModel):
    """The patch most like the place."""

    row: int
    column: int
    score: float
    box: list[float] = Field(description="In upright pixels of the target.")


class SimilarityMapAnswer(Described):
    """Cosines: a row of numbers per row of patches of the target."""

    values: list[list[float]]
    best: BestPatch
    geometry: GeometryView


@router.post(
    "",
    dependencies=[NotWhenFull],
    response_model=FeaturesAnswer,
    openapi_extra=FEATURES_BODY,
    responses=_FILES | _FAULTS,
)
async def extract_features(
    request: Request, services: ServicesDep, options: OptionsDep
) -> Response:
    """Return every token that the model makes of the images, or those asked for.

    JSON while the numbers are few; npz and safetensors are streamed. Images come as to
    `/v1/embeddings`.
    """
    wanted = await read_images(request, FeaturesRequest, options.max_inputs)
    asked = wanted.options
    services.models.named(asked.model)
    work = services.features.extract(wanted.sources, asked.framing(), asked.outputs)
    images = await unless_caller_leaves(request, work)
    if asked.format == "json":
        return _json(await asyncio.to_thread(to_json, images, asked.dtype))
    return await asyncio.to_thread(_file, images, asked)


def _file(images: Sequence[ImageFeatures], asked: FeaturesRequest) -> Response:
    entries = entries_of(images, asked.dtype)
    is_npz = asked.format == "npz"
    write = to_npz if is_npz else to_safetensors
    stream = write(entries, about(images, asked.dtype), asked.dtype)
    name = f'attachment; filename="features.{asked.format}"'
    headers = {"content-disposition": name}
    if stream.size_bytes is not None:
        headers["content-length"] = str(stream.size_bytes)
    media_type = _NPZ if is_npz else _SAFETENSORS
    return StreamingResponse(stream.chunks, headers=headers, media_type=media_type)


@router.post(
    "/pca",
    dependencies=[NotWhenFull],
    response_model=PcaAnswer,
    openapi_extra=PCA_BODY,
    responses=_PICTURE | _FAULTS,
)
async def show_components(
    request: Request, services: ServicesDep, options: OptionsDep
) -> Response:
    """Return the first three principal components of the patches as colours."""
    wanted = await read_images(request, PcaRequest, options.max_inputs)
    asked = wanted.options
    services.models.named(asked.model)
    if asked.format == "png" and len(wanted.sources) > 1:
        raise InvalidInputError(
            "A PNG shows one image; ask for json, or send one at a time.",
            field="format",
            limit=1,
            value=len(wanted.sources),
        )
    work = services.features.components(
        wanted.sources,
        asked.framing(),
        foreground=asked.foreground,
        shared=asked.shared,
    )
    pictures = await unless_caller_leaves(request, work)
    if asked.format == "png":
        return Response(pictures[0].png, media_type=_PNG)
    return _json(await asyncio.to_thread(_components, pictures, asked))


@router.post(
    "/similarity-map",
    dependencies=[NotWhenFull],
    response_model=SimilarityMapAnswer,
    openapi_extra=json_body(SimilarityMapRequest),
    responses=_PICTURE | _FAULTS,
)
async def map_similarity(request: Request, services: ServicesDep) -> Response:
    """Return how similar every patch of an image is to a place in another."""
    asked = await read_json(request, SimilarityMapRequest)
    services.models.named(asked.model)
    # Base64 of an image takes longer than the event loop may be away.
    source, target = await asyncio.to_thread(asked.sources)
    work = services.features.similarity(source, target, asked.place(), asked.framing())
    found = await unless_caller_leaves(request, work)
    if asked.format == "png":
        drawing = services.features.overlay(found)
        return Response(await unless_caller_leaves(request, drawing), media_type=_PNG)
    return _json(await asyncio.to_thread(_map, found))


def _components(pictures: Sequence[ComponentPicture], asked: PcaRequest) -> bytes:
    images = [
        {
            "png": base64.b64encode(picture.png).decode(),
            "explained_variance": picture.basis.explained.tolist(),
            "geometry": geometry_view(picture.geometry),
        }
        for picture in pictures
    ]
    if asked.basis:
        for image, picture in zip(images, pictures, strict=True):
            image["basis"] = {
                "mean": picture.basis.mean,
                "components": picture.basis.components,
            }
    return _dumps({**_described(pictures[0]), "images": images})


def _map(found: SimilarityMap) -> bytes:
    row, column = found.best
    return _dumps(
        {
            **_described(found),
            "values": found.values,
            "best": {
                "row": row,
                "column": column,
                "score": float(found.values[row, column]),
                "box": list(_seen_part(found.geometry, row, column)),
            },
            "geometry": geometry_view(found.geometry),
        }
    )


def _seen_part(geometry: Geometry, row: int, column: int) -> Box:
    """Return the patch's box without what it holds of padding."""
    box, source = geometry.patch_box(row, column), geometry.source
    return Box(
        max(box.left, source.left),
        max(box.top, source.top),
        min(box.right, source.right),
        min(box.bottom, source.bottom),
    )


def _described(found: ComponentPicture | SimilarityMap) -> dict[str, str]:
    recipe = found.recipe
    return {
        "model": recipe.model,
        "recipe": recipe.id,
        "preprocessing": recipe.preprocessing,
    }


def _dumps(answer: dict[str, Any]) -> bytes:
    return orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY)


def _json(content: bytes) -> Response:
    return Response(content, media_type="application/json")
