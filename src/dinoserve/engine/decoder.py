"""The decoder: from encoded bytes to what waits for the device, off the event loop."""

import asyncio
import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import NamedTuple, TypeVar, get_args

from dinoserve.domain.assets import ImageInfo
from dinoserve.domain.framing import Framing, lay_out
from dinoserve.domain.geometry import Geometry
from dinoserve.domain.urgency import Priority, priority
from dinoserve.engine.forward import Forward, Prepared
from dinoserve.engine.images import DecodedImage, ImageLimits, decode
from dinoserve.errors import InvalidInputError, UnavailableError
from dinoserve.ports import ImageBytes
from dinoserve.telemetry import Metrics

_Done = TypeVar("_Done")

_CLOSED = "The engine is shutting down; try again in a moment."


class Picture(NamedTuple):
    """What decoding told of an image, and what the device needs of it."""

    info: ImageInfo
    prepared: Prepared


class Decoder:
    """Decodes and prepares images on threads of its own.

    Args:
        forward: prepares for its device.
        limits: what an encoded image may be.
        max_patches: patches one image may become.
        metrics: gets the stage `decode`.
        threads: for each priority; None takes one per CPU.
    """

    def __init__(
        self,
        forward: Forward,
        limits: ImageLimits,
        max_patches: int,
        metrics: Metrics,
        threads: int | None = None,
    ) -> None:
        self._forward = forward
        self._limits = limits
        self._max_patches = max_patches
        self._metrics = metrics
        # Bulk has threads of its own: in one pool, others would wait behind it.
        self._pools: dict[Priority, ThreadPoolExecutor] = {
            who: ThreadPoolExecutor(
                threads or os.cpu_count(), f"dinoserve-decode-{who}"
            )
            for who in get_args(Priority)
        }
        self._is_closed = False

    async def prepare_all(
        self,
        images: Sequence[ImageBytes],
        framing: Framing | None,
        patch_px: int,
        max_patches: int | None = None,
    ) -> list[Picture]:
        """Return one picture per image, in order; the first bad one fails all.

        What has not begun is not done when the caller is cancelled.

        Args:
            images: encoded.
            framing: size and fit; None is that of embeddings.
            patch_px: side of the model's patches.
            max_patches: patches that all images may become together; None sets no
                bound.

        Raises:
            InvalidInputError: an image cannot be used (`field` is `images[i]`), or
                the framing makes too many patches of it, or of all (`size`).
            UnavailableError: closed.
        """
        futures = [
            self._start(partial(self._prepare, image, framing, patch_px))
            for image in images
        ]
        try:
            pictures: list[Picture] = []
            # In order, so that the error raised is the one of the lowest index.
            for at, future in enumerate(futures):
                pictures.append(await _told_of(at, future))
                _check_together(pictures, max_patches)
            return pictures
        finally:
            for future in futures:
                future.cancel()

    async def inspect(self, image: ImageBytes) -> ImageInfo:
        """Decode fully, without the model; `field` of an error is `image`."""
        future = self._start(partial(self._decode, image))
        return (await asyncio.wrap_future(future)).info

    def refuse(self) -> None:
        """Take nothing more, and decode nothing that has not begun."""
        self._is_closed = True

    def close(self) -> None:
        """End the threads; blocks until what they do is done."""
        self.refuse()
        for pool in self._pools.values():
            pool.shutdown()

    def _start(self, work: Callable[[], _Done]) -> Future[_Done]:
        if self._is_closed:
            raise UnavailableError(_CLOSED, port="embedder")
        return self._pools[priority.get()].submit(work)

    def _prepare(
        self, image: ImageBytes, framing: Framing | None, patch_px: int
    ) -> Picture:
        with self._metrics.stage("decode"):
            decoded = self._decode(image)
            info = decoded.info
            if framing is not None:
                # Before there are pixels: they may be a hundred times as many.
                geometry = lay_out(framing, info.width, info.height, patch_px)
                self._check_patches(geometry, "size")
            prepared = self._forward.prepare(decoded, framing)
            self._check_patches(prepared.geometry, "image")
            return Picture(info, prepared)

    def _check_patches(self, geometry: Geometry, field: str) -> None:
        patches = geometry.rows * geometry.columns
        if patches > self._max_patches:
            raise InvalidInputError(
                f"An image may become {self._max_patches} patches"
                f" (DINOSERVE_MAX_PATCHES); at this size one becomes {patches}"
                f" ({geometry.rows} x {geometry.columns}).",
                field=field,
                limit=self._max_patches,
                value=patches,
            )

    def _decode(self, image: ImageBytes) -> DecodedImage:
        # Asked again on the thread: what waited for one is answered at closing.
        if self._is_closed:
            raise UnavailableError(_CLOSED, port="embedder")
        return decode(image, self._limits)


def _check_together(pictures: Sequence[Picture], limit: int | None) -> None:
    grids = [one.prepared.geometry for one in pictures]
    patches = sum(grid.rows * grid.columns for grid in grids)
    if limit is not None and patches > limit:
        raise InvalidInputError(
            f"The images of one request may become {limit} patches together"
            f" (DINOSERVE_MAX_REQUEST_PATCHES); the first {len(grids)} become"
            f" {patches}. Send fewer at once, or ask for a smaller size.",
            field="size",
            limit=limit,
            value=patches,
        )


async def _told_of(index: int, future: Future[Picture]) -> Picture:
    try:
        return await asyncio.wrap_future(future)
    except InvalidInputError as error:
        if error.extra.get("field") != "image":
            raise
        raise error.at(f"images[{index}]") from error
