"""The embedder: admits, decodes off the event loop, batches, verifies."""

import asyncio
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from dinoserve.domain.assets import ImageInfo
from dinoserve.domain.framing import Framing
from dinoserve.domain.geometry import Geometry
from dinoserve.domain.vectors import Matrix
from dinoserve.engine.admission import Admission
from dinoserve.engine.batcher import Batcher
from dinoserve.engine.decoder import Decoder, Picture
from dinoserve.engine.forward import Forward, Prepared
from dinoserve.engine.images import DecodedImage, ImageLimits
from dinoserve.errors import (
    InvalidInputError,
    OverloadedError,
    UnavailableError,
)
from dinoserve.ports import Embedded, EngineLoad, Features, ImageBytes, ModelCard
from dinoserve.telemetry import Metrics

CHECK_S = 10.0
"""Seconds a forward may take before `check` fails."""

# How far from 1 a vector's length may be: fp32 sums of 4096 squares stay within 1e-5,
# half precision within 1e-3.
_LENGTH_TOLERANCE = 1e-3


class EngineLimits(NamedTuple):
    """What the engine takes on.

    Attributes:
        batch_images: images of the default size that share one forward at most; of
            other sizes as many as have no more tokens together.
        waiting_images: images admitted at once; beyond it callers are refused.
        patches: patches one image may become.
        request_patches: patches that the images of one call of `features` may become
            together, because all their tokens are kept until it is answered.
    """

    batch_images: int
    waiting_images: int
    patches: int
    request_patches: int


class _Work(NamedTuple):
    """What the device does with a picture: `vectors`, or else `tokens`."""

    prepared: Prepared
    wants_tokens: bool

    @property
    def group(self) -> tuple[int, int, bool]:
        geometry = self.prepared.geometry
        return geometry.height, geometry.width, self.wants_tokens


class QueuedEmbedder:
    """Implements `ports.Embedder` over a `Forward`, for one event loop.

    Args:
        forward: the loaded model.
        limits: what an encoded image may be.
        engine_limits: how much the engine takes on.
        metrics: where the figures go.
        decode_threads: threads that decode, for each priority; None takes one per CPU.
    """

    def __init__(
        self,
        forward: Forward,
        limits: ImageLimits,
        engine_limits: EngineLimits,
        *,
        metrics: Metrics,
        decode_threads: int | None = None,
    ) -> None:
        self._forward = forward
        self._decoder = Decoder(
            forward, limits, engine_limits.patches, metrics, decode_threads
        )
        self._engine_limits = engine_limits
        self._metrics = metrics
        self._admission = Admission(engine_limits.waiting_images, metrics)
        self._probe = _Work(forward.prepare(_picture()), wants_tokens=False)
        self._batcher = Batcher(
            self._compute,
            engine_limits.batch_images * self._cost(self._probe),
            metrics,
            cost=self._cost,
            group=lambda work: work.group,
        )
        self._checking = asyncio.Lock()
        self._closed = False

    @property
    def card(self) -> ModelCard:
        """Return what is loaded."""
        return self._forward.card

    async def embed(self, images: Sequence[ImageBytes]) -> list[Embedded]:
        """Return one result per image, in order; see `ports.Embedder.embed`.

        A bad image fails the whole call before any forward. Cancelling the call
        takes its images out of every queue.
        """
        done = await self._run(images, None, wants_tokens=False)
        return [
            Embedded(row, one.info, self._tokens(one.prepared.geometry))
            for one, row in done
        ]

    async def features(
        self, images: Sequence[ImageBytes], framing: Framing | None = None
    ) -> list[Features]:
        """Return every token of every image; see `ports.Embedder.features`.

        As with `embed`, a bad image fails the whole call, and cancelling it takes its
        images out of every queue.
        """
        recipe = self._forward.recipe(framing)
        done = await self._run(images, framing, wants_tokens=True)
        return [
            Features(
                tokens=rows,
                registers=self._forward.prefix_tokens - 1,
                geometry=one.prepared.geometry,
                image=one.info,
                recipe=recipe,
            )
            for one, rows in done
        ]

    async def inspect(self, image: ImageBytes) -> ImageInfo:
        """Decode fully, without the model; `field` of an error is `image`."""
        with self._admission.hold(1):
            return await self._decoder.inspect(image)

    async def check(self) -> None:
        """Pass if the last forward worked or a real one works now.

        Raises:
            UnavailableError: the model failed, or a forward has taken longer than
                `CHECK_S`, even if the one before it worked.
        """
        if self._batcher.running_s > CHECK_S:
            raise _hanging()
        try:
            async with asyncio.timeout(CHECK_S), self._checking:
                if self._closed or not self._batcher.last_ok:
                    await self._batcher.submit_all([self._probe], ahead=True)
        except TimeoutError as error:
            raise _hanging() from error

    def load(self) -> EngineLoad:
        """Return how many images wait, of which kind, and the oldest for how long."""
        return self._admission.load()

    async def warm_up(self) -> float:
        """Run one image and one full batch; return the seconds that took.

        Raises:
            UnavailableError: the model does not compute.
        """
        start = time.perf_counter()
        await self._batcher.submit(self._probe)
        await self._batcher.submit_all([self._probe] * self._engine_limits.batch_images)
        return time.perf_counter() - start

    async def close(self) -> None:
        """Answer everyone, finish the running batch, end all threads."""
        self._closed = True
        self._decoder.refuse()
        await asyncio.to_thread(self._batcher.close)
        await asyncio.to_thread(self._decoder.close)

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

    async def _run(
        self,
        images: Sequence[ImageBytes],
        framing: Framing | None,
        *,
        wants_tokens: bool,
    ) -> list[tuple[Picture, NDArray[np.float32]]]:
        if not images:
            return []
        with self._outcome(len(images)), self._admission.hold(len(images)):
            patch_px = self._probe.prepared.geometry.patch_px
            together = self._engine_limits.request_patches if wants_tokens else None
            pictures = await self._decoder.prepare_all(
                images, framing, patch_px, together
            )
            work = [_Work(one.prepared, wants_tokens) for one in pictures]
            rows = await self._batcher.submit_all(work)
        return list(zip(pictures, rows, strict=True))

    def _tokens(self, geometry: Geometry) -> int:
        return self._forward.prefix_tokens + geometry.rows * geometry.columns

    def _cost(self, work: _Work) -> int:
        return self._tokens(work.prepared.geometry)

    def _compute(self, batch: list[_Work]) -> list[NDArray[np.float32]]:
        prepared = [work.prepared for work in batch]
        if batch[0].wants_tokens:
            rows = _finite(self._forward.tokens(prepared))
        else:
            rows = _unit(self._forward.vectors(prepared))
        # Copies: a view would keep the whole batch alive.
        return [np.array(row, dtype=np.float32) for row in rows]


def _finite(tokens: NDArray[np.float32]) -> NDArray[np.float32]:
    if not np.isfinite(tokens).all():
        raise ValueError("the model gave tokens that are not finite")
    return tokens


def _unit(rows: Matrix) -> Matrix:
    lengths = np.linalg.norm(rows, axis=1)
    # False for NaN and infinity too: they are never served.
    if not np.all(np.abs(lengths - 1.0) <= _LENGTH_TOLERANCE):
        raise ValueError(f"the model gave rows of length {lengths}")
    return rows


def _hanging() -> UnavailableError:
    return UnavailableError(
        f"The model did not answer within {CHECK_S:g} s.", port="embedder"
    )


def _picture() -> DecodedImage:
    """Return a small picture that is not plain: uint8 (64, 64, 3)."""
    rgb = (np.arange(64 * 64 * 3) % 251).astype(np.uint8).reshape(64, 64, 3)
    return DecodedImage(ImageInfo("image/png", 64, 64), rgb)
