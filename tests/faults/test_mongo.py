"""MongoDB that breaks off, conflicts, hangs, fills up or dies: nothing is lost.

The failures are real: the server's own failpoints, and SIGKILL.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from itertools import count
from random import Random

import pytest

from dinoserve.adapters.mongo import MongoDocuments, database
from dinoserve.domain.assets import Asset, EmbeddingRef, Filter
from dinoserve.domain.paging import AssetQuery
from dinoserve.errors import InvalidInputError, StorageFullError, UnavailableError
from dinoserve.ports import AssetChanges, DocumentStore
from mongo_server import MongoServer, failing, fresh_database
from records import a_recipe, an_asset, an_embedding

pytestmark = pytest.mark.needs("mongodb")

WRITES = ["update", "findAndModify", "delete", "commitTransaction"]
CONFLICT = {"errorCode": 112, "errorLabels": ["TransientTransactionError"]}
ASSET = an_asset(1)

Call = Callable[[DocumentStore], Awaitable[object]]


@pytest.fixture
async def url() -> AsyncIterator[str]:
    async with fresh_database() as url:
        yield url


@pytest.fixture
async def documents(url: str) -> AsyncIterator[MongoDocuments]:
    async with MongoDocuments.open(url) as documents:
        yield documents


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls may take three seconds, so that tests of the bound are short."""
    monkeypatch.setattr(database, "ANSWER_S", 3.0)


async def assert_whole(documents: DocumentStore) -> dict[str, Asset]:
    """Fail unless every asset has its vector and every vector its asset."""
    page = await documents.find(AssetQuery(limit=1000))
    assets = {asset.id: asset for asset in page.assets}
    scanned = [entry async for batch in documents.scan("r1") for entry in batch]
    assert page.next is None
    assert sorted(entry.asset_id for entry in scanned) == sorted(assets)
    for asset in assets.values():
        assert asset.embeddings == (EmbeddingRef("r1", 8),)
    return assets


@pytest.mark.parametrize("command", ["update", "delete", "commitTransaction"])
@pytest.mark.parametrize("how", [{"closeConnection": True}, CONFLICT])
async def test_a_write_that_breaks_off_is_done_once(
    url: str, documents: MongoDocuments, command: str, how: dict[str, object]
) -> None:
    async with failing(url, command, times=2, **how):
        assert await documents.add(ASSET, an_embedding(ASSET)) is True
    assert set(await assert_whole(documents)) == {ASSET.id}


@pytest.mark.parametrize("command", ["find", "aggregate"])
async def test_a_read_that_breaks_off_is_asked_again(
    url: str, documents: MongoDocuments, command: str
) -> None:
    await documents.add(ASSET, an_embedding(ASSET))
    async with failing(url, command, times=1, closeConnection=True):
        assert await documents.get([ASSET.id])
        assert await documents.counts() == {"r1": 1}


async def test_a_single_write_that_breaks_off_is_done(
    url: str, documents: MongoDocuments
) -> None:
    async with failing(url, "update", times=1, closeConnection=True):
        await documents.mark("a" * 64)
    assert await documents.unreferenced() == ["a" * 64]


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize("command", WRITES)
async def test_a_conflict_without_end_is_answered_and_leaves_nothing(
    url: str, documents: MongoDocuments, command: str
) -> None:
    kept = an_asset(2)
    await documents.add(kept, an_embedding(kept))
    async with failing(url, command, **CONFLICT):
        with pytest.raises(UnavailableError):
            await documents.remove(kept.id)
    assert set(await assert_whole(documents)) == {kept.id}


@pytest.mark.usefixtures("hurried")
async def test_a_server_that_hangs_is_not_waited_for(
    url: str, documents: MongoDocuments
) -> None:
    hang = {"blockConnection": True, "blockTimeMS": 20_000}
    async with failing(url, "update", "find", times=2, **hang):
        with pytest.raises(UnavailableError):
            await documents.add(ASSET, an_embedding(ASSET))
        with pytest.raises(UnavailableError):
            await documents.get([ASSET.id])
    assert await assert_whole(documents) == {}


async def test_a_full_disk_is_told_and_leaves_nothing(
    url: str, documents: MongoDocuments
) -> None:
    async with failing(url, "commitTransaction", times=1, errorCode=14031):
        with pytest.raises(StorageFullError):
            await documents.add(ASSET, an_embedding(ASSET))
    assert await assert_whole(documents) == {}
    assert await documents.add(ASSET, an_embedding(ASSET)) is True


async def test_a_record_beyond_16_mib_is_refused_and_leaves_nothing(
    documents: MongoDocuments,
) -> None:
    large = an_asset(1, metadata={"text": "x" * 2**24})
    with pytest.raises(InvalidInputError):
        await documents.add(large, an_embedding(large))
    assert await assert_whole(documents) == {}


async def test_a_caller_that_leaves_leaves_nothing_by_halves(
    documents: MongoDocuments,
) -> None:
    for begun in range(1, 12):
        adding = asyncio.ensure_future(documents.add(ASSET, an_embedding(ASSET)))
        for _ in range(begun * 3):
            await asyncio.sleep(0)
        adding.cancel()
        await asyncio.wait([adding])
        await assert_whole(documents)
    await documents.add(ASSET, an_embedding(ASSET))
    assert set(await assert_whole(documents)) == {ASSET.id}


async def _scanned(documents: DocumentStore) -> None:
    async for _ in documents.scan("r1"):
        pass


CALLS: dict[str, Call] = {
    "add": lambda store: store.add(an_asset(2), an_embedding(an_asset(2))),
    "get": lambda store: store.get([ASSET.id]),
    "find": lambda store: store.find(AssetQuery()),
    "ids": lambda store: store.ids("default", Filter()),
    "update": lambda store: store.update(ASSET.id, AssetChanges(tags=("a",))),
    "remove": lambda store: store.remove(ASSET.id),
    "put": lambda store: store.put(an_embedding(ASSET)),
    "vectors": lambda store: store.vectors([ASSET.id], "r1"),
    "scan": _scanned,
    "counts": lambda store: store.counts(),
    "save_recipe": lambda store: store.save_recipe(a_recipe()),
    "recipes": lambda store: store.recipes(),
    "mark": lambda store: store.mark("a" * 64),
    "unreferenced": lambda store: store.unreferenced(),
    "clear": lambda store: store.clear("a" * 64),
    "ping": lambda store: store.ping(),
}


@pytest.mark.usefixtures("hurried")
async def test_without_a_server_every_call_says_so_and_works_again_with_it(
    own_server: MongoServer,
) -> None:
    async with MongoDocuments.open(own_server.url) as documents:
        await documents.add(ASSET, an_embedding(ASSET))
        own_server.kill()
        answers = await asyncio.gather(
            *(call(documents) for call in CALLS.values()), return_exceptions=True
        )
        told = dict(zip(CALLS, map(type, answers), strict=True))
        assert told == dict.fromkeys(CALLS, UnavailableError)
        own_server.start()
        assert set(await assert_whole(documents)) == {ASSET.id}


@pytest.mark.usefixtures("hurried")
async def test_every_acknowledged_write_survives_every_kill(
    own_server: MongoServer,
) -> None:
    random, seeds = Random(20_261_123), count()
    added: set[str] = set()
    erased: set[str] = set()
    # One client for all of it: the driver leaves a socket behind when it is closed
    # while its server is away.
    async with MongoDocuments.open(own_server.url) as documents:
        for _ in range(3):
            done = asyncio.Semaphore(0)
            callers = [
                asyncio.ensure_future(insist(documents, seeds, added, erased, done))
                for _ in range(4)
            ]
            for _ in range(random.randint(10, 40)):
                await done.acquire()
            own_server.kill()
            await asyncio.gather(*callers)
            own_server.start()
            found = await assert_whole(documents)
            assert added - erased <= set(found)
            assert not erased & set(found)


async def insist(
    documents: DocumentStore,
    seeds: Iterator[int],
    added: set[str],
    erased: set[str],
    done: asyncio.Semaphore,
) -> None:
    """Add assets, erase every third, until the server is gone."""
    try:
        while True:
            asset = an_asset(next(seeds))
            await documents.add(asset, an_embedding(asset))
            added.add(asset.id)
            done.release()
            if len(added) % 3 == 0:
                # From here on nobody may count on it.
                added.discard(asset.id)
                await documents.remove(asset.id)
                erased.add(asset.id)
    except UnavailableError:
        return
