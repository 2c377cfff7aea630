"""The reference forward: float32 PyTorch, from pixels to unit vectors."""

import threading

import numpy as np
import torch
from numpy.typing import NDArray

from dinoserve.domain.recipes import Recipe
from dinoserve.domain.vectors import Matrix
from dinoserve.engine.preprocess import Preprocessing, to_pixels
from dinoserve.engine.weights import LoadedModel
from dinoserve.errors import StartUpError, UnavailableError
from dinoserve.ports import ModelCard


def choose_device(wanted: str) -> torch.device:
    """Return the device that `auto`, `cpu` or `cuda` means on this machine.

    Raises:
        StartUpError: `cuda` was asked for and is not there.
    """
    has_cuda = torch.cuda.is_available()
    if wanted == "cuda" and not has_cuda:
        raise StartUpError(
            "The device is to be cuda, but PyTorch sees none; install the driver and a"
            " CUDA build of PyTorch, or set DINOSERVE_DEVICE to auto or cpu."
        )
    return torch.device("cuda" if has_cuda and wanted != "cpu" else "cpu")


class TorchForward:
    """A loaded model at work in float32; implements `engine.embedder.Forward`.

    The vector is the class token after the final norm, scaled to length 1; for
    ConvNeXt the class token is the normed mean of the last map.

    Args:
        model: from `load_model`; its network moves to the device.
        preprocessing: from pictures to pixels, made for this model's stride.
        device: `auto`, `cpu` or `cuda`, see `choose_device`.
    """

    def __init__(
        self, model: LoadedModel, preprocessing: Preprocessing, device: str
    ) -> None:
        self._device = choose_device(device)
        if self._device.type == "cuda":
            _forbid_tf32()
        self._network = model.network
        self._network.to(self._device)  # pyright: ignore[reportArgumentType, reportUnknownMemberType] - transformers wraps it untyped
        self._stride_px = model.stride_px
        self._cores = torch.get_num_threads()
        self._team = threading.local()
        self._preprocessing = preprocessing
        self._card = _card(model, preprocessing, self._device)
        rows, columns = (
            side // model.stride_px
            for side in (preprocessing.height, preprocessing.width)
        )
        self._tokens = model.prefix_tokens + rows * columns

    @property
    def card(self) -> ModelCard:
        """What is loaded and how."""
        return self._card

    @property
    def tokens(self) -> int:
        """Tokens of one picture at the preprocessing's size, class token included."""
        return self._tokens

    def prepare(self, rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return float32 (3, H, W) of a picture uint8 (h, w, 3)."""
        # Each thread that computes would have a team of its own, and teams that spin
        # for each other's cores nearly double the time of a forward.
        self._set_team(1)
        return to_pixels(rgb, self._preprocessing)

    def __call__(self, pixels: NDArray[np.float32]) -> Matrix:
        """Return unit rows float32 (n, dimension) of pixels float32 (n, 3, H, W).

        Any H and W that are multiples of the model's stride.

        Raises:
            ValueError: another shape or dtype.
            UnavailableError: the model gave numbers that are not finite.
        """
        self._check(pixels)
        self._set_team(self._cores)
        # PyTorch shares memory with arrays, and warns of those it must not write to.
        own = np.require(pixels, requirements=["C", "W"])
        batch = torch.from_numpy(own)  # pyright: ignore[reportUnknownMemberType] - torch leaves the array untyped
        with torch.inference_mode():
            tokens = self._network(batch.to(self._device)).last_hidden_state
            wide = tokens[:, 0].double()
            vectors = wide / wide.norm(dim=1, keepdim=True)
            if not bool(vectors.isfinite().all()):
                raise UnavailableError(
                    "The model gave numbers that are not finite for these pictures.",
                    port="embedder",
                )
            return vectors.float().cpu().numpy()

    def _set_team(self, threads: int) -> None:
        if getattr(self._team, "threads", None) != threads:
            torch.set_num_threads(threads)
            self._team.threads = threads

    def _check(self, pixels: NDArray[np.float32]) -> None:
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


def _forbid_tf32() -> None:
    # Unless told, PyTorch lets cuDNN round float32 convolutions to TF32 (10 bits).
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False


def _card(
    model: LoadedModel, preprocessing: Preprocessing, device: torch.device
) -> ModelCard:
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
        device=device.type,
        precision="fp32",
        parameters=model.parameters,
        note=model.note,
        licence=model.licence,
    )
