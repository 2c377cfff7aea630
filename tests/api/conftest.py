"""The whole application in this process: real routes and services, stores in memory."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import httpx2
import pytest

from dinoserve.settings import Settings
from dinoserve.telemetry import Metrics
from dinoserve.wiring import web_app

Connect = Callable[..., AbstractAsyncContextManager[httpx2.AsyncClient]]


@asynccontextmanager
async def _connect(**changes: object) -> AsyncIterator[httpx2.AsyncClient]:
    base: dict[str, object] = {
        "documents": "memory:",
        "objects": "memory:",
        "model": "stub",
    }
    settings = Settings.model_validate(base | changes)
    app = web_app(settings, Metrics())
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(
            transport=httpx2.ASGITransport(app, raise_app_exceptions=False),
            base_url="http://test",
        ) as client,
    ):
        yield client


@pytest.fixture
def connect() -> Connect:
    """Open a client on an app of its own, with these settings changed."""
    return _connect


@pytest.fixture
async def client() -> AsyncIterator[httpx2.AsyncClient]:
    async with _connect() as client:
        yield client
