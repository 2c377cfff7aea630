"""Pixels for what is measured on pictures, decoded on threads of their own."""

import asyncio
import math
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Self, get_args

import numpy as np

from dinoserve.domain.scaling import averaged
from dinoserve.domain.urgency import Priority, priority
from dinoserve.engine.images import ImageLimits, decode, opened
from dinoserve.engine.pixels import shown
from dinoserve.ports import ImageBytes, Picture


class ThreadedPixelReader:
    """Implements `ports.PixelReader`: the engine's own decoding, within its limits.

    Bulk has threads of its own, so that others do not wait behind it. Idle threads
    end with the reader.

    Args:
        limits: what an encoded image may be.
        threads: images decoded at a time, for each priority; None takes one per CPU.
    """

    def __init__(self, limits: ImageLimits, threads: int | None = None) -> None:
        self._limits = limits
        self._pools: dict[Priority, ThreadPoolExecutor] = {
            who: ThreadPoolExecutor(
                threads or os.cpu_count(), f"dinoserve-pixels-{who}"
            )
            for who in get_args(Priority)
        }

    def __enter__(self) -> Self:
        """Return it."""
        return self

    def __exit__(self, *_: object) -> None:
        """End its threads, once what they decode is done."""
        for pool in self._pools.values():
            pool.shutdown(cancel_futures=True)

    async def pixels(self, image: ImageBytes, longest: int | None = None) -> Picture:
        """Return the decoded picture, read-only; see `ports.PixelReader.pixels`."""
        loop = asyncio.get_running_loop()
        pool = self._pools[priority.get()]
        return await loop.run_in_executor(pool, self._read, image, longest)

    def _read(self, image: ImageBytes, longest: int | None) -> Picture:
        if longest is None:
            return decode(image, self._limits).rgb
        data = image if isinstance(image, bytes) else image.read()
        with opened(data, self._limits) as (file, _):
            share = longest / max(file.size)
            if share < 1.0:
                # A JPEG comes at half, a quarter or an eighth, never below the size.
                width, height = (math.ceil(side * share) for side in file.size)
                file.draft(None, (width, height))
            return _within(shown(file, data)[0], longest)


def _within(picture: Picture, longest: int) -> Picture:
    if max(picture.shape[:2]) <= longest:
        return picture
    channels = [
        averaged(np.ascontiguousarray(one), longest)
        for one in np.moveaxis(picture, 2, 0)
    ]
    scaled = np.rint(np.stack(channels, axis=2)).astype(np.uint8)
    scaled.flags.writeable = False
    return scaled
