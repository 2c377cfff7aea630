"""The processor's own ceiling: the fastest matrix product that OpenVINO reaches here.

`python -m benchmarks.ceiling LAYERS`; orders come in on standard input. A sample
counts pictures: the operations that were done, over those of one picture's forward in
a model of so many layers. It is of the fastest shape of that stretch of time.
"""

import sys
import time
from functools import partial
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from benchmarks.model import HIDDEN, TOKENS, WIDTH, flop
from benchmarks.protocol import CeilingOrder, Sample, answer_orders
from numpy.typing import NDArray

if TYPE_CHECKING:
    import openvino

# Products in a row: what goes in and out as float32 is then little beside them.
_CHAIN = 4
_BATCH = 16


class Shape(NamedTuple):
    """A product of (rows, inner) by (inner, columns)."""

    rows: int
    inner: int
    columns: int

    @property
    def flop(self) -> float:
        """Operations of a chain, two a multiply-add."""
        return 2.0 * self.rows * self.inner * self.columns * _CHAIN

    def __str__(self) -> str:
        return f"{self.rows} x {self.inner} x {self.columns}"


SHAPES = (
    Shape(_BATCH * TOKENS, WIDTH, WIDTH),
    Shape(_BATCH * TOKENS, WIDTH, HIDDEN),
    *(Shape(side, side, side) for side in (1024, 2048, 4096)),
)
"""Those of the model at batch 16, and squares, which most libraries do best."""


class Product:
    """A chain of products of one shape, compiled; there and back, so that it chains."""

    def __init__(self, shape: Shape, precision: str) -> None:
        self.shape = shape
        noise = np.random.default_rng(0)
        self._given = _matrix(noise, shape.rows, shape.inner)
        ends = (shape.inner, shape.columns)
        weights = [_matrix(noise, *ends[:: 1 - 2 * (at % 2)]) for at in range(_CHAIN)]
        settings = {
            "INFERENCE_PRECISION_HINT": precision,
            "PERFORMANCE_HINT": "LATENCY",
        }
        graph = _graph(self._given, weights)
        compiled = _library().Core().compile_model(graph, "CPU", settings)
        self._request = compiled.create_infer_request()
        self.run()

    def run(self) -> None:
        """Do the whole chain once."""
        self._request.infer(self._given, share_inputs=True, share_outputs=True)

    def measure(self, layers: int, seconds: float) -> Sample:
        """Run the chain for about so many seconds."""
        latencies_ms: list[float] = []
        cpu, start = time.process_time(), time.perf_counter()
        now = start
        while now < start + seconds:
            self.run()
            begun, now = now, time.perf_counter()
            latencies_ms.append((now - begun) * 1000)
        return Sample(
            done=len(latencies_ms) * self.shape.flop / flop(layers),
            wall_s=now - start,
            cpu_s=time.process_time() - cpu,
            latencies_ms=latencies_ms,
            note=str(self.shape),
        )


def measure(products: list[Product], layers: int, order: CeilingOrder) -> Sample:
    """Give each shape its share of the time; return the sample of the fastest."""
    share = order.seconds / len(products)
    samples = [product.measure(layers, share) for product in products]
    return max(samples, key=lambda sample: sample.done / sample.wall_s)


def precision() -> str:
    """Return the precision in which OpenVINO is fastest here: `bf16`, else `f32`."""
    able = _library().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return "bf16" if "BF16" in able else "f32"


def _matrix(noise: np.random.Generator, rows: int, columns: int) -> NDArray[np.float32]:
    # Scaled so that numbers stay of one size along the chain.
    return noise.standard_normal((rows, columns), np.float32) / np.float32(rows**0.5)


def _graph(
    given: NDArray[np.float32], weights: list[NDArray[np.float32]]
) -> "openvino.Model":
    library = _library()
    ops = import_module("openvino.opset13")
    start = ops.parameter(given.shape, np.float32)
    end = start
    for weight in weights:
        end = ops.matmul(
            end, ops.constant(weight), transpose_a=False, transpose_b=False
        )
    return library.Model([end], [start], "product")


def _library() -> ModuleType:
    """Import OpenVINO without its telemetry, which would report every import."""
    sys.modules.setdefault("openvino_telemetry", None)  # pyright: ignore[reportArgumentType] - None forbids the import, as documented
    import openvino  # noqa: PLC0415 - after its telemetry was forbidden

    return openvino


if __name__ == "__main__":
    _precision = precision()
    answer_orders(
        CeilingOrder,
        partial(
            measure, [Product(shape, _precision) for shape in SHAPES], int(sys.argv[1])
        ),
    )
