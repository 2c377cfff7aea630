"""Quality over HTTP: measures and issues, typicality, maps of blur."""

import asyncio
from typing import Any

import numpy as np
import orjson
from fastapi import APIRouter, Request, Response

from dinoserve.domain.quality import METHOD
from dinoserve.domain.quality_issues import described
from dinoserve.errors import (
    AssetNotFoundError,
    InvalidInputError,
    ModelNotFoundError,
    OverloadedError,
    RecipeMismatchError,
    UnavailableError,
)
from dinoserve.services import Services
from dinoserve.services.quality import BlurMap
from dinoserve.services.sources import Source
from dinoserve.web.deps import (
    NotWhenFull,
    OptionsDep,
    ServicesDep,
    unless_caller_leaves,
)
from dinoserve.web.inputs import read_images
from dinoserve.web.problems import IMAGE_FAULTS, responses
from dinoserve.web.quality_requests import (
    BLUR_MAP_BODY,
    OVERALL_FORMULA,
    QUALITY_BODY,
    BlurMapAnswer,
    BlurMapRequest,
    QualityAnswer,
    QualityRequest,
)

router = APIRouter(prefix="/v1/quality", tags=["quality"])

_FAULTS = responses(
    *IMAGE_FAULTS,
    AssetNotFoundError,
    ModelNotFoundError,
    RecipeMismatchError,
    OverloadedError,
    UnavailableError,
)
_PNG = "image/png"
_PICTURE: dict[int | str, dict[str, Any]] = {
    200: {"content": {_PNG: {"schema": {"type": "string", "format": "binary"}}}}
}


@router.post(
    "",
    dependencies=[NotWhenFull],
    response_model=QualityAnswer,
    openapi_extra=QUALITY_BODY,
    responses=_FAULTS,
)
async def measure_quality(
    request: Request, services: ServicesDep, options: OptionsDep
) -> Response:
    """Return what is measured of images, and which of it is an issue.

    Images come as to `/v1/embeddings`. With a `reference`, how typical each is for
    that collection, which is not quality.
    """
    wanted = await read_images(request, QualityRequest, options.max_inputs)
    work = _told(wanted.sources, wanted.options, services)
    answer = await unless_caller_leaves(request, work)
    return Response(orjson.dumps(answer), media_type="application/json")


@router.post(
    "/blur-map",
    dependencies=[NotWhenFull],
    response_model=BlurMapAnswer,
    openapi_extra=BLUR_MAP_BODY,
    responses=_PICTURE | _FAULTS,
)
async def map_blur(
    request: Request, services: ServicesDep, options: OptionsDep
) -> Response:
    """Return where an image is blurred: numbers, or a PNG over the image."""
    wanted = await read_images(request, BlurMapRequest, options.max_inputs)
    services.models.named(wanted.options.model)
    _need_one(wanted.sources)
    quality = services.quality
    found = await unless_caller_leaves(request, quality.blur_map(wanted.sources[0]))
    if wanted.options.format == "png":
        png = await unless_caller_leaves(request, quality.overlay(found))
        return Response(png, media_type=_PNG)
    return Response(
        await asyncio.to_thread(_cells, found), media_type="application/json"
    )


def _need_one(sources: list[Source]) -> None:
    if len(sources) > 1:
        raise InvalidInputError(
            "A map is of one image; send one at a time.",
            field="input",
            limit=1,
            value=len(sources),
        )


async def _told(
    sources: list[Source], asked: QualityRequest, services: Services
) -> dict[str, object]:
    services.models.named(asked.model)
    quality = services.quality
    limits = quality.limits(asked.thresholds)
    # Before anything is measured for nothing.
    told = await _typicality(sources, asked, services) if asked.reference else {}
    found = await quality.measure(sources)
    images = [described(one, limits, asked.weights) for one in found]
    for at, typicality in enumerate(told.pop("images", [])):
        images[at]["typicality"] = typicality
    if asked.weights:
        told["overall_formula"] = OVERALL_FORMULA
    return {"method": METHOD, "thresholds": limits, **told, "images": images}


async def _typicality(
    sources: list[Source], asked: QualityRequest, services: Services
) -> dict[str, Any]:
    name = asked.reference or ""
    reference = await services.quality.reference(name, asked.k)
    found = await services.quality.typicality(sources, reference)
    return {
        "reference": {
            "collection": name,
            "recipe": services.embeddings.recipe.id,
            "k": reference.k,
            "size": reference.size,
        },
        "images": [one._asdict() for one in found],
    }


def _cells(found: BlurMap) -> bytes:
    geometry = found.geometry
    scale = geometry.image_width / geometry.content.right
    upright = geometry.image_height / geometry.content.bottom
    values = np.round(found.values.astype(np.float64), 4)
    return orjson.dumps(
        {
            "values": values,  # not a number is null in JSON
            "cell": [geometry.patch_px * scale, geometry.patch_px * upright],
            "image_width": geometry.image_width,
            "image_height": geometry.image_height,
        },
        option=orjson.OPT_SERIALIZE_NUMPY,
    )
