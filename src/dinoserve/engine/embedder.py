"""The embedder: admits, decodes off the event loop, batches, verifies."""

import asyncio
import math
import os
import time
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import NamedTuple, Protocol, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from dinoserve.domain.assets import ImageInfo
from dinoserve.domain.vectors import Matrix, Vector
from dinoserve.engine.batcher import Batcher
from dinoserve.engine.images import DecodedImage, ImageLimits, decode
from dinoserve.errors import InvalidInputError, OverloadedError, UnavailableError
from dinoserve.ports import Embedded, EngineLoad, ModelCard
from dinoserve.telemetry import Metrics

CHECK_S = 10.0
"""Seconds a forward made by `check` may take."""

_Done = TypeVar("_Done")

_CLOSED = "The engine is shutting down; try again in a moment."
_MAX_RETRY_S = 60
# How far from 1 a vector's length may be: fp32 sums of 4096 squares stay within 1e-5,
# half precision within 1e-3.
_LENGTH_TOLERANCE = 1e-3


class Forward(Protocol):
    """A loaded model: from a decoded picture to its vector."""

    @property
    def card(self) -> ModelCard:
        """Return what is loaded."""
        ...

    @property
    def tokens(self) -> int:
        """Return how many tokens the model computes for one picture."""
        ...

    def prepare(self, rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return float32 (3, H, W), normalised, of a picture uint8 (h, w, 3).

        Called from several threads at once.
        """
        ...

    def __call__(self, pixels: NDArray[np.float32]) -> Matrix:
        """Return unit rows float32 (n, d) of pixels float32 (n, 3, H, W).

        Called from one thread only.
        """
        ...


class _Prepared(NamedTuple):
    image: ImageInfo
    pixels: NDArray[np.float32]


class _Admission:
    """Permits for images; none left means refusal, never a second queue."""

    def __init__(self, capacity: int, metrics: Metrics) -> None:
        self.capacity = capacity
        self.waiting = 0
        self._metrics = metrics
        self.image_s = 0.0

    @contextmanager
    def hold(self, images: int) -> Generator[None]:
        """Hold one permit per image during the block.

        Raises:
            InvalidInputError: more images than there are permits at all.
            OverloadedError: fewer permits are left.
        """
        self._check(images)
        self._change(images)
        ahead, start = self.waiting, time.perf_counter()
        try:
            yield
            self._learn((time.perf_counter() - start) / ahead)
        finally:
            self._change(-images)

    def _check(self, images: int) -> None:
        if images > self.capacity:
            raise InvalidInputError(
                f"One call may hold {self.capacity} images; this one has {images}.",
                field="images",
                limit=self.capacity,
                value=images,
            )
        if self.waiting + images > self.capacity:
            raise OverloadedError(
                f"{self.waiting} images are waiting; {self.capacity} may.",
                retry_after_s=self._retry_after_s(),
            )

    def _change(self, images: int) -> None:
        self.waiting += images
        self._metrics.waiting.set(self.waiting)

    def _learn(self, image_s: float) -> None:
        # Little's law: time in the system over images in it is seconds per image.
        # The weight 0.2 remembers about the last ten calls.
        weight = 0.2 if self.image_s else 1.0
        self.image_s += weight * (image_s - self.image_s)

    def _retry_after_s(self) -> int:
        return max(1, min(_MAX_RETRY_S, math.ceil(self.waiting * self.image_s)))


class QueuedEmbedder:
    """Implements `ports.Embedder` over a `Forward`, for one event loop.

    Args:
        forward: the loaded model.
        limits: what an encoded image may be.
        max_batch_images: images that share one forward at most.
        max_waiting_images: images admitted at once; beyond it callers are refused.
        metrics: where the figures go.
        decode_threads: threads that decode; None takes one per CPU.
    """

    def __init__(
        self,
        forward: Forward,
        limits: ImageLimits,
        *,
        max_batch_images: int,
        max_waiting_images: int,
        metrics: Metrics,
        decode_threads: int | None = None,
    ) -> None:
        self._forward = forward
        self._limits = limits
        self._max_batch_images = max_batch_images
        self._metrics = metrics
        self._admission = _Admission(max_waiting_images, metrics)
        self._pool = ThreadPoolExecutor(
            decode_threads or os.cpu_count(), thread_name_prefix="dinoserve-decode"
        )
        self._batcher = Batcher(self._compute, max_batch_images, metrics)
        self._probe = forward.prepare(_picture())
        self._checking = asyncio.Lock()
        self._closed = False

    @property
    def card(self) -> ModelCard:
        """Return what is loaded."""
        return self._forward.card

    async def embed(self, images: Sequence[bytes]) -> list[Embedded]:
        """Return one result per image, in order; see `ports.Embedder.embed`.

        A bad image fails the whole call before any forward. Cancelling the call
        takes its images out of every queue.
        """
        if not images:
            return []
        with self._outcome(len(images)), self._admission.hold(len(images)):
            prepared = await self._prepare_all(images)
            vectors = await self._batcher.submit_all([one.pixels for one in prepared])
        return [
            Embedded(vector, one.image, self._forward.tokens)
            for one, vector in zip(prepared, vectors, strict=True)
        ]

    async def inspect(self, image: bytes) -> ImageInfo:
        """Decode fully, without the model; `field` of an error is `image`."""
        with self._admission.hold(1):
            return (await asyncio.wrap_future(self._start(self._decode, image))).info

    async def check(self) -> None:
        """Pass if the last forward worked or a real one works now.

        Raises:
            UnavailableError: the model failed, the device thread is gone, or the
                forward took longer than `CHECK_S`.
        """
        try:
            async with asyncio.timeout(CHECK_S), self._checking:
                if not (self._batcher.is_alive and self._batcher.last_ok):
                    await self._batcher.submit_all([self._probe], ahead=True)
        except TimeoutError as error:
            raise UnavailableError(
                f"The model did not answer within {CHECK_S:g} s.", port="embedder"
            ) from error

    def load(self) -> EngineLoad:
        """Return how many images are admitted, and how many may be."""
        return EngineLoad(self._admission.waiting, self._admission.capacity)

    async def warm_up(self) -> float:
        """Run one image and one full batch; return the seconds that took.

        Raises:
            UnavailableError: the model does not compute.
        """
        start = time.perf_counter()
        await self._batcher.submit(self._probe)
        await self._batcher.submit_all([self._probe] * self._max_batch_images)
        return time.perf_counter() - start

    async def close(self) -> None:
        """Answer everyone, finish the running batch, end all threads."""
        self._closed = True
        await asyncio.to_thread(self._batcher.close)
        await asyncio.to_thread(self._pool.shutdown)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @contextmanager
    def _outcome(self, images: int) -> Generator[None]:
        outcome = "failed"
        try:
            yield
            outcome = "embedded"
        except (InvalidInputError, OverloadedError):
            outcome = "refused"
            raise
        except asyncio.CancelledError:
            outcome = "dropped"
            raise
        finally:
            self._metrics.images.labels(outcome).inc(images)

    async def _prepare_all(self, images: Sequence[bytes]) -> list[_Prepared]:
        futures = [self._start(self._prepare, image) for image in images]
        try:
            # In order, so that the error raised is the one of the lowest index.
            return [await _told_of(at, future) for at, future in enumerate(futures)]
        finally:
            for future in futures:
                future.cancel()

    def _start(self, work: Callable[[bytes], _Done], image: bytes) -> Future[_Done]:
        if self._closed:
            raise UnavailableError(_CLOSED, port="embedder")
        return self._pool.submit(work, image)

    def _prepare(self, image: bytes) -> _Prepared:
        with self._metrics.stage("decode"):
            decoded = self._decode(image)
            return _Prepared(decoded.info, self._forward.prepare(decoded.rgb))

    def _decode(self, image: bytes) -> DecodedImage:
        # Asked again on the thread: what waited for one is answered at closing.
        if self._closed:
            raise UnavailableError(_CLOSED, port="embedder")
        return decode(image, self._limits)

    def _compute(self, batch: list[NDArray[np.float32]]) -> list[Vector]:
        rows = self._forward(np.stack(batch))
        lengths = np.linalg.norm(rows, axis=1)
        # False for NaN and infinity too: they are never served.
        if not np.all(np.abs(lengths - 1.0) <= _LENGTH_TOLERANCE):
            raise ValueError(f"the model gave rows of length {lengths}")
        # Copies: a view would keep the whole batch alive.
        return [np.array(row, dtype=np.float32) for row in rows]


async def _told_of(index: int, future: Future[_Prepared]) -> _Prepared:
    try:
        return await asyncio.wrap_future(future)
    except InvalidInputError as error:
        raise error.at(f"images[{index}]") from error


def _picture() -> NDArray[np.uint8]:
    """Return a small picture that is not plain: uint8 (64, 64, 3)."""
    return (np.arange(64 * 64 * 3) % 251).astype(np.uint8).reshape(64, 64, 3)
