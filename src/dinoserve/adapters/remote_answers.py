"""What another dinoserve answers, read as what an engine here would have told."""

import base64
import io
import json
import re
import zipfile
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final, TypeAlias

import httpx2
import numpy as np
from numpy.lib import format as npy

from dinoserve.domain.assets import ImageInfo
from dinoserve.domain.features import Tokens
from dinoserve.domain.geometry import Box, Geometry
from dinoserve.domain.recipes import Recipe
from dinoserve.domain.vectors import from_bytes
from dinoserve.errors import (
    DinoserveError,
    InvalidInputError,
    OverloadedError,
    UnavailableError,
)
from dinoserve.ports import Embedded, Features, ModelCard

Json: TypeAlias = Mapping[str, Any]

_INPUT = re.compile(r"input\[(\d+)\]")
_SHOWN = 300
_MAX_RETRY_S = 60
_REFUSED: Final = {401, 403}
_FULL: Final = 429


def away(detail: str) -> UnavailableError:
    """Return the error that tells of an engine which cannot be used."""
    return UnavailableError(f"The engine elsewhere {detail}", port="embedder")


def refusal(answer: httpx2.Response, at: int = 0) -> DinoserveError:
    """Return the error that an answer tells of.

    What is wrong with an image keeps class, code, field, limit and value; whatever
    else is wrong is no fault of who asks us.

    Args:
        answer: not a success; read to its end.
        at: position of the first image that was sent.
    """
    code, detail, extra = _problem(answer)
    if answer.status_code == _FULL:
        return OverloadedError(detail, retry_after_s=_retry_after_s(answer))
    if kind := _given().get(code):
        extra["field"] = _field(extra.get("field"), at)
        return kind(detail, **extra)
    if answer.status_code in _REFUSED:
        return away("refuses our key: set DINOSERVE_ENGINE_KEY to one of its keys.")
    return away(f"answered {answer.status_code}: {detail[:_SHOWN]}")


def card_of(answer: httpx2.Response) -> ModelCard:
    """Return what is loaded there.

    Raises:
        UnavailableError: it is no dinoserve, or of another version.
    """
    with _as_expected():
        view: Json = answer.json()
        fields = dict(view["recipe"])
        told = fields.pop("id")
        recipe = Recipe(**fields)
        if recipe.id != told:
            raise ValueError("a recipe's id is made otherwise there")
        return ModelCard(
            recipe=recipe,
            kind=view["kind"],
            engine=view["engine"],
            device=view["device"],
            precision=view["precision"],
            parameters=view["parameters"],
            note=view["note"],
            licence=view["licence"],
            registers=view["registers"],
            details={**view["details"], "remote": True},
        )


def embedded_of(answer: httpx2.Response, recipe: Recipe, image: ImageInfo) -> Embedded:
    """Return what one image became.

    Raises:
        UnavailableError: another recipe made it, or the answer is no vector of it.
    """
    with _as_expected():
        body: Json = answer.json()
        check_recipe(body["recipe"], recipe)
        [item] = body["data"]
        vector = from_bytes(base64.b64decode(item["embedding"], validate=True))
        if vector.shape != (recipe.dimension,):
            raise ValueError(f"a vector of {vector.size} numbers")
        return Embedded(vector, image, int(body["usage"]["total_tokens"]))


def features_of(
    data: bytes, card: ModelCard, images: Sequence[ImageInfo]
) -> list[Features]:
    """Return what images became, from an npz file; blocks.

    Raises:
        UnavailableError: another model made it, or a part is missing.
    """
    with _as_expected(), zipfile.ZipFile(io.BytesIO(data)) as archive:
        about: Json = json.loads(archive.read("geometry.json"))
        recipe = replace(card.recipe, preprocessing=about["preprocessing"])
        check_recipe(about["recipe"], recipe)
        views = zip(images, about["images"], strict=True)
        return [
            Features(
                tokens=_tokens(archive, at, card),
                registers=card.registers,
                geometry=_geometry(view["geometry"]),
                image=image,
                recipe=recipe,
            )
            for at, (image, view) in enumerate(views)
        ]


def check_recipe(told: object, recipe: Recipe) -> None:
    """Pass if this recipe is told of.

    Raises:
        UnavailableError: it is another one; vectors of both must not meet.
    """
    if told != recipe.id:
        raise away(
            f"serves recipe {str(told)[:_SHOWN]} by now, and this process began with"
            f" {recipe.id} ({recipe.model}): restart it, or load that model there."
        )


@contextmanager
def _as_expected() -> Generator[None]:
    """Tell of what is missing in an answer, or odd, as of an engine that is away."""
    try:
        yield
    except (ValueError, KeyError, TypeError, AttributeError, zipfile.BadZipFile) as odd:
        raise away(
            f"does not answer as this version of dinoserve does ({odd!r:.{_SHOWN}})."
        ) from odd


def _tokens(archive: zipfile.ZipFile, at: int, card: ModelCard) -> Tokens:
    """Return float32 (1 + registers + patches, d), read-only."""
    names = ("cls", "registers", "patches") if card.registers else ("cls", "patches")
    parts: list[Tokens] = []
    for name in names:
        with archive.open(f"{at}.{name}.npy") as member:
            values: Tokens = npy.read_array(member, allow_pickle=False)
        parts.append(values.reshape(-1, card.recipe.dimension))
    tokens = np.concatenate(parts).astype(np.float32, copy=False)
    tokens.flags.writeable = False
    return tokens


def _geometry(view: Json) -> Geometry:
    return Geometry(
        image_width=view["image_width"],
        image_height=view["image_height"],
        orientation=view["orientation"],
        source=Box(*view["source"]),
        content=Box(*view["content"]),
        width=view["input_width"],
        height=view["input_height"],
        patch_px=view["patch_px"],
    )


def _problem(answer: httpx2.Response) -> tuple[str, str, dict[str, Any]]:
    """Return code, detail and readable fields, of either shape of problems."""
    try:
        body = answer.json()
        if "error" in body:
            error = body["error"]
            return error["code"], str(error["message"]), {"field": error["param"]}
        extra = {key: body[key] for key in ("field", "limit", "value") if key in body}
        return body["type"].removeprefix("/problems/"), str(body["detail"]), extra
    except (ValueError, KeyError, TypeError, AttributeError):
        return "", "not as a dinoserve does.", {}


def _field(told: object, at: int) -> str | None:
    """Return what the engine calls what the API calls `input[i]`."""
    if told is None:
        return None
    if found := _INPUT.fullmatch(str(told)):
        return f"images[{at + int(found[1])}]"
    return str(told)


def _given() -> dict[str, type[InvalidInputError]]:
    """Return every class of wrong input by its code."""
    kinds = [InvalidInputError, *InvalidInputError.__subclasses__()]
    return {kind.code: kind for kind in kinds}


def _retry_after_s(answer: httpx2.Response) -> int:
    text = answer.headers.get("retry-after", "")
    return max(1, min(int(text), _MAX_RETRY_S)) if text.isdecimal() else 1
