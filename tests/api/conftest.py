"""A client for every test of the HTTP surface."""

from collections.abc import AsyncGenerator

import httpx2
import pytest

from in_process import Connect, connect_in_process


@pytest.fixture
def connect() -> Connect:
    """Open a client on an app of its own, with these settings changed."""
    return connect_in_process


@pytest.fixture
async def client() -> AsyncGenerator[httpx2.AsyncClient]:
    async with connect_in_process() as client:
        yield client
