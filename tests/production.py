"""What a server in production has, for one test each; see the tests' `needs`."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from dinoserve.adapters.objects import Bucket
from mongo_server import MongoServer, fresh_database
from object_servers import clear, fresh_bucket


@pytest.fixture
async def mongodb() -> AsyncIterator[str]:
    """The URL of an empty database."""
    async with fresh_database() as url:
        yield url


@pytest.fixture
async def bucket() -> AsyncIterator[Bucket]:
    """An empty bucket of the quick S3 server."""
    bucket = fresh_bucket("moto")
    yield bucket
    await clear(bucket)


@pytest.fixture
def production(mongodb: str, bucket: Bucket) -> dict[str, str]:
    """The settings of a server that has nothing in its data folder."""
    return {
        "DINOSERVE_MODEL": "stub",
        "DINOSERVE_DOCUMENTS": mongodb,
        "DINOSERVE_OBJECTS": f"s3://{bucket.name}/{bucket.prefix}",
        "DINOSERVE_S3_ENDPOINT": bucket.endpoint,
        "DINOSERVE_S3_ACCESS_KEY": bucket.access_key,
        "DINOSERVE_S3_SECRET_KEY": bucket.secret_key,
    }


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[MongoServer]:
    """A MongoDB-wire server that a test may kill; what it acknowledged is synced."""
    # Of its own accord this server journals single writes when asked, but not commits;
    # that commits ask for it is told by tests/unit/test_mongo_concerns.py.
    server = MongoServer(tmp_path / "storage", "--sync-on-commit").start()
    yield server
    server.stop()
