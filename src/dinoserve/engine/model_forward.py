"""What every engine does alike: prepare pictures, select and scale the class token."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import Self, cast

import numpy as np
import torch
from numpy.typing import NDArray

from dinoserve.domain.framing import Framing, check_framing, lay_out
from dinoserve.domain.geometry import Geometry
from dinoserve.domain.recipes import Recipe
from dinoserve.domain.vectors import Matrix
from dinoserve.engine.forward import Prepared
from dinoserve.engine.images import DecodedImage
from dinoserve.engine.preprocess import Preprocessing, to_pixels
from dinoserve.engine.weights import LoadedModel
from dinoserve.errors import UnavailableError
from dinoserve.ports import ModelCard


class ModelForward(ABC):
    """A loaded model at work; implements `engine.forward.Forward`.

    The vector is the class token after the final norm, scaled to length 1; for
    ConvNeXt the class token is the normed mean of the last map.

    Args:
        model: from `load_model`.
        preprocessing: from pictures to pixels, made for this model's stride.
        card: what is loaded and how.
    """

    def __init__(
        self, model: LoadedModel, preprocessing: Preprocessing, card: ModelCard
    ) -> None:
        self._stride_px = model.stride_px
        self._prefix_tokens = model.prefix_tokens
        self._preprocessing = preprocessing
        self._card = card

    @property
    def card(self) -> ModelCard:
        """What is loaded and how."""
        return self._card

    @property
    def prefix_tokens(self) -> int:
        """Tokens in front of the patches: the class token and the registers."""
        return self._prefix_tokens

    def with_detail(self, name: str, value: object) -> Self:
        """Note something on the card; return this forward."""
        details = {**self._card.details, name: value}
        self._card = replace(self._card, details=details)
        return self

    def recipe(self, framing: Framing | None = None) -> Recipe:
        """Return the recipe of features made at this size and fit.

        Raises:
            InvalidInputError: the model cannot take this framing.
        """
        if framing is None:
            return self._card.recipe
        framing = check_framing(framing, self._stride_px)
        how = self._preprocessing.with_framing(framing)
        return replace(self._card.recipe, preprocessing=how.id)

    def prepare(self, image: DecodedImage, framing: Framing | None = None) -> Prepared:
        """Return float32 (3, H, W) of a picture, and where its pixels went.

        Raises:
            InvalidInputError: the model cannot take this framing of this picture.
        """
        # One thread a picture: teams of many decoding threads slow each other.
        if torch.get_num_threads() != 1:
            torch.set_num_threads(1)
        geometry = self.lay_out(image, framing)
        return Prepared(to_pixels(image.rgb, geometry, self._preprocessing), geometry)

    def lay_out(self, image: DecodedImage, framing: Framing | None = None) -> Geometry:
        """Return where the pixels of a picture go; None is the framing of embeddings.

        Raises:
            InvalidInputError: the model cannot take this framing of this picture.
        """
        return lay_out(
            framing or self._preprocessing.framing,
            image.info.width,
            image.info.height,
            self._stride_px,
            image.orientation,
        )

    def vectors(self, batch: Sequence[Prepared]) -> Matrix:
        """Return unit rows float32 (n, dimension); inputs of one size."""
        return self(_stacked(batch))

    def tokens(self, batch: Sequence[Prepared]) -> NDArray[np.float32]:
        """Return float32 (n, tokens, dimension) after the final norm, not shared."""
        return self.all_tokens(self._checked(_stacked(batch))).copy()

    def __call__(self, pixels: NDArray[np.float32]) -> Matrix:
        """Return unit rows float32 (n, dimension) of pixels float32 (n, 3, H, W).

        Any H and W that are multiples of the model's stride.

        Raises:
            ValueError: another shape or dtype.
            UnavailableError: the model gave numbers that are not finite.
        """
        wide = self.class_tokens(self._checked(pixels)).astype(np.float64)
        with np.errstate(all="ignore"):  # judged once, below
            vectors = wide / np.linalg.norm(wide, axis=1, keepdims=True)
        if not np.isfinite(vectors).all():
            raise UnavailableError(
                "The model gave numbers that are not finite for these pictures.",
                port="embedder",
            )
        return vectors.astype(np.float32)

    @abstractmethod
    def all_tokens(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return float32 (n, tokens, dimension) after the final norm."""

    def class_tokens(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return float32 (n, dimension): the first of `all_tokens`."""
        return self.all_tokens(pixels)[:, 0]

    def _checked(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        match pixels.shape:
            case (int(n), 3, int(height), int(width)) if n and height and width:
                rest = height % self._stride_px or width % self._stride_px
            case _:
                rest = 1
        if rest or pixels.dtype != np.float32:
            raise ValueError(
                f"Pixels must be float32 (n, 3, H, W), H and W multiples of"
                f" {self._stride_px}, not {pixels.dtype} {pixels.shape}."
            )
        return pixels


def _stacked(batch: Sequence[Prepared]) -> NDArray[np.float32]:
    # What `prepare` gave here is float32; `_checked` refuses what another gave.
    return np.stack([cast("NDArray[np.float32]", one.pixels) for one in batch])


def card_of(
    model: LoadedModel,
    preprocessing: Preprocessing,
    engine: str,
    place: tuple[str, str],
) -> ModelCard:
    """Return the card of a model on an engine, at a place: (device, precision)."""
    device, precision = place
    return ModelCard(
        recipe=Recipe(
            model=model.name,
            revision=model.revision,
            weights_sha256=model.weights_sha256,
            config_sha256=model.config_sha256,
            preprocessing=preprocessing.id,
            pooling="cls",
            dimension=model.dimension,
        ),
        kind=model.kind,
        engine=engine,
        device=device,
        precision=precision,
        parameters=model.parameters,
        note=model.note,
        licence=model.licence,
        registers=model.prefix_tokens - 1,
    )
