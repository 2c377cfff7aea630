"""Whether the servers compute the same thing: otherwise their speeds say nothing."""

import base64
import urllib.request
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from benchmarks.pictures import Picture
from benchmarks.shapes import SHAPES
from pydantic import BaseModel

from dinoserve.domain.vectors import Vector, from_bytes

_TIMEOUT_S = 60


class _Item(BaseModel):
    embedding: str


class _OpenAiAnswer(BaseModel):
    data: list[_Item]


class _Model(BaseModel):
    engine: str
    device: str
    precision: str


class _Models(BaseModel):
    data: list[_Model]


class _PeerAnswer(BaseModel):
    embedding: list[float]


def lowest_cosine(
    ours: str, peer: str, shape: str, pictures: Sequence[Picture]
) -> float:
    """Return how alike two servers' vectors of a picture are, at worst.

    Args:
        ours: dinoserve's address, without a path.
        peer: the other's.
        shape: how it takes pictures, one of `benchmarks.shapes.SHAPES`.
        pictures: at least one.
    """
    pairs = [
        (_vector(ours, "embeddings", one), _vector(peer, shape, one))
        for one in pictures
    ]
    return min(float(left @ right) for left, right in pairs)


def engine_of(ours: str) -> str:
    """Return what computes in dinoserve at this address, in words."""
    with urllib.request.urlopen(f"{ours}/v1/models", timeout=_TIMEOUT_S) as answer:
        [model] = _Models.model_validate_json(answer.read()).data
    return f"{model.engine} on {model.device}, {model.precision}"


def _of_openai(answer: bytes) -> Vector:
    item = _OpenAiAnswer.model_validate_json(answer).data[0]
    return from_bytes(base64.b64decode(item.embedding))


def _of_peer(answer: bytes) -> Vector:
    told = _PeerAnswer.model_validate_json(answer)
    return np.array(told.embedding, np.float32)


_READERS: Mapping[str, Callable[[bytes], Vector]] = {
    "embeddings": _of_openai,
    "handwritten": _of_peer,
    "litserve": _of_peer,
}


def _vector(url: str, name: str, picture: Picture) -> Vector:
    shape = SHAPES[name]
    request = urllib.request.Request(
        url + shape.path,
        shape.bodies(picture)(),
        {"content-type": shape.content_type},
    )
    with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:
        return _READERS[name](answer.read())
