"""A real forward that a test can hold and break, and an embedder around it."""

import asyncio
import io
import threading
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dinoserve.domain.framing import Framing, lay_out
from dinoserve.domain.recipes import Recipe
from dinoserve.domain.vectors import Matrix
from dinoserve.engine.embedder import EngineLimits, QueuedEmbedder
from dinoserve.engine.forward import Prepared
from dinoserve.engine.images import DecodedImage, ImageLimits
from dinoserve.engine.stub import StubForward
from dinoserve.errors import InvalidInputError
from dinoserve.telemetry import Metrics

MAX_WAITING = 6
MAX_PATCHES = 16
LIMITS = ImageLimits(max_bytes=1_000_000, max_pixels=1_000_000, max_side_px=2_000)


class GuardedForward(StubForward):
    """The stub, with two doors to hold it, and a dislike of white pictures.

    It has tokens as well: a patch is 32 pixels wide and becomes its own vector; the
    class token is their mean.
    """

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
        self.framing: Framing | None = None

    @property
    def prefix_tokens(self) -> int:
        return 1

    def recipe(self, framing: Framing | None = None) -> Recipe:
        if framing is None:
            return self.card.recipe
        return replace(self.card.recipe, preprocessing=f"{framing.size}-{framing.fit}")

    def prepare(self, image: DecodedImage, framing: Framing | None = None) -> Prepared:
        self.prepared.append(threading.current_thread().name)
        assert self.may_prepare.wait(60)
        if self.unusable:
            raise self.unusable
        framing = framing or self.framing
        if framing is None:
            return super().prepare(image)
        geometry = lay_out(framing, image.info.width, image.info.height, 32)
        shape = (geometry.width, geometry.height)
        resized = np.asarray(Image.fromarray(image.rgb).resize(shape), np.float32)
        return Prepared(resized.transpose(2, 0, 1) / 127.5 - 1.0, geometry)

    def vectors(self, batch: Sequence[Prepared]) -> Matrix:
        is_white = self._begin(batch)
        rows = super().vectors(batch)
        if self.white_gives is not None:
            rows[is_white] = self.white_gives
        return rows

    def tokens(self, batch: Sequence[Prepared]) -> NDArray[np.float32]:
        is_white = self._begin(batch)
        patches = [super(GuardedForward, self).vectors(_patches(one)) for one in batch]
        tokens = np.stack([np.vstack([rows.mean(axis=0), rows]) for rows in patches])
        if self.white_gives is not None:
            tokens[is_white, -1, 0] = self.white_gives
        return tokens

    def _begin(self, batch: Sequence[Prepared]) -> NDArray[np.bool]:
        self.batches.append(len(batch))
        assert self.may_compute.wait(60)
        is_white = np.array([one.pixels.min() == 1.0 for one in batch])
        if self.is_broken or (self.white_gives is None and is_white.any()):
            raise RuntimeError("no white pictures")
        return is_white

    def let_one_batch_go(self) -> None:
        present, self.may_compute = self.may_compute, threading.Event()
        present.set()

    def open_doors(self) -> None:
        self.may_prepare.set()
        self.may_compute.set()


def _patches(picture: Prepared) -> list[Prepared]:
    pixels, geometry = picture
    return [
        Prepared(pixels[:, top : top + 32, left : left + 32], geometry)
        for top in range(0, geometry.height, 32)
        for left in range(0, geometry.width, 32)
    ]


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
    before = set(threading.enumerate())
    async with QueuedEmbedder(
        forward,
        LIMITS,
        EngineLimits(
            batch_images=4,
            waiting_images=MAX_WAITING,
            patches=MAX_PATCHES,
            request_patches=2 * MAX_PATCHES,
        ),
        metrics=metrics,
        decode_threads=decode_threads,
    ) as embedder:
        forward.prepared.clear()
        try:
            yield embedder
        finally:
            forward.open_doors()
    names = [thread.name for thread in threading.enumerate() if thread not in before]
    assert not [name for name in names if name.startswith("dinoserve-")]


def waiting_for_the_device(embedder: QueuedEmbedder) -> int:
    return len(embedder._batcher._line)  # pyright: ignore[reportPrivateUsage] - a test must know when to open the door


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
