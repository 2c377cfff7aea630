"""Stores and memory, driven through the same random lives, always answer alike."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from dinoserve.adapters.memory import MemoryDocuments
from dinoserve.adapters.mongo import MongoDocuments
from dinoserve.adapters.sqlite import SqliteDocuments
from dinoserve.domain.assets import Asset, Filter, Scalar
from dinoserve.domain.paging import AssetQuery
from dinoserve.errors import DinoserveError
from dinoserve.ports import AssetChanges, DocumentStore
from mongo_server import fresh_database
from records import NOON, a_recipe, an_asset, an_embedding

T = TypeVar("T")

TAG = st.sampled_from(["a", "b", "it's"])
TAGS = st.lists(TAG, max_size=2).map(tuple)
SCALAR: st.SearchStrategy[Scalar] = st.sampled_from([0, 1, 1.0, True, None, "1"])
METADATA = st.dictionaries(st.sampled_from(["k", "l"]), SCALAR, max_size=2)
COLLECTION = st.sampled_from(["one", "two"])
ASSET = st.builds(
    an_asset,
    st.integers(0, 2),
    collection=COLLECTION,
    created_at=st.integers(0, 2).map(lambda n: NOON + timedelta(seconds=n)),
    tags=TAGS,
    metadata=METADATA,
)
RECIPE = st.sampled_from(["r1", "r2"])
FILTER = st.builds(Filter, st.frozensets(TAG, max_size=1), METADATA)
MOMENT = st.none() | st.integers(0, 3).map(lambda n: NOON + timedelta(seconds=n))


async def answer(work: Awaitable[T]) -> T | type[DinoserveError]:
    """Return the result, or the kind of error told instead."""
    try:
        return await work
    except DinoserveError as error:
        return type(error)


async def pages(documents: DocumentStore, query: AssetQuery) -> list[list[Asset]]:
    page = await documents.find(query)
    found = [page.assets]
    while page.next is not None:
        page = await documents.find(replace(query, after=page.next))
        found.append(page.assets)
    return found


class TwoStores(RuleBasedStateMachine):
    """Does everything to SQLite and memory and compares."""

    def __init__(self) -> None:
        super().__init__()
        self._loop = asyncio.Runner()
        self._folder = TemporaryDirectory()
        self._exit = AsyncExitStack()
        self._memory = MemoryDocuments()
        self._store = self._run(self._open())

    def teardown(self) -> None:
        self._run(self._exit.aclose())
        self._loop.close()
        self._folder.cleanup()

    async def _open(self) -> DocumentStore:
        path = Path(self._folder.name) / "documents.sqlite"
        return await self._exit.enter_async_context(SqliteDocuments.open(path))

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return self._loop.run(work)

    def _compare(self, work: Callable[[DocumentStore], Awaitable[object]]) -> None:
        mine, theirs = (
            self._run(answer(work(store))) for store in (self._store, self._memory)
        )
        assert mine == theirs

    @rule(asset=ASSET, recipe=st.none() | RECIPE)
    def add(self, asset: Asset, recipe: str | None) -> None:
        embedding = None if recipe is None else an_embedding(asset, recipe)
        self._compare(lambda store: store.add(asset, embedding))

    @rule(asset=ASSET)
    def remove(self, asset: Asset) -> None:
        self._compare(lambda store: store.remove(asset.id))

    @rule(
        asset=ASSET,
        tags=st.none() | TAGS,
        metadata=st.none() | METADATA,
        subject=st.sampled_from([None, "Ann"]),
        clear=st.booleans(),
    )
    def update(
        self,
        asset: Asset,
        tags: tuple[str, ...] | None,
        metadata: dict[str, Scalar] | None,
        subject: str | None,
        *,
        clear: bool,
    ) -> None:
        changes = AssetChanges(tags, metadata, subject, clear)
        self._compare(lambda store: store.update(asset.id, changes))

    @rule(asset=ASSET, recipe=RECIPE, seed=st.integers(0, 2))
    def put(self, asset: Asset, recipe: str, seed: int) -> None:
        self._compare(lambda store: store.put(an_embedding(asset, recipe, seed)))

    @rule(asset=ASSET)
    def mark(self, asset: Asset) -> None:
        self._compare(lambda store: store.mark(asset.sha256))

    @rule(asset=ASSET)
    def clear(self, asset: Asset) -> None:
        self._compare(lambda store: store.clear(asset.sha256))

    @rule(model=st.sampled_from(["m1", "m2"]))
    def save_recipe(self, model: str) -> None:
        self._compare(lambda store: store.save_recipe(a_recipe(model)))

    @rule()
    def reopen(self) -> None:
        self._run(self._exit.aclose())
        self._store = self._run(self._open())

    @rule(
        collection=st.none() | COLLECTION,
        where=FILTER,
        bounds=st.tuples(MOMENT, MOMENT),
        limit=st.integers(1, 3),
    )
    def find(
        self,
        collection: str | None,
        where: Filter,
        bounds: tuple[Any, Any],
        limit: int,
    ) -> None:
        query = AssetQuery(collection, where, *bounds, limit=limit)
        self._compare(lambda store: pages(store, query))

    @rule(collection=COLLECTION, where=FILTER)
    def ids(self, collection: str, where: Filter) -> None:
        self._compare(lambda store: store.ids(collection, where))

    @invariant()
    def same_counts_recipes_and_garbage(self) -> None:
        self._compare(lambda store: store.counts())
        self._compare(lambda store: store.counts("a", "r1"))
        self._compare(lambda store: store.recipes())
        self._compare(self._garbage)

    @invariant()
    def same_vectors(self) -> None:
        self._compare(self._vectors)

    async def _garbage(self, store: DocumentStore) -> list[str]:
        return sorted(await store.unreferenced())

    async def _vectors(self, store: DocumentStore) -> list[tuple[str, str, bytes]]:
        return sorted(
            [
                (entry.collection, entry.asset_id, entry.vector.tobytes())
                for recipe in ("r1", "r2")
                async for batch in store.scan(recipe)
                for entry in batch
            ]
        )


class MongoAndMemory(TwoStores):
    """The same with MongoDB in the place of SQLite."""

    def teardown(self) -> None:
        self._run(self._exit.aclose())
        self._run(self._database.aclose())
        super().teardown()

    async def _open(self) -> DocumentStore:
        if not hasattr(self, "_database"):
            self._database = AsyncExitStack()
            url = await self._database.enter_async_context(fresh_database())
            self._url = url
        return await self._exit.enter_async_context(MongoDocuments.open(self._url))


TwoStores.TestCase.settings = settings(
    max_examples=25, stateful_step_count=30, deadline=None
)
TestTwoStores = TwoStores.TestCase
# Fewer, because every answer crosses a socket.
MongoAndMemory.TestCase.settings = settings(
    max_examples=6, stateful_step_count=20, deadline=None
)
TestMongoAndMemory = pytest.mark.needs("mongodb")(MongoAndMemory.TestCase)
