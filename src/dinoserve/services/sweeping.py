"""Sweeping: bytes that uploads of any process left are removed while we serve."""

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress

from dinoserve.errors import UnavailableError
from dinoserve.services.assets import AssetService

_log = logging.getLogger(__name__)

PAUSE_S = 600.0


@asynccontextmanager
async def swept(assets: AssetService, pause_s: float = PAUSE_S) -> AsyncGenerator[None]:
    """Sweep now, and again after every pause until the block ends.

    Raises:
        UnavailableError: the first sweep failed; a later one is only logged.
    """
    await _sweep(assets)
    task = asyncio.create_task(_keep_sweeping(assets, pause_s))
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _keep_sweeping(assets: AssetService, pause_s: float) -> None:
    while True:
        await asyncio.sleep(pause_s)
        try:
            await _sweep(assets)
        except UnavailableError as error:
            _log.warning("bytes without a record are left for later: %s", error.detail)


async def _sweep(assets: AssetService) -> None:
    if count := await assets.sweep():
        _log.warning("removed the bytes of %d uploads that were cut off", count)
