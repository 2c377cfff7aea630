"""A forward without a model: deterministic, for tests that need no torch."""

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dinoserve.domain.framing import Framing, lay_out
from dinoserve.domain.recipes import Recipe
from dinoserve.domain.vectors import Matrix
from dinoserve.engine.forward import Prepared
from dinoserve.engine.images import DecodedImage
from dinoserve.errors import InvalidInputError
from dinoserve.ports import ModelCard

_SIDE = 32
_DIMENSION = 64
_SEED = 20_251
# Brightness would otherwise make any two pictures alike; a rest of it keeps the
# vector of a plain picture from being zero.
_BRIGHTNESS_KEPT = 0.1


class StubForward:
    """A seeded random projection of the picture, shrunk to 32 x 32 pixels.

    Pictures that look alike get vectors that are close; the vectors mean nothing
    else. Implements `engine.forward.Forward`.
    """

    def __init__(self) -> None:
        shape = (3 * _SIDE * _SIDE, _DIMENSION)
        normal = np.random.default_rng(_SEED).standard_normal(shape)
        self._projection = normal.astype("<f4")
        self._card = _card(self._projection)

    @property
    def card(self) -> ModelCard:
        """What is loaded: kind `stub`, 64 numbers, licence of this service."""
        return self._card

    @property
    def prefix_tokens(self) -> int:
        """0: the only token is the picture as a whole."""
        return 0

    def recipe(self, framing: Framing | None = None) -> Recipe:  # noqa: ARG002 - refused whatever it is
        """Refuse: there are no features."""
        raise _no_tokens()

    def prepare(self, image: DecodedImage, framing: Framing | None = None) -> Prepared:
        """Return float32 (3, 32, 32) in [-1, 1] of a picture."""
        if framing is not None:
            raise _no_tokens()
        shape = (_SIDE, _SIDE)
        small = Image.fromarray(image.rgb).resize(shape, Image.Resampling.BILINEAR)
        pixels = np.asarray(small, dtype=np.float32) / 127.5 - 1.0
        geometry = lay_out(
            Framing(str(_SIDE), "squash"),
            image.info.width,
            image.info.height,
            _SIDE,
            image.orientation,
        )
        return Prepared(np.ascontiguousarray(pixels.transpose(2, 0, 1)), geometry)

    def vectors(self, batch: Sequence[Prepared]) -> Matrix:
        """Return unit rows float32 (n, 64)."""
        flat = np.stack([one.pixels.ravel() for one in batch])
        mean = flat.mean(axis=1, keepdims=True)
        projected = (flat - (1 - _BRIGHTNESS_KEPT) * mean) @ self._projection
        return projected / np.linalg.norm(projected, axis=1, keepdims=True)

    def tokens(self, batch: Sequence[Prepared]) -> NDArray[np.float32]:  # noqa: ARG002 - refused whatever it is
        """Refuse: there are no features."""
        raise _no_tokens()


def _no_tokens() -> InvalidInputError:
    return InvalidInputError(
        "The model `stub` has no features; load a DINOv3 model (DINOSERVE_MODEL).",
        field="model",
        value="stub",
    )


def _card(projection: NDArray[np.float32]) -> ModelCard:
    config = f"side={_SIDE} brightness_kept={_BRIGHTNESS_KEPT}"
    recipe = Recipe(
        model="stub",
        revision="local",
        weights_sha256=hashlib.sha256(projection.tobytes()).hexdigest(),
        config_sha256=hashlib.sha256(config.encode()).hexdigest(),
        preprocessing=f"stub-{_SIDE}x{_SIDE}-v1",
        pooling="cls",
        dimension=_DIMENSION,
    )
    return ModelCard(
        recipe=recipe,
        kind="stub",
        engine="stub",
        device="cpu",
        precision="fp32",
        parameters=projection.size,
        note="No model: a random projection for tests. Its vectors mean nothing.",
        licence="Apache-2.0",
    )
