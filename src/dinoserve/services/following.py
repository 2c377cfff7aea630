"""Following: the index of this process sees what other processes store and erase."""

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager

from dinoserve.errors import UnavailableError
from dinoserve.ports import Change, ChangeFeed, Space
from dinoserve.services.search import SearchService

_log = logging.getLogger(__name__)
_LISTEN_TIMEOUT_S = 30.0
_PAUSE_S = 1.0


@asynccontextmanager
async def in_step(
    search: SearchService, feed: ChangeFeed | None
) -> AsyncGenerator[int]:
    """Fill the index, and keep it in step during the block; yield how many vectors.

    Args:
        search: whose index.
        feed: None: nobody else uses the stores.

    Raises:
        UnavailableError: the store cannot be read or listened to.
    """
    if feed is None:
        yield await search.fill()
        return
    async with aclosing(feed.changes()) as changes:
        await _listen(changes)
        # What is stored while the index is filled comes twice, and is not missed.
        count = await search.fill()
        task = asyncio.create_task(_follow(search, changes))
        task.add_done_callback(_tell_of_end)
        try:
            yield count
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def _tell_of_end(task: asyncio.Task[None]) -> None:
    # Searches go on without what others store: somebody must know.
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


async def _follow(
    search: SearchService, changes: AsyncGenerator[Change | None]
) -> None:
    async for change in changes:
        if change is None:
            await _fill_again(search)
        elif change.recipe == search.embeddings.recipe.id:
            await _apply(search, change)


async def _apply(search: SearchService, change: Change) -> None:
    space = Space(change.collection, change.recipe)
    if change.vector is None:
        await search.index.delete(space, [change.asset_id])
    else:
        await search.index.upsert(space, [change.asset_id], change.vector[None])


async def _fill_again(search: SearchService) -> None:
    """Read every vector anew; rows of erased assets stay, and searches skip them."""
    while True:
        try:
            count = await search.fill()
        except UnavailableError:
            await asyncio.sleep(_PAUSE_S)
        else:
            _log.warning("changes were missed: read %d vectors anew", count)
            return
