"""Pictures of one subject in several places, and requests about characters."""

import base64
import io
from typing import Any

import httpx2
import numpy as np
from PIL import Image, ImageDraw

from odd_files import encoded, photo

WIDTH, HEIGHT = 320, 224
BUNDLED: dict[str, object] = {
    "model": "bundled",
    "engine": "torch",
    "precision": "fp32",
}


def scene(seed: int, left: int = 96, *, hat: str = "red", width: int = WIDTH) -> bytes:
    """Return a PNG: a figure with a hat, 128 x 128, before a background of its own."""
    picture = Image.open(io.BytesIO(photo(seed, width, HEIGHT)))
    picture.paste(figure(hat), (left, 64))
    return encoded(picture, "PNG")


def figure(hat: str = "red") -> Image.Image:
    """Return the figure: stripes below, a hat above."""
    stripes = np.zeros((128, 128, 3), np.uint8)
    stripes[::8], stripes[1::8], stripes[2::8] = 255, 255, 255
    body = Image.fromarray(stripes)
    ImageDraw.Draw(body).rectangle((0, 0, 127, 47), fill=hat)
    return body


def mask(left: int, size: tuple[int, int] = (WIDTH, HEIGHT), mode: str = "1") -> str:
    """Return a mask of the figure, as base64."""
    picture = Image.new(mode, size)
    ImageDraw.Draw(picture).rectangle((left, 64, left + 127, 191), fill="white")
    return base64.b64encode(encoded(picture, "PNG")).decode()


async def give(client: httpx2.AsyncClient, data: bytes, **fields: Any) -> str:
    """Upload a picture; return the asset's id."""
    answer = await client.post("/v1/assets", files={"file": data}, data=fields)
    assert answer.status_code in {200, 201}, answer.text
    return answer.json()["id"]


async def created(
    client: httpx2.AsyncClient, *references: object, **body: object
) -> str:
    """Create a character; return its id."""
    body = {"name": "Ava", "references": references, **body}
    answer = await client.post("/v1/characters", json=body)
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


async def check(
    client: httpx2.AsyncClient, character: str, *assets: object, **body: object
) -> httpx2.Response:
    """Check assets against a character."""
    path = f"/v1/characters/{character}/check"
    return await client.post(path, json={"assets": assets, **body})


async def checked(
    client: httpx2.AsyncClient, character: str, *assets: object, **body: object
) -> list[dict[str, Any]]:
    """Return what the check found of each asset."""
    answer = await check(client, character, *assets, **body)
    assert answer.status_code == 200, answer.text
    return answer.json()["assets"]


async def kept_checks(
    client: httpx2.AsyncClient, character: str
) -> list[dict[str, Any]]:
    """Return the checks that are kept of a character."""
    answer = await client.get(f"/v1/characters/{character}/checks")
    assert answer.status_code == 200, answer.text
    return answer.json()["checks"]
