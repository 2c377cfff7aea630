"""A client for every test of the HTTP surface."""

from collections.abc import AsyncGenerator
from pathlib import Path

import httpx2
import pytest

from direct_uploads import Running, of_bucket, started
from in_process import Connect, connect_in_process
from object_servers import clear, fresh_bucket

_KEY = "q83vASNFZ4mrze8BI0VniavN7wEjRWeJq83vASNFZ4k="
_BUCKETS = [
    pytest.param("bucket", marks=pytest.mark.needs("s3")),
    pytest.param("sealed bucket", marks=pytest.mark.needs("s3")),
]


@pytest.fixture
def connect() -> Connect:
    """Open a client on an app of its own, with these settings changed."""
    return connect_in_process


@pytest.fixture
async def client() -> AsyncGenerator[httpx2.AsyncClient]:
    async with connect_in_process() as client:
        yield client


@pytest.fixture(params=["memory", "folder", "sealed folder", *_BUCKETS])
async def running(
    request: pytest.FixtureRequest, tmp_path: Path
) -> AsyncGenerator[Running]:
    """The app on each kind of object store."""
    kind: str = request.param
    if "bucket" not in kind:
        objects = {"objects": "memory:" if kind == "memory" else "file:"}
        key = {"objects_key": _KEY} if "sealed" in kind else {}
        async with started(data=tmp_path / "data", **objects, **key) as app:
            yield app
        return
    bucket = fresh_bucket("s3")
    key = {"s3_sse_c_key": _KEY} if "sealed" in kind else {}
    async with started(data=tmp_path / "data", **of_bucket(bucket), **key) as app:
        yield app
    await clear(bucket)


@pytest.fixture
async def memory() -> AsyncGenerator[Running]:
    async with started() as app:
        yield app
