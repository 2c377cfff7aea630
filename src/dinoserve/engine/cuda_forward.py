"""PyTorch at the speed of a GPU: folded, compiled where it can be, and replayed."""

import logging
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from dinoserve.domain.framing import Framing, lay_out
from dinoserve.domain.vectors import Matrix
from dinoserve.engine.device_pixels import Upload
from dinoserve.engine.folding import Folded, FoldedViT, folded
from dinoserve.engine.forward import Prepared
from dinoserve.engine.images import DecodedImage
from dinoserve.engine.model_forward import ModelForward, card_of
from dinoserve.engine.preprocess import Preprocessing
from dinoserve.engine.replays import Replays
from dinoserve.engine.torch_forward import DTYPES, choose_device, is_out_of_memory
from dinoserve.engine.weights import LoadedModel
from dinoserve.errors import UnavailableError

_log = logging.getLogger(__name__)
_WARM = (1, 2, 4, 8, 16, 32)
_LEAST_COSINE = 0.999
_TYPICAL = (640, 480)


class CudaForward(ModelForward):
    """A folded copy of a model on a GPU, in one precision throughout.

    Weights and what flows between the blocks have the precision; norms and rotary
    turns are computed in float32, and tokens are float32. On the CPU it computes the
    same without recordings and compiled blocks.

    Args:
        model: from `load_model`; its network moves to the device and stays float32.
        preprocessing: from pictures to pixels, made for this model's stride.
        device: `auto`, `cpu` or `cuda`, see `choose_device`.
        precision: `bf16`, `fp16` or `fp32`.
        compiles: whether the blocks of a ViT are compiled, where the device is CUDA
            and the result is equal; see `compile_blocks`.
    """

    engine = "torch"

    def __init__(
        self,
        model: LoadedModel,
        preprocessing: Preprocessing,
        device: str,
        precision: str = "bf16",
        *,
        compiles: bool = True,
    ) -> None:
        self._device = choose_device(device)
        place = (self._device.type, precision)
        card = card_of(model, preprocessing, self.engine, place)
        super().__init__(model, preprocessing, card)
        _keep_one_thread()
        model.network.to(self._device)  # pyright: ignore[reportArgumentType, reportUnknownMemberType] - transformers wraps it untyped
        network = folded(model.network, DTYPES[precision])
        self._upload = Upload(self._device, preprocessing)
        self._replays = Replays(network)
        if self._device.type == "cuda":
            can_compile = compiles and isinstance(network, FoldedViT)
            has_compiled = can_compile and compile_blocks(network, self._noise(2))
            self.with_detail("compiled", has_compiled)
            self.warm(_WARM)

    def warm(self, batches: Sequence[int]) -> None:
        """Run, and so record, these batches at the size of embeddings.

        One that does not fit into the memory of the device ends it without an error.
        """
        try:
            for images in sorted(batches):
                pixels = self._noise(images)
                for _ in ("warm-up", "recording"):
                    with self._computing():
                        self._replays(pixels)
        except Exception as error:
            if not is_out_of_memory(error):
                raise

    def prepare(self, image: DecodedImage, framing: Framing | None = None) -> Prepared:
        """Return the picture as it is where the device resizes it, else its pixels."""
        geometry = self.lay_out(image, framing)
        if self._upload.resizes(geometry):
            return Prepared(image.rgb, geometry)
        _keep_one_thread()
        return super().prepare(image, framing)

    def vectors(self, batch: Sequence[Prepared]) -> Matrix:
        """Return unit rows float32 (n, dimension); inputs of one size."""
        with self._computing():
            first = self._replays(self._upload(batch))[:, 0].double()
            unit = functional.normalize(first, dim=1, eps=0.0).float().cpu().numpy()
        if not np.isfinite(unit).all():
            raise UnavailableError(
                "The model gave numbers that are not finite for these pictures.",
                port="embedder",
            )
        return unit

    def tokens(self, batch: Sequence[Prepared]) -> NDArray[np.float32]:
        """Return float32 (n, tokens, dimension) after the final norm, not shared."""
        with self._computing():
            return self._replays(self._upload(batch)).cpu().numpy()

    def all_tokens(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return float32 (n, tokens, dimension) after the final norm."""
        with self._computing():
            given = torch.tensor(pixels).to(self._device)
            return self._replays(given).cpu().numpy()

    @contextmanager
    def _computing(self) -> Generator[None]:
        _keep_one_thread()
        try:
            with torch.inference_mode():
                yield
        except Exception as error:
            if is_out_of_memory(error):
                self._replays.clear()
            raise

    def _noise(self, images: int) -> Tensor:
        framing = self._preprocessing.framing
        typical = lay_out(framing, *_TYPICAL, self._stride_px)
        noise = torch.Generator().manual_seed(0)
        shape = (images, 3, typical.height, typical.width)
        return torch.randn(shape, generator=noise).to(self._device)


def compile_blocks(network: Folded, pixels: Tensor, backend: str = "inductor") -> bool:
    """Compile the blocks of a network if that works and changes nothing.

    A block of a ViT is compiled twice, for one picture and for any other number of any
    size; all blocks share the result. Those of a ConvNeXt would be compiled for each
    width and again for other sizes, in the middle of serving: leave them. Anything that
    goes wrong (no C compiler, no Triton, a cosine below 0.999) leaves the network as it
    was, with a line in the log.

    Args:
        network: a ViT on its device.
        pixels: float (n, 3, H, W), n at least 2, to try it with.
        backend: of `torch.compile`.
    """
    plain = network.blocks
    try:
        with torch.inference_mode():
            tables = network.tables(*pixels.shape[2:])
            expected = network(pixels, *tables)
            network.blocks = nn.ModuleList(_compiled(b, backend) for b in plain)
            for count in (len(pixels), 1):
                _check_equal(network(pixels[:count], *tables), expected[:count])
    except Exception as error:  # noqa: BLE001 - compilers fail in ways of their own
        _log.warning("the blocks of the network are not compiled: %r", error)
        network.blocks = plain
        return False
    return True


def _compiled(block: nn.Module, backend: str) -> nn.Module:
    compiled: object = torch.compile(  # pyright: ignore[reportUnknownMemberType] - torch leaves some options untyped
        block, dynamic=True, backend=backend
    )
    return cast("nn.Module", compiled)


def _check_equal(tokens: Tensor, expected: Tensor) -> None:
    cosine = torch.cosine_similarity(tokens, expected, dim=-1).min().item()
    if not cosine >= _LEAST_COSINE:  # NaN too
        raise ValueError(f"cosine {cosine:.6f} to the network as it was")


def _keep_one_thread() -> None:
    """Leave this thread alone on the CPU, where only pictures are prepared.

    Teams of many decoding threads would slow each other; and what was compiled is
    compiled again for a thread that may use another number of threads.
    """
    if torch.get_num_threads() != 1:
        torch.set_num_threads(1)
