"""OpenVINO: the fast engine on CPUs, converted from the loaded PyTorch network."""

import hashlib
import logging
import sys
import warnings
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import TYPE_CHECKING, TypeAlias

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
_CAPABILITIES = {"fp32": "FP32", "bf16": "BF16", "fp16": "FP16", "int8": "INT8"}

_Sides: TypeAlias = tuple[int, int]
_ANY: _Sides = (-1, -1)


class OpenVinoForward(ModelForward):
    """A model in OpenVINO on the CPU.

    Pictures of the embeddings' own size, where that is fixed, have a compiled graph of
    their own, which is faster; one more serves all other sizes, made when the first
    such picture comes.

    Args:
        model: from `load_model`; its network stays as it is.
        preprocessing: from pictures to pixels, made for this model's stride.
        precision: one of `precisions`; in `int8` what the graph left in floating
            point is computed in bf16 where the processor has it, else in fp32.
        graph: from `converted`, or quantised; any number of pictures of any size.

    Raises:
        StartUpError: this processor lacks the precision.
    """

    engine = "openvino"

    def __init__(
        self,
        model: LoadedModel,
        preprocessing: Preprocessing,
        precision: str,
        graph: "openvino.Model",
    ) -> None:
        check_precision(precision)
        card = card_of(model, preprocessing, self.engine, ("cpu", precision))
        super().__init__(model, preprocessing, card)
        self._graph = graph
        self._own_sides = _fixed_sides(preprocessing)
        self._requests: dict[_Sides, openvino.InferRequest] = {}

    def all_tokens(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return float32 (n, tokens, dimension) after the final norm.

        The memory is the engine's own: the next call writes over it.
        """
        height, width = pixels.shape[2:]
        request = self._request((height, width))
        given = np.ascontiguousarray(pixels)
        return request.infer(given, share_inputs=True, share_outputs=True)[0]

    def _request(self, sides: _Sides) -> "openvino.InferRequest":
        kind = sides if sides == self._own_sides else _ANY
        if kind not in self._requests:
            self._requests[kind] = _compiled(self._graph, kind, self._card.precision)
        return self._requests[kind]


def precisions() -> tuple[str, ...]:
    """Return what this processor computes in, as OpenVINO sees it; fp32 always."""
    core = library().Core()
    able = set(core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"))
    return tuple(name for name, word in _CAPABILITIES.items() if word in able)


def check_precision(precision: str) -> None:
    """Pass if this processor computes in it.

    Raises:
        StartUpError: it does not; what it has is told.
    """
    if precision not in precisions():
        raise StartUpError(
            f"This processor does not compute in {precision}; it does in"
            f" {', '.join(precisions())}. Set DINOSERVE_PRECISION to one of them,"
            " or to auto."
        )


def library() -> ModuleType:
    """Import OpenVINO without its telemetry, which would report every import."""
    sys.modules.setdefault("openvino_telemetry", None)  # pyright: ignore[reportArgumentType] - None forbids the import, as documented
    import openvino  # noqa: PLC0415 - takes a third of a second that the stub does not need

    return openvino


def converted(model: LoadedModel, cache: Path | None) -> "openvino.Model":
    """Return the network as a graph in float32, see `kept`."""
    return kept(model, cache, partial(_convert, model))


def kept(
    model: LoadedModel, cache: Path | None, make: Callable[[], "openvino.Model"]
) -> "openvino.Model":
    """Return a graph from the cache, or made and kept there for the next time.

    A cache that cannot be read or written is told in the log and done without.

    Args:
        model: what the graph computes, named by its digests.
        cache: folder; None keeps nothing.
        make: returns the graph if it is not there.
    """
    if cache is None:
        return make()
    file = cache / f"{_key(model)}.xml"
    try:
        if file.exists():
            return library().Core().read_model(file)
    except RuntimeError as error:
        _complain(cache, error)
    graph = make()
    try:
        _keep(graph, file)
        # What is judged now is what the next start will read.
        return library().Core().read_model(file)
    except (OSError, RuntimeError) as error:
        _complain(cache, error)
        return graph


def _complain(cache: Path, error: Exception) -> None:
    _log.warning("the cache %s cannot be used: %s", cache, error)


def _fixed_sides(preprocessing: Preprocessing) -> _Sides | None:
    """Return height and width, where every picture gets the same."""
    height, is_fixed, width = preprocessing.framing.size.partition("x")
    return (int(height), int(width)) if is_fixed else None


def _compiled(
    graph: "openvino.Model", sides: _Sides, precision: str
) -> "openvino.InferRequest":
    floats = precision
    if precision == "int8":
        floats = "bf16" if "bf16" in precisions() else "fp32"
    settings = {
        "INFERENCE_PRECISION_HINT": _HINTS[floats],
        "PERFORMANCE_HINT": "LATENCY",
    }
    own = graph.clone()
    own.reshape([-1, 3, *sides])
    return library().Core().compile_model(own, "CPU", settings).create_infer_request()


class _Tokens(torch.nn.Module):
    """The network with one output, which is all that a graph needs."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.network(pixels).last_hidden_state


def _key(model: LoadedModel) -> str:
    """Name what decides the graph: weights, architecture and both libraries."""
    parts = (
        model.weights_sha256,
        model.config_sha256,
        transformers.__version__,
        torch.__version__,
        library().__version__,
    )
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]


def _convert(model: LoadedModel) -> "openvino.Model":
    """Return the graph for any number of pictures of any size."""
    side = 14 * model.stride_px
    with quietly():
        return library().convert_model(
            _Tokens(model.network).eval(),
            example_input=torch.zeros(2, 3, side, side),
            input=[-1, 3, -1, -1],
        )


@contextmanager
def quietly() -> Generator[None]:
    """Bear what libraries do besides converting a network."""
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
        library().save_model(graph, written, compress_to_fp16=False)
        for suffix in (".bin", ".xml"):
            written.with_suffix(suffix).replace(file.with_suffix(suffix))
