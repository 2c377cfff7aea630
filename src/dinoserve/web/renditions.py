"""Renditions over HTTP: what a query asks for, which format suits, the answer."""

import re
from collections.abc import Sequence
from typing import Any, get_args

from fastapi import Request, Response

from dinoserve.domain.assets import Asset
from dinoserve.domain.renditions import (
    MAX_QUALITY,
    MAX_SIDE_PX,
    PARAMETERS,
    Encoding,
    Format,
    Rendition,
    RenditionFit,
    read_rendition,
)
from dinoserve.errors import InvalidInputError
from dinoserve.services.renditions import RenditionService
from dinoserve.web.content import conditions, content_headers, portion, send
from dinoserve.web.deps import unless_caller_leaves
from dinoserve.web.forms import single_fields

_LINK_PARAMETERS = frozenset({"expires", "signature"})
_WEIGHT = re.compile(r"q=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)", re.IGNORECASE)
# Only who names them can show them: `*/*` says that nobody asked.
_NAMED: frozenset[Format] = frozenset({"avif", "webp"})
_SHOWN = 80


def _parameter(name: str, description: str, **schema: object) -> dict[str, Any]:
    return {"name": name, "in": "query", "description": description, "schema": schema}


def _pixels(name: str) -> dict[str, Any]:
    bounds = {"minimum": 1, "maximum": MAX_SIDE_PX}
    return _parameter(name, "Pixels of a rendition.", type="integer", **bounds)


RENDITION_PARAMETERS: dict[str, Any] = {
    "parameters": [
        _pixels("width"),
        _pixels("height"),
        _parameter(
            "fit", "How it fills them.", enum=get_args(RenditionFit), type="string"
        ),
        _parameter(
            "format",
            "`auto`: what `Accept` names.",
            enum=("auto", *get_args(Format)),
            type="string",
        ),
        _parameter(
            "quality", "Not of PNG.", type="integer", minimum=1, maximum=MAX_QUALITY
        ),
    ]
}
"""The parameters of a rendition in an OpenAPI operation."""


def asked_rendition(request: Request) -> Rendition | None:
    """Return what the query asks for; None: it has no parameters, so the original.

    Raises:
        InvalidInputError: a parameter is unknown, given twice or out of bounds.
    """
    given = single_fields(request.query_params)
    known = PARAMETERS | _LINK_PARAMETERS if request.state.is_link else PARAMETERS
    for name in given:
        if name not in known:
            raise InvalidInputError(
                f"There is no such parameter; {', '.join(Rendition._fields)} are.",
                field=name[:_SHOWN],
                limit=list(Rendition._fields),
            )
    return read_rendition({name: str(value) for name, value in given.items()})


async def send_rendition(
    request: Request, renditions: RenditionService, asset: Asset, asked: Rendition
) -> Response:
    """Send the rendition, whole or one range of it; it never changes.

    Raises:
        RenditionRefusedError: it is not offered, and the request is no signed link.
        DinoserveError: as `RenditionService.drawing` and `RenditionService.open`.
    """
    if not request.state.is_link:
        renditions.offer.check(asked)
    encoding: Encoding
    if asked.format == "auto":
        accept = ",".join(request.headers.getlist("accept"))
        encoding = accepted(accept, renditions.formats)
    else:
        encoding = asked.format
    drawn = renditions.drawing(asset, asked, encoding)
    etag = f'"{renditions.name(asset, drawn)}"'
    headers = content_headers(etag)
    if asked.format == "auto":
        headers["vary"] = "accept"
    asked_for = conditions(request)
    if portion({**asked_for, "range": ""}, etag, 0).status == 304:  # noqa: PLR2004 - not modified
        return Response(status_code=304, headers=headers)
    made = await unless_caller_leaves(request, renditions.open(asset, drawn))
    wanted = portion(asked_for, etag, made.size_bytes)
    headers["content-type"] = f"image/{made.format}"
    chunks = made.read(wanted.start, wanted.stop)
    return send(request, wanted, chunks, made.size_bytes, headers)


def accepted(accept: str, formats: Sequence[Format]) -> Encoding:
    """Return the encoding that a caller likes best, of those liked alike the smallest.

    Args:
        accept: the header, RFC 9110 §12.5.1. AVIF and WebP must be named in it.
            Something of it that cannot be read, or fits nothing, is passed over.
        formats: that there are, those with the smaller files first.
    """
    ranges = dict(_range(text) for text in accept.lower().split(","))
    weights = {name: _weight(name, ranges) for name in formats}
    best = max(formats, key=lambda name: weights[name])
    # Both or neither: whether something is transparent decides.
    is_open = best in {"jpeg", "png"} and weights["jpeg"] == weights["png"]
    return "plain" if is_open or not weights[best] else best


def _range(text: str) -> tuple[str, float]:
    media_type, *parameters = (part.strip() for part in text.split(";"))
    found = [match[1] for each in parameters if (match := _WEIGHT.fullmatch(each))]
    return media_type, float(found[0]) if found else 1.0


def _weight(name: Format, ranges: dict[str, float]) -> float:
    for media_range in (f"image/{name}", "image/*", "*/*"):
        if media_range in ranges:
            return ranges[media_range]
        if name in _NAMED:
            break
    return 0.0
