"""Sweeping: bytes that belong to no asset are removed while we serve."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from random import SystemRandom

from dinoserve.errors import UnavailableError
from dinoserve.services.assets import AssetService
from dinoserve.services.orphans import OrphanService
from dinoserve.services.uploads import UploadService
from dinoserve.telemetry import Metrics

_log = logging.getLogger(__name__)

PAUSE_S = 600.0
_random = SystemRandom()


@dataclass(frozen=True, slots=True)
class Sweeper:
    """Removes what uploads left behind, and what nothing told of."""

    assets: AssetService
    uploads: UploadService
    orphans: OrphanService
    metrics: Metrics

    @asynccontextmanager
    async def sweeping(self, pause_s: float = PAUSE_S) -> AsyncGenerator[None]:
        """Sweep now, and again after every pause until the block ends.

        Raises:
            UnavailableError: the first sweep failed; a later one is only logged.
        """
        await self.sweep()
        async with _repeated(self.sweep, pause_s, pause_s):
            yield

    @asynccontextmanager
    async def collecting(self, every_s: float) -> AsyncGenerator[None]:
        """Collect once in so many seconds until the block ends; 0: never.

        The first time comes at a moment of chance, so that servers take turns.
        """
        if not every_s:
            yield
            return
        async with _repeated(self.collect, _random.uniform(0, every_s), every_s):
            yield

    async def sweep(self) -> None:
        """Remove what uploads left that were cut off or not completed."""
        if count := await self.assets.sweep():
            self.metrics.collected.labels("unfinished").inc(count)
            _log.warning("removed the bytes of %d uploads that were cut off", count)
        if count := await self.uploads.sweep():
            self.metrics.collected.labels("incoming").inc(count)
            _log.info("removed %d direct uploads that were not completed", count)

    async def collect(self) -> None:
        """Look at every object, and remove those that belong to no asset.

        Nothing is removed where so many are orphans that the database must be wrong.
        """
        found = await self.orphans.find(lambda _area, _count: None)
        if found.are_too_many:
            _log.error(
                "%d of %d originals belong to no asset, so this may be the wrong"
                " database; none was removed: see `dinoserve doctor --objects`",
                len(found.names["originals"]),
                len(found.stored),
            )
            return
        for area, names in found.names.items():
            removed = [await self.orphans.remove(area, name) for name in names]
            if any(removed):
                self.metrics.collected.labels(area).inc(sum(removed))
                _log.warning("removed %d orphans, %s", sum(removed), area)


@asynccontextmanager
async def _repeated(
    work: Callable[[], Awaitable[None]], first_s: float, every_s: float
) -> AsyncGenerator[None]:
    """Do the work after these seconds, and again and again until the block ends."""
    task = asyncio.create_task(_repeat(work, first_s, every_s))
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _repeat(
    work: Callable[[], Awaitable[None]], first_s: float, every_s: float
) -> None:
    await asyncio.sleep(first_s)
    while True:
        try:
            await work()
        except UnavailableError as error:
            _log.warning("bytes without a record are left for later: %s", error.detail)
        except Exception:  # noqa: BLE001 - a bug in one sweep must not end all others
            _log.exception("bytes without a record are left for later")
        await asyncio.sleep(every_s)
