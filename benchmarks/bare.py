"""The bare engine in a loop: what the same forward gives without a server around it.

`python -m benchmarks.bare MODEL PICTURES ENGINE`; ENGINE is `auto`, which is what
dinoserve takes, or the precision of PyTorch; orders come in on standard input.
"""

import sys
import time
from collections.abc import Sequence
from functools import partial
from itertools import cycle, islice
from pathlib import Path

import numpy as np
from benchmarks.pictures import Picture, read_pictures
from benchmarks.protocol import LoopOrder, Sample, answer_orders
from numpy.typing import NDArray

from dinoserve.engine.fastest import Wanted, open_forward
from dinoserve.engine.images import ImageLimits, decode
from dinoserve.engine.model_forward import ModelForward
from dinoserve.engine.preprocess import from_config
from dinoserve.engine.weights import load_model
from dinoserve.telemetry import Metrics

_LIMITS = ImageLimits(max_bytes=2**25, max_pixels=64_000_000, max_side_px=16_384)


def measure(
    forward: ModelForward, pictures: Sequence[Picture], order: LoopOrder
) -> Sample:
    """Run batch after batch for as long as the order says, on this thread."""
    files = cycle([picture.fresh() for picture in pictures])
    ready = _pixels(forward, list(islice(files, order.batch)))
    latencies_ms: list[float] = []
    cpu, start = time.process_time(), time.perf_counter()
    now = start
    while now < start + order.seconds:
        batch = list(islice(files, order.batch))
        forward(_pixels(forward, batch) if order.decode else ready)
        begun, now = now, time.perf_counter()
        latencies_ms.append((now - begun) * 1000)
    return Sample(
        images=order.batch * len(latencies_ms),
        wall_s=now - start,
        cpu_s=time.process_time() - cpu,
        latencies_ms=latencies_ms,
    )


def _pixels(forward: ModelForward, files: Sequence[bytes]) -> NDArray[np.float32]:
    return np.stack([forward.prepare(decode(file, _LIMITS).rgb) for file in files])


def _load(folder: str, engine: str) -> ModelForward:
    model = load_model(folder)
    how = from_config("hf", model.preprocessor, model.stride_px)
    wanted = Wanted(device="cpu")
    if engine != "auto":
        wanted = Wanted(device="cpu", engine="torch", precision=engine)
    return open_forward(model, how, wanted, Metrics())


if __name__ == "__main__":
    answer_orders(
        LoopOrder,
        partial(
            measure, _load(sys.argv[1], sys.argv[3]), read_pictures(Path(sys.argv[2]))
        ),
    )
