"""The bare engine in a loop: what the same forward gives without a server around it.

`python -m benchmarks.bare MODEL PICTURES ENGINE CACHE`; see `load` for ENGINE and
CACHE; orders come in on standard input.
"""

import sys
import time
from collections.abc import Sequence
from functools import partial
from itertools import cycle, islice
from pathlib import Path

from benchmarks.pictures import Picture, read_pictures
from benchmarks.protocol import LoopOrder, Sample, answer_orders

from dinoserve.engine.fastest import Wanted, open_forward
from dinoserve.engine.forward import Forward, Prepared
from dinoserve.engine.images import ImageLimits, decode
from dinoserve.engine.preprocess import from_config
from dinoserve.engine.weights import load_model
from dinoserve.telemetry import Metrics

_LIMITS = ImageLimits(max_bytes=2**25, max_pixels=64_000_000, max_side_px=16_384)
_WANTED = {
    "auto": Wanted(device="cpu"),
    "int8": Wanted(device="cpu", precision="int8"),
    "fp32": Wanted(device="cpu", engine="torch", precision="fp32"),
    "bf16": Wanted(device="cpu", engine="torch", precision="bf16"),
}


def load(folder: Path, engine: str, cache: Path) -> Forward:
    """Return the engine, as dinoserve opens it; another if that falls back.

    Args:
        folder: the model.
        engine: `auto`, which is what dinoserve takes by itself; `int8`, what it takes
            when told to; `fp32` and `bf16` are PyTorch.
        cache: folder that keeps converted models.

    Raises:
        StartUpError: it cannot be had on this machine.
    """
    model = load_model(str(folder))
    how = from_config("hf", model.preprocessor, model.stride_px)
    wanted = _WANTED[engine]
    return open_forward(
        model,
        how,
        Wanted(wanted.device, wanted.engine, wanted.precision, cache),
        Metrics(),
    )


def prepared(forward: Forward, files: Sequence[bytes]) -> list[Prepared]:
    """Return what the forward takes, made from encoded pictures."""
    return [forward.prepare(decode(file, _LIMITS)) for file in files]


def measure(forward: Forward, pictures: Sequence[Picture], order: LoopOrder) -> Sample:
    """Run batch after batch for as long as the order says, on this thread."""
    files = cycle([picture.fresh() for picture in pictures])
    ready = prepared(forward, list(islice(files, order.batch)))
    latencies_ms: list[float] = []
    cpu, start = time.process_time(), time.perf_counter()
    now = start
    while now < start + order.seconds:
        batch = list(islice(files, order.batch))
        forward.vectors(prepared(forward, batch) if order.decode else ready)
        begun, now = now, time.perf_counter()
        latencies_ms.append((now - begun) * 1000)
    return Sample(
        done=order.batch * len(latencies_ms),
        wall_s=now - start,
        cpu_s=time.process_time() - cpu,
        latencies_ms=latencies_ms,
    )


if __name__ == "__main__":
    _model, _pictures, _engine, _cache = sys.argv[1:]
    _forward = load(Path(_model), _engine, Path(_cache))
    answer_orders(LoopOrder, partial(measure, _forward, read_pictures(Path(_pictures))))
