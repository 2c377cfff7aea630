"""OpenVINO: the fast engine on CPUs, converted from the loaded PyTorch network."""

import hashlib
import logging
import sys
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np
import torch
import transformers
from numpy.typing import NDArray

from dinoserve.engine.model_forward import ModelForward, card_of
from dinoserve.engine.network import Network
from dinoserve.engine.preprocess import Preprocessing
from dinoserve.engine.weights import LoadedModel
from dinoserve.errors import StartUpError

if TYPE_CHECKING:
    import openvino

_log = logging.getLogger(__name__)
# What OpenVINO calls them: in hints, and among the capabilities of a processor.
_HINTS = {"fp32": "f32", "bf16": "bf16", "fp16": "f16"}
_CAPABILITIES = {"fp32": "FP32", "bf16": "BF16", "fp16": "FP16"}


class OpenVinoForward(ModelForward):
    """A model in OpenVINO on the CPU.

    Args:
        model: from `load_model`; its network stays as it is.
        preprocessing: from pictures to pixels, made for this model's stride.
        precision: `fp32`, `bf16` or `fp16`; see `precisions`.
        cache: folder that keeps converted models; None converts every time.

    Raises:
        StartUpError: this processor lacks the precision.
    """

    engine = "openvino"

    def __init__(
        self,
        model: LoadedModel,
        preprocessing: Preprocessing,
        precision: str,
        cache: Path | None,
    ) -> None:
        if precision not in precisions():
            raise StartUpError(
                f"This processor does not compute in {precision}; it does in"
                f" {', '.join(precisions())}. Set DINOSERVE_PRECISION to one of them,"
                " or to auto."
            )
        card = card_of(model, preprocessing, self.engine, ("cpu", precision))
        super().__init__(model, preprocessing, card)
        settings = {
            "INFERENCE_PRECISION_HINT": _HINTS[precision],
            "PERFORMANCE_HINT": "LATENCY",
        }
        graph = _graph(model, cache)
        compiled = _library().Core().compile_model(graph, "CPU", settings)
        self._request = compiled.create_infer_request()

    def all_tokens(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return float32 (n, tokens, dimension) after the final norm.

        The memory is the engine's own: the next call writes over it.
        """
        given = np.ascontiguousarray(pixels)
        return self._request.infer(given, share_inputs=True, share_outputs=True)[0]


def precisions() -> tuple[str, ...]:
    """Return what this processor computes in, as OpenVINO sees it; fp32 always."""
    core = _library().Core()
    able = set(core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"))
    return tuple(name for name, word in _CAPABILITIES.items() if word in able)


class _Tokens(torch.nn.Module):
    """The network with one output, which is all that a graph needs."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.network(pixels).last_hidden_state


def _library() -> ModuleType:
    """Import OpenVINO without its telemetry, which would report every import."""
    sys.modules.setdefault("openvino_telemetry", None)  # pyright: ignore[reportArgumentType] - None forbids the import, as documented
    import openvino  # noqa: PLC0415 - takes a third of a second that the stub does not need

    return openvino


def _graph(model: LoadedModel, cache: Path | None) -> "openvino.Model":
    if cache is None:
        return _convert(model)
    file = cache / f"{_key(model)}.xml"
    try:
        if not file.exists():
            _keep(_convert(model), file)
        return _library().Core().read_model(file)
    except (OSError, RuntimeError) as error:
        _log.warning("the cache %s cannot be used: %s", cache, error)
        return _convert(model)


def _key(model: LoadedModel) -> str:
    """Name what decides the graph: weights, architecture and both libraries."""
    parts = (
        model.weights_sha256,
        model.config_sha256,
        transformers.__version__,
        torch.__version__,
        _library().__version__,
    )
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]


def _convert(model: LoadedModel) -> "openvino.Model":
    """Return the graph for any number of pictures of any size."""
    side = 14 * model.stride_px
    with _quietly():
        return _library().convert_model(
            _Tokens(model.network).eval(),
            example_input=torch.zeros(2, 3, side, side),
            input=[-1, 3, -1, -1],
        )


@contextmanager
def _quietly() -> Generator[None]:
    """Bear what conversion does besides converting."""
    # It warns of PyTorch's plans for tracing, and sets the level of everybody's log.
    level = logging.root.level
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.root.setLevel(level)


def _keep(graph: "openvino.Model", file: Path) -> None:
    """Write the graph whole or not at all; the weights' file goes first."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=file.parent) as folder:
        written = Path(folder) / file.name
        _library().save_model(graph, written, compress_to_fp16=False)
        for suffix in (".bin", ".xml"):
            written.with_suffix(suffix).replace(file.with_suffix(suffix))
