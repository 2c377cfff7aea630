"""What a start does to a MongoDB: collections, indexes, migrations, refusals."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from bson.binary import Binary
from pymongo import AsyncMongoClient
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import OperationFailure

from dinoserve.adapters.mongo import MongoDocuments, schema
from dinoserve.adapters.mongo.schema import COLLECTIONS, Documents
from dinoserve.domain.assets import Filter, Range
from dinoserve.errors import StartUpError
from mongo_server import fresh_database
from records import a_vector, an_asset, an_embedding

pytestmark = pytest.mark.needs("mongodb")


@pytest.fixture
async def url() -> AsyncIterator[str]:
    async with fresh_database() as url:
        yield url


@pytest.fixture
async def raw(url: str) -> AsyncIterator[Documents]:
    """The database as another program sees it."""
    async with AsyncMongoClient[dict[str, Any]](url) as client:
        yield client.get_default_database()


async def started(url: str) -> None:
    async with MongoDocuments.open(url):
        pass


async def refused(url: str) -> str:
    with pytest.raises(StartUpError) as error:
        await started(url)
    return error.value.detail


async def index_names(raw: AsyncDatabase[Any], collection: str) -> set[str]:
    return set(await raw[collection].index_information())


async def test_a_start_makes_every_collection_and_index(
    url: str, raw: Documents
) -> None:
    await started(url)
    assert set(await raw.list_collection_names()) == set(COLLECTIONS)
    for name, layout in COLLECTIONS.items():
        declared = {index.document["name"] for index in layout.indexes}
        assert await index_names(raw, name) == declared | {"_id_"}


async def test_an_index_that_was_dropped_comes_back(url: str, raw: Documents) -> None:
    await started(url)
    await raw.assets.drop_index("by_time")
    await started(url)
    assert "by_time" in await index_names(raw, "assets")


async def test_an_older_database_gets_the_index_of_scans_and_keeps_its_own(
    url: str, raw: Documents
) -> None:
    await started(url)
    await raw.embeddings.drop_index("by_recipe_and_id")
    await raw.embeddings.create_index("recipe", name="by_recipe")
    told = (await MongoDocuments.survey(url)).pending
    await started(url)
    assert told == ["make the index by_recipe_and_id of embeddings"]
    assert {"by_recipe", "by_recipe_and_id"} < await index_names(raw, "embeddings")


async def test_an_index_of_somebody_else_stays(url: str, raw: Documents) -> None:
    await started(url)
    await raw.assets.create_index("subject", name="theirs")
    await started(url)
    assert "theirs" in await index_names(raw, "assets")


async def test_an_index_of_our_name_with_other_keys_stops_the_start_and_stays(
    url: str, raw: Documents
) -> None:
    await raw.assets.create_index("subject", name="by_time")
    assert "Drop that index" in await refused(url)
    assert (await raw.assets.index_information())["by_time"]["key"] == [("subject", 1)]


@pytest.mark.parametrize("name", sorted(COLLECTIONS))
async def test_the_server_refuses_a_document_that_lacks_fields(
    url: str, raw: Documents, name: str
) -> None:
    await started(url)
    with pytest.raises(OperationFailure) as error:
        await raw[name].insert_one({"_id": None})
    assert error.value.code == 121


async def test_a_rule_that_was_taken_off_comes_back(url: str, raw: Documents) -> None:
    await started(url)
    await raw.command("collMod", "garbage", validator={})
    await started(url)
    with pytest.raises(OperationFailure):
        await raw.garbage.insert_one({"_id": 1})


async def test_vectors_are_kept_as_bson_vectors_of_float32(
    url: str, raw: Documents
) -> None:
    asset = an_asset(1)
    async with MongoDocuments.open(url) as documents:
        await documents.add(asset, an_embedding(asset))
    found = await raw.embeddings.find_one()
    assert found is not None
    assert isinstance(found["vector"], Binary)
    assert found["vector"].as_vector().data == pytest.approx(a_vector(0).tolist())


async def test_an_older_database_is_migrated_once_and_keeps_its_records(
    url: str, raw: Documents, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with MongoDocuments.open(url) as documents:
        await documents.add(an_asset(1), None)
    runs: list[str] = []

    async def later(database: Documents) -> None:
        runs.append(database.name)

    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, later))
    for _ in range(2):
        async with MongoDocuments.open(url) as documents:
            assert f"schema {len(schema.MIGRATIONS)}" in await documents.ping()
            assert await documents.get([an_asset(1).id])
    assert len(runs) == 1
    names = [one["name"] async for one in raw.migrations.find(sort=[("_id", 1)])]
    assert names == [*(each.__name__ for each in schema.MIGRATIONS[:-1]), "later"]


async def test_a_migration_that_was_cut_off_is_taken_up_at_the_next_start(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await started(url)
    failures = [OperationFailure("cut off")]

    async def later(database: Documents) -> None:
        await database.assets.update_many({}, {"$set": {"later": True}})
        if failures:
            raise failures.pop()

    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, later))
    assert "cut off" in await refused(url)
    async with MongoDocuments.open(url) as documents:
        assert f"schema {len(schema.MIGRATIONS)}" in await documents.ping()


async def test_a_newer_database_is_refused_untouched(url: str, raw: Documents) -> None:
    await raw.migrations.insert_one({"_id": 9999})
    assert "newer dinoserve: its schema is 9999" in await refused(url)
    assert await raw.list_collection_names() == ["migrations"]


async def test_servers_that_start_at_once_all_start(url: str, raw: Documents) -> None:
    await asyncio.gather(*(started(url) for _ in range(4)))
    assert await raw.migrations.count_documents({}) == len(schema.MIGRATIONS)


async def test_numbers_of_assets_that_were_there_are_found_by_ranges(
    url: str, raw: Documents
) -> None:
    async with MongoDocuments.open(url) as documents:
        await documents.add(an_asset(1, metadata={"take": 3}), None)
    await raw.assets.update_many({}, {"$set": {"terms": ['["take",3]']}})
    await raw.migrations.delete_many({"_id": {"$gte": 2}})

    async with MongoDocuments.open(url) as documents:
        where = Filter(ranges={"take": Range(gte=3)})
        assert await documents.ids("default", where) == {an_asset(1).id}
