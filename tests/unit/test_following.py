"""What other processes change is shown here, though it was read and kept before."""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import NamedTuple, cast

import pytest

from dinoserve.adapters.memory_cache import MemoryCache
from dinoserve.adapters.sqlite import SqliteDocuments
from dinoserve.domain.assets import Asset, Filter
from dinoserve.errors import AssetNotFoundError
from dinoserve.ports import AssetChanges, Change, Entry, Slot
from dinoserve.services import Services
from dinoserve.services.following import in_step
from dinoserve.services.search import SearchRequest, SearchService
from dinoserve.services.sources import Encoded
from dinoserve.services.upload import Upload
from dinoserve.settings import Settings
from dinoserve.telemetry import Metrics
from dinoserve.wiring import open_services
from guarded_forward import until
from odd_files import photo

PICTURE = photo(1)
VALUE = b"kept"


class BrokenFeed:
    """Says that it listens, then ends in a way that nobody foresaw."""

    async def changes(self) -> AsyncGenerator[Change | None]:
        yield None
        raise KeyError("a change of an unknown shape")


class ForgetfulFeed:
    """Listens, and misses changes as soon as it is let."""

    def __init__(self) -> None:
        self.misses = asyncio.Event()

    async def changes(self) -> AsyncGenerator[Change | None]:
        yield None
        await self.misses.wait()
        yield None
        await asyncio.Event().wait()


class Filled:
    """As much of the search as filling its index needs."""

    async def begin(self) -> int:
        return 7


class Two(NamedTuple):
    """A server, and what another process has of the same stores."""

    server: Services
    other: SqliteDocuments


@pytest.fixture
async def two(tmp_path: Path) -> AsyncIterator[Two]:
    settings = Settings.model_validate({"data": tmp_path, "model": "stub"})
    async with (
        open_services(settings, Metrics()) as server,
        SqliteDocuments.open(tmp_path / "documents.sqlite") as other,
    ):
        yield Two(server, other)


async def found(server: Services) -> list[Asset]:
    request = SearchRequest(Encoded(PICTURE))
    return [each.asset for each in (await server.search.search(request)).hits]


async def has_vector(server: Services, asset: Asset) -> bool:
    try:
        return bool(await server.embeddings.vectors_of([asset.id]))
    except AssetNotFoundError:
        return False


async def keep(cache: MemoryCache, slot: Slot) -> None:
    [seen] = await cache.read([slot])
    assert seen.ticket is not None
    await cache.write([Entry(slot, VALUE, seen.ticket, ttl_s=3600)])


async def kept(cache: MemoryCache, *slots: Slot) -> list[bool]:
    return [seen.value is not None for seen in await cache.read(slots)]


async def test_a_record_that_another_process_changes_is_shown(two: Two) -> None:
    asset = (await two.server.assets.upload(Upload(PICTURE))).asset
    assert [each.tags for each in await found(two.server)] == [()]
    await two.other.update(asset.id, AssetChanges(tags=("new",)))
    while [each.tags for each in await found(two.server)] != [("new",)]:  # noqa: ASYNC110 - another process sets no asyncio.Event
        await asyncio.sleep(0)


async def test_a_tag_that_another_process_gives_is_filtered_by(two: Two) -> None:
    asset = (await two.server.assets.upload(Upload(PICTURE))).asset
    request = SearchRequest(
        Encoded(PICTURE), where=Filter(tags=frozenset({"elsewhere"}))
    )
    assert (await two.server.search.search(request)).hits == []
    await two.other.update(asset.id, AssetChanges(tags=("elsewhere",)))
    while not (await two.server.search.search(request)).hits:  # noqa: ASYNC110 - another process sets no asyncio.Event
        await asyncio.sleep(0)


async def test_an_asset_that_another_process_erases_is_gone(two: Two) -> None:
    asset = (await two.server.assets.upload(Upload(PICTURE))).asset
    assert await found(two.server)
    assert await has_vector(two.server, asset)
    await two.other.remove(asset.id)
    while await has_vector(two.server, asset):  # noqa: ASYNC110 - another process sets no asyncio.Event
        await asyncio.sleep(0)
    assert await found(two.server) == []


async def test_what_was_made_of_the_bytes_of_an_erased_asset_is_forgotten(
    two: Two,
) -> None:
    asset = (await two.server.assets.upload(Upload(PICTURE))).asset
    local = MemoryCache(100_000, Metrics())
    of_bytes, of_others = Slot("image", asset.sha256, "r"), Slot("image", "0" * 64, "r")
    async with in_step(two.server.search, two.other, local):
        await keep(local, of_bytes)
        await keep(local, of_others)
        await two.other.remove(asset.id)
        while await kept(local, of_bytes) == [True]:  # noqa: ASYNC110 - another process sets no asyncio.Event
            await asyncio.sleep(0)
        assert await kept(local, of_others) == [True]


async def test_after_missed_changes_nothing_is_believed_that_was_kept() -> None:
    local, feed = MemoryCache(100_000, Metrics()), ForgetfulFeed()
    slot = Slot("record", "a")
    async with in_step(cast("SearchService", Filled()), feed, local):
        await keep(local, slot)
        feed.misses.set()
        while await kept(local, slot) == [True]:  # noqa: ASYNC110 - the follower sets no asyncio.Event
            await asyncio.sleep(0)


async def test_a_feed_that_ends_is_told_and_the_server_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    search = cast("SearchService", Filled())

    async with in_step(search, BrokenFeed()) as count:
        await until(lambda: "restart this one" in caplog.text)

    assert count == 7
    assert {entry.levelno for entry in caplog.records} == {logging.CRITICAL}
