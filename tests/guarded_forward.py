"""A real forward that a test can hold and break, and an embedder around it."""

import asyncio
import io
import threading
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dinoserve.domain.vectors import Matrix
from dinoserve.engine.embedder import QueuedEmbedder
from dinoserve.engine.images import ImageLimits
from dinoserve.engine.stub import StubForward
from dinoserve.errors import InvalidInputError
from dinoserve.telemetry import Metrics

MAX_WAITING = 6
LIMITS = ImageLimits(max_bytes=1_000_000, max_pixels=1_000_000, max_side_px=2_000)


class GuardedForward(StubForward):
    """The stub, with two doors to hold it, and a dislike of white pictures."""

    def __init__(self) -> None:
        super().__init__()
        self.prepared: list[str] = []
        self.batches: list[int] = []
        self.may_prepare = threading.Event()
        self.may_compute = threading.Event()
        self.may_prepare.set()
        self.may_compute.set()
        self.is_broken = False
        self.white_gives: float | None = None
        self.unusable: InvalidInputError | None = None

    def prepare(self, rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
        self.prepared.append(threading.current_thread().name)
        assert self.may_prepare.wait(60)
        if self.unusable:
            raise self.unusable
        return super().prepare(rgb)

    def __call__(self, pixels: NDArray[np.float32]) -> Matrix:
        self.batches.append(len(pixels))
        assert self.may_compute.wait(60)
        is_white = pixels.min(axis=(1, 2, 3)) == 1.0
        if self.is_broken or (self.white_gives is None and is_white.any()):
            raise RuntimeError("no white pictures")
        rows = super().__call__(pixels)
        if self.white_gives is not None:
            rows[is_white] = self.white_gives
        return rows

    def let_one_batch_go(self) -> None:
        present, self.may_compute = self.may_compute, threading.Event()
        present.set()

    def open_doors(self) -> None:
        self.may_prepare.set()
        self.may_compute.set()


def png(seed: int, width: int = 40, height: int = 30) -> bytes:
    shape = (height, width, 3)
    return encoded(np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8))


def white() -> bytes:
    return encoded(np.full((8, 8, 3), 255, dtype=np.uint8))


def encoded(rgb: NDArray[np.uint8]) -> bytes:
    stored = io.BytesIO()
    Image.fromarray(rgb).save(stored, "PNG")
    return stored.getvalue()


async def until(is_true: Callable[[], bool]) -> None:
    """Let everything else run until it is so; the test's time limit bounds it."""
    while not is_true():  # noqa: ASYNC110 - what other threads do sets no asyncio.Event
        await asyncio.sleep(0)


@asynccontextmanager
async def serving(
    forward: GuardedForward, metrics: Metrics, decode_threads: int = 1
) -> AsyncGenerator[QueuedEmbedder]:
    """Serve in batches of four at most; leave no thread behind."""
    async with QueuedEmbedder(
        forward,
        LIMITS,
        max_batch_images=4,
        max_waiting_images=MAX_WAITING,
        metrics=metrics,
        decode_threads=decode_threads,
    ) as embedder:
        forward.prepared.clear()
        try:
            yield embedder
        finally:
            forward.open_doors()
    names = [thread.name for thread in threading.enumerate()]
    assert not [name for name in names if name.startswith("dinoserve-")]


def waiting_for_the_device(embedder: QueuedEmbedder) -> int:
    return len(embedder._batcher._waiting)  # pyright: ignore[reportPrivateUsage] - a test must know when to open the door


async def occupy(
    embedder: QueuedEmbedder, forward: GuardedForward, images: int = 1
) -> asyncio.Task[object]:
    """Return a caller whose images the device holds."""
    forward.may_compute.clear()
    task: asyncio.Task[object] = asyncio.create_task(
        embedder.embed([png(seed) for seed in range(images)])
    )
    await until(lambda: len(forward.batches) > 0)
    return task
