"""PyTorch: the reference in float32, and the engine for CUDA."""

import re
import threading
from contextlib import AbstractContextManager, nullcontext

import numpy as np
import torch
from numpy.typing import NDArray

from dinoserve.domain.framing import Framing
from dinoserve.engine.forward import Prepared
from dinoserve.engine.images import DecodedImage
from dinoserve.engine.model_forward import ModelForward, card_of
from dinoserve.engine.preprocess import Preprocessing
from dinoserve.engine.weights import LoadedModel
from dinoserve.errors import StartUpError

_NO_MEMORY = re.compile(
    r"out of memory|can't allocate memory|not enough memory|_ALLOC_FAILED",
    re.IGNORECASE,
)
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


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
    is_cuda = has_cuda and wanted != "cpu"
    return torch.device("cuda" if is_cuda else "cpu")


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether a forward failed because its batch did not fit into memory.

    PyTorch has an exception for that on CUDA; its libraries and its CPU allocator
    raise a RuntimeError that says so.
    """
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and bool(_NO_MEMORY.search(str(error)))


class TorchForward(ModelForward):
    """A model in PyTorch, its weights in float32.

    Args:
        model: from `load_model`; its network moves to the device.
        preprocessing: from pictures to pixels, made for this model's stride.
        device: `auto`, `cpu` or `cuda`, see `choose_device`.
        precision: `fp32`; or `bf16` or `fp16`, in which products are computed while
            norms, sums and rotary tables stay float32 (PyTorch's autocast).
    """

    engine = "torch"

    def __init__(
        self,
        model: LoadedModel,
        preprocessing: Preprocessing,
        device: str,
        precision: str = "fp32",
    ) -> None:
        self._device = choose_device(device)
        place = (self._device.type, precision)
        super().__init__(
            model, preprocessing, card_of(model, preprocessing, self.engine, place)
        )
        if self._device.type == "cuda":
            _forbid_tf32()
        self._dtype = DTYPES[precision]
        self._network = model.network
        self._network.to(self._device)  # pyright: ignore[reportArgumentType, reportUnknownMemberType] - transformers wraps it untyped
        self._cores = torch.get_num_threads()
        self._team = threading.local()

    def prepare(self, image: DecodedImage, framing: Framing | None = None) -> Prepared:
        """Return float32 (3, H, W) of a picture, and where its pixels went."""
        # Each thread that computes would have a team of its own, and teams that spin
        # for each other's cores nearly double the time of a forward.
        self._set_team(1)
        return super().prepare(image, framing)

    def all_tokens(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return float32 (n, tokens, dimension) after the final norm."""
        return self._run(pixels).float().cpu().numpy()

    def class_tokens(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return float32 (n, dimension); only these leave the device."""
        return self._run(pixels)[:, 0].float().cpu().numpy()

    def _run(self, pixels: NDArray[np.float32]) -> torch.Tensor:
        self._set_team(self._cores)
        # PyTorch shares memory with arrays, and warns of those it must not write to.
        own = np.require(pixels, requirements=["C", "W"])
        batch = torch.from_numpy(own)  # pyright: ignore[reportUnknownMemberType] - torch leaves the array untyped
        with torch.inference_mode(), self._autocast():
            return self._network(batch.to(self._device)).last_hidden_state

    def _autocast(self) -> AbstractContextManager[object]:
        if self._dtype is torch.float32:
            return nullcontext()
        return torch.autocast(self._device.type, self._dtype)

    def _set_team(self, threads: int) -> None:
        if getattr(self._team, "threads", None) != threads:
            torch.set_num_threads(threads)
            self._team.threads = threads


def _forbid_tf32() -> None:
    # Unless told, PyTorch lets cuDNN round float32 convolutions to TF32 (10 bits).
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
