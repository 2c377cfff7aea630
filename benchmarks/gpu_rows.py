"""What is measured of one model on a device: the same network on four paths."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from importlib import resources
from itertools import cycle, islice
from typing import NamedTuple, TypeAlias

import torch
from benchmarks.gpu_result import Result, Row
from benchmarks.gpu_timing import Clock
from benchmarks.pictures import Picture
from torch import Tensor

from dinoserve.engine.cuda_forward import CudaForward, compile_blocks
from dinoserve.engine.folding import folded
from dinoserve.engine.forward import Prepared
from dinoserve.engine.images import ImageLimits, decode
from dinoserve.engine.model_forward import ModelForward
from dinoserve.engine.network import Network
from dinoserve.engine.preprocess import Preprocessing
from dinoserve.engine.replays import Replays
from dinoserve.engine.torch_forward import TorchForward, is_out_of_memory
from dinoserve.engine.weights import LoadedModel

Tokens: TypeAlias = Callable[[Tensor], Tensor]

PARITY = 0.999
_LIMITS = ImageLimits(max_bytes=2**25, max_pixels=64_000_000, max_side_px=16_384)
_AHEAD = 3


class Subject(NamedTuple):
    """What a model is measured with.

    Attributes:
        name: as the table says it.
        model: its network is on the device.
        how: the preprocessing, of one fixed size.
        gflop: operations of a picture, in 10^9.
        device: where it computes.
    """

    name: str
    model: LoadedModel
    how: Preprocessing
    gflop: float
    device: torch.device


def paths(subject: Subject) -> Iterator[tuple[str, Tokens]]:
    """Yield each path with its name, made when it is asked for."""
    network = subject.model.network
    yield "transformers fp32", _transformers(network, None)
    yield "transformers bf16 autocast", _transformers(network, subject.device)
    yield "ours bf16, captured", Replays(folded(network, torch.bfloat16))
    compiled = folded(network, torch.bfloat16)
    # The compiler of the CPU takes a minute to say what nobody asks of it.
    backend = "inductor" if subject.device.type == "cuda" else "eager"
    if compile_blocks(compiled, _pixels(subject, 2), backend):
        yield "ours bf16, compiled + captured", Replays(compiled)


def measure_paths(
    subject: Subject, batches: Sequence[int], clock: Clock, result: Result
) -> None:
    """Add a row for each path and batch, as long as there is time."""
    pictures = real_pictures(subject)
    with torch.inference_mode():
        expected = _transformers(subject.model.network, None)(pictures)
        for what, path in paths(subject):
            cosine = lowest_cosine(path(pictures).clone(), expected)
            for batch in batches:
                row = Row(subject.name, what, batch, cosine=cosine)
                result.add(_measured(subject, path, row, clock, result))


def measure_files(
    subject: Subject, files: Sequence[Picture], batch: int, clock: Clock, result: Result
) -> None:
    """Add a row for JPEG bytes in: a pool decodes, one thread uploads and computes."""
    row = Row(subject.name, "ours bf16, JPEG in, vectors out", batch)
    if clock.left_s <= 0:
        result.add(row._replace(note="out of time"))
        return
    forward = CudaForward(subject.model, subject.how, subject.device.type, "bf16")
    with ThreadPoolExecutor() as pool:
        batches = _decoded(forward, files, batch, pool)
        rate = batch * clock.per_s(lambda: forward.vectors(next(batches)))
    share = _share(rate, subject, result)
    result.add(row._replace(images_per_s=rate, share=share))


def real_pictures(subject: Subject) -> Tensor:
    """Return the pictures of the package, prepared: float32 (4, 3, H, W)."""
    forward = TorchForward(subject.model, subject.how, subject.device.type)
    folder = resources.files("dinoserve") / "engine" / "pictures"
    files = sorted((f for f in folder.iterdir() if f.name.endswith(".jpg")), key=str)
    decoded = [decode(file.read_bytes(), _LIMITS) for file in files]
    pixels = [torch.tensor(forward.prepare(one).pixels) for one in decoded]
    return torch.stack(pixels).to(subject.device)


def lowest_cosine(tokens: Tensor, expected: Tensor) -> float:
    """Return the least cosine over all tokens."""
    pairs = tokens.double(), expected.double()
    return torch.cosine_similarity(*pairs, dim=-1).min().item()


def _transformers(network: Network, bf16_on: torch.device | None) -> Tokens:
    def tokens(pixels: Tensor) -> Tensor:
        half = nullcontext()
        if bf16_on is not None:
            half = torch.autocast(bf16_on.type, torch.bfloat16)
        with half:
            return network(pixels).last_hidden_state

    return tokens


def _measured(
    subject: Subject, path: Tokens, row: Row, clock: Clock, result: Result
) -> Row:
    if clock.left_s <= 0:
        return row._replace(note="out of time")
    pixels = _pixels(subject, row.batch)
    try:
        rate = row.batch * clock.per_s(lambda: path(pixels))
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        return row._replace(note="out of memory")
    return row._replace(images_per_s=rate, share=_share(rate, subject, result))


def _share(images_per_s: float, subject: Subject, result: Result) -> float:
    return images_per_s * subject.gflop / 1000 / result.ceiling_tflop_per_s


def _pixels(subject: Subject, images: int) -> Tensor:
    height, width = map(int, subject.how.framing.size.split("x"))
    return torch.randn(images, 3, height, width, device=subject.device)


def _decoded(
    forward: ModelForward,
    files: Sequence[Picture],
    batch: int,
    pool: ThreadPoolExecutor,
) -> Iterator[list[Prepared]]:
    """Yield batch after batch, the next ones being decoded meanwhile."""
    endless = cycle(files)

    def start() -> list[Future[Prepared]]:
        several = islice(endless, batch)
        return [pool.submit(_prepared, forward, file.fresh()) for file in several]

    waiting = [start() for _ in range(_AHEAD)]
    while True:
        waiting.append(start())
        yield [future.result() for future in waiting.pop(0)]


def _prepared(forward: ModelForward, file: bytes) -> Prepared:
    return forward.prepare(decode(file, _LIMITS))
