"""Following: this process sees what other processes store, change and erase."""

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass

from dinoserve.errors import UnavailableError
from dinoserve.ports import Change, ChangeFeed, LocalCache
from dinoserve.services.cached_ids import ASSETS
from dinoserve.services.search import SearchService

_log = logging.getLogger(__name__)
_LISTEN_TIMEOUT_S = 30.0
_PAUSE_S = 1.0


@asynccontextmanager
async def in_step(
    search: SearchService, feed: ChangeFeed | None, local: LocalCache | None = None
) -> AsyncGenerator[int]:
    """Fill the index, and keep it in step during the block; yield how many vectors.

    Args:
        search: whose index.
        feed: None: nobody else uses the stores.
        local: what this process remembers, kept in step as well. What processes share
            is not: whoever changes an asset erases it there.

    Raises:
        UnavailableError: the store cannot be read or listened to.
    """
    if feed is None:
        yield await search.begin()
        return
    async with aclosing(feed.changes()) as changes:
        await _listen(changes)
        # What is stored while the index is filled comes twice, and is not missed.
        count = await search.begin()
        task = asyncio.create_task(_Follower(search, local).follow(changes))
        task.add_done_callback(_tell_of_end)
        try:
            yield count
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def _tell_of_end(task: asyncio.Task[None]) -> None:
    # The process goes on without what others change: somebody must know.
    if not task.cancelled():
        _log.critical(
            "Other servers' changes are no longer seen; restart this one.",
            exc_info=task.exception(),
        )


async def _listen(changes: AsyncGenerator[Change | None]) -> None:
    try:
        async with asyncio.timeout(_LISTEN_TIMEOUT_S):
            await anext(changes)
    except TimeoutError as error:
        raise UnavailableError(
            "The database tells nothing of its changes.", port="documents"
        ) from error


@dataclass(frozen=True, slots=True)
class _Follower:
    search: SearchService
    local: LocalCache | None

    async def follow(self, changes: AsyncGenerator[Change | None]) -> None:
        async for change in changes:
            if change is None:
                await self._begin_again()
            else:
                await self._apply(change)

    async def _apply(self, change: Change) -> None:
        if self.local:
            # First, so that no hit is shown with the record that was before it.
            owners = (change.asset_id, change.erased, ASSETS)
            await self.local.erase([owner for owner in owners if owner])
        space = change.space
        if space is None or space.recipe != self.search.embeddings.recipe.id:
            return
        if change.vector is None:
            await self.search.index.delete(space, [change.asset_id])
        else:
            vectors = change.vector[None]
            await self.search.index.upsert(space, [change.asset_id], vectors)

    async def _begin_again(self) -> None:
        """Read all anew; rows of erased assets stay until the next start."""
        if self.local:
            await self.local.clear()
        while True:
            try:
                count = await self.search.fill()
            except UnavailableError:
                await asyncio.sleep(_PAUSE_S)
            else:
                _log.warning("changes were missed: read %d vectors anew", count)
                return
